"""Touchpoint: channel events in, one state per customer, contextual triggers out.

`FLOW` is the order of data, of reading and of imports: a part may import what stands before it,
never what stands after it. `engine map` prints it; `tests/test_tidy.py` holds the code to it.
"""

FLOW = (
    "errors",  # what can go wrong, one tree
    "clock",  # time: units and the way we write it
    "registry",  # plug-ins by folder
    "keys",  # every Redis key, one row each
    "metrics",  # every metric, one row each
    "config",  # settings from the environment
    "events",  # what happened
    "ingest",  # how it comes in
    "outcome",  # what one record changes
    "identity",  # who
    "profile",  # what we know of a customer
    "entities",  # ... and of things
    "churn",  # are they leaving
    "rules",  # what marketing asked
    "decision",  # what to do, and whether we may
    "matching",  # when a rule comes true
    "delivery",  # say it, once
    "pipeline",  # the path of one event
    "ports",  # the world, as protocols
    "adapters",  # the world, for real and in memory
    "simulation",  # people, faults, rule tests, on a clock of their own
    "runtime",  # processes
    "api",  # collector, console, health
    "cli",  # commands
)
PURE = FLOW[: FLOW.index("pipeline") + 1]
