"""A person or thing as it was some time ago, as well as today's state can tell: of a log cut short.

What has its time in the state is exact: windows, facts, decisions, limits, a thing's counts by day.
What has none is taken as it is today: scores, addresses, how many different people a day has had;
what was waited for then is not known at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.events.model import Event
from engine.identity.node import Links
from engine.matching import silence
from engine.pipeline.state import STATE_VERSION, Live, decode_node, encode_node
from engine.profile.calendar import local, zone_of
from engine.profile.logs.windows import span
from engine.profile.model import Actor, Log, RuleState
from engine.profile.things import tally
from engine.rules.model import Rule, Schedule


def rewound(live: Live, to: int, later: Sequence[Event], rules: Mapping[str, Rule]) -> Live:
    """Return a copy of a live node as of `to` (UTC ms); `later`: its events since, each once.

    Its ring is empty: those events will come again.
    """
    found = decode_node("", encode_node(live))
    assert isinstance(found, Live)
    actor = found.actor
    for event in later:
        tally.take_back(actor, event)
    actor.traits = {name: trait for name, trait in actor.traits.items() if trait.at <= to}
    actor.logs = {name: _cut(log, to) for name, log in actor.logs.items()}
    actor.rules = {
        name: RuleState(
            version=state.version,
            fired=[at for at in state.fired if at <= to],
            schedule=_schedule(rules.get(name), state.schedule, actor, to),
        )
        for name, state in actor.rules.items()
    }
    actor.groups = {
        group: [at for at in fired if at <= to] for group, fired in actor.groups.items()
    }
    actor.suppressed = {
        group: until
        for group, until in actor.suppressed.items()
        if _began(group, until, rules) <= to
    }
    actor.timers, actor.goals, actor.triggers = {}, [], []
    actor.dated = ""
    _take_back(actor, later)
    links = Links(seen=found.links.seen, moved=found.links.moved, shared=found.links.shared)
    return Live(STATE_VERSION, links, actor)


def _schedule(rule: Rule | None, found: Mapping[str, Any], actor: Actor, to: int) -> dict[str, Any]:
    """Return what a schedule remembers: what had been done by `to`, and nothing of its timer."""
    done = str(found.get("done", ""))
    schedule = None if rule is None else rule.schedule
    if not done or schedule is None:
        return {}
    return {"done": done} if _was_done(schedule, done, actor, to) else {}


def _was_done(schedule: Schedule, done: str, actor: Actor, to: int) -> bool:
    if schedule.silent_ms and done.isdigit():  # else the rule was about a date until now
        return silence.due_at(actor, schedule, int(done)) <= to
    then = local(to + schedule.before_ms, zone_of(actor))
    return (done, schedule.at_minutes) <= (then.date().isoformat(), then.hour * 60 + then.minute)


def _cut(log: Log, to: int) -> Log:
    """Return a log without what is later than `to`."""
    count = span(log.times, to, None)[1]
    numbers = {name: column[: count * 8] for name, column in (log.numbers or {}).items()}
    words = {name: column[: count * 2] for name, column in (log.words or {}).items()}
    return Log(log.times[: count * 8], numbers or None, words or None, log.book)


def _began(group: str, until: int, rules: Mapping[str, Rule]) -> int:
    """Return when a suppression began at the latest, if one of these rules is its cause."""
    lengths = [
        action.for_ms
        for rule in rules.values()
        for action in rule.actions
        if action.type == "suppress" and action.name == group
    ]
    return until - min(lengths, default=0)


def _take_back(actor: Actor, later: Sequence[Event]) -> None:
    """Take the sums of purchases and returns back by what came since."""
    trade = actor.trade
    for event in later:
        value = event.data.get("value") or 0
        if event.type == "order.placed":
            trade.orders -= 1
            trade.total_minor -= value
        elif event.type in ("order.returned", "order.cancelled"):
            trade.returns -= 1
            trade.returned_minor -= abs(value)
    bought = actor.logs.get("order.placed")
    times = memoryview(bought.times).cast("q") if bought else ()
    trade.last_at = times[-1] if times else 0
    if trade.orders <= 0:
        trade.first_at = 0
