"""The rule set of the storms, in two versions: small, and of every kind of rule one."""

from functools import cache
from pathlib import Path

from engine.adapters.files import read_contracts
from engine.events.contract import Contracts, parse_contracts
from engine.rules.compile import RuleSet, compile_rules

HEAD = "owner: sim@shop.example\nstatus: live\n"
LATENESS_MS = {"order.placed": 1_000, "payment.succeeded": 60_000}  # of others 10 s
BOTH = {
    # One step with a condition, and a goal.
    "big-order": """
when: [{event: order.placed, where: event.value > 100.0}]
do: [{case: big}]
fresh: 30d
limits: [64 per 1m]
goal: {event: payment.succeeded, within: 10m}""",
    # A sequence.
    "trouble": """
when: [{event: checkout.started}, {event: payment.failed, within: 60s}]
do: [{case: trouble}]
fresh: 1d
limits: [64 per 1m]""",
    # Absence, started anew by every start.
    "left-cart": """
when: [{event: cart.updated}, {not: order.placed, within: 60s}]
repeat: restart
do: [{case: cart}]
fresh: 3d""",
    # Absence with a condition: what stops it is remembered by the rule itself.
    "left-page": """
when: [{event: web.page_viewed}, {not: web.searched, where: 'event.query == "q"', within: 60s}]
repeat: restart
do: [{case: page}]
fresh: 3d""",
    # A cap of a group on a local day, and a comparison group.
    "promo": """
when: [{event: review.posted}]
do: [{offer: coupon, channels: [desk]}]
fresh: 2d
limits: [2 per day in group promo]
holdout: 30%""",
    # Quiet hours.
    "asleep": """
when: [{event: web.searched}]
do: [{offer: hint, channels: [desk]}]
fresh: 12h
limits: [64 per 1m]
quiet_hours: "22:00-08:00\"""",
    # A date of the profile.
    "birthday": """
when: [{schedule: {date: profile.birthday, at: "09:00"}}]
do: [{case: birthday}]
fresh: 12h""",
    # What churn says.
    "leaving": """
when: [{event: churn.band_changed, where: 'event.band in ["watch", "at_risk", "critical"]'}]
do: [{case: leaving}]
fresh: 2d
limits: [64 per 1m]""",
    # Soon too late.
    "hurry": """
when: [{event: enquiry.asked}]
do: [{case: hurry}]
kind: service
fresh: 4m
limits: [64 per 1m]""",
}
ONCE = {
    "v1": {
        # A window, with a rolling limit.
        "looks": """
when: [{event: web.page_viewed}]
if: count("web.page_viewed", 2m) >= 3
do: [{case: looks}]
fresh: 1d
limits: [1 per 5m]""",
        "left-checkout": """
when: [{event: checkout.started}, {not: payment.succeeded, within: 60s}]
do: [{case: checkout}]
fresh: 3d""",
    },
    "v2": {
        # A window, with a rolling limit.
        "looks": """
when: [{event: web.page_viewed}]
if: count("web.page_viewed", 2m) >= 2
do: [{case: looks}]
fresh: 1d
limits: [1 per 5m]""",
        "left-checkout": """
when: [{event: checkout.started}, {not: payment.succeeded, within: 90s}]
do: [{case: checkout}]
fresh: 3d""",
        "bigger-order": """
when: [{event: order.placed, where: event.value > 200.0}]
do: [{case: bigger}]
fresh: 30d
limits: [64 per 1m]""",
    },
}


@cache
def contracts() -> Contracts:
    """Return the contracts that we ship."""
    return parse_contracts(read_contracts(str(Path(__file__).parents[2] / "topics")))


def lateness_ms(event_type: str) -> int:
    """Return how late an event of a type may come."""
    return LATENESS_MS.get(event_type, 10_000)


@cache
def rule_set(version: str) -> RuleSet:
    """Return a version of the rule set, compiled once a process."""
    bodies = {**BOTH, **ONCE[version]}
    files = {
        f"{name}.yaml": f"rule: {name}\n{HEAD}{body.strip()}\n" for name, body in bodies.items()
    }
    return compile_rules(files, contracts(), version=version)


def versions_of(rule: str) -> dict[str, str]:
    """Return rule set -> the version of one rule in it, where it has that rule."""
    sets = {name: rule_set(name).rules for name in ONCE}
    return {name: rules[rule].version for name, rules in sets.items() if rule in rules}
