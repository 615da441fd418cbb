"""Rules that begin with a date of the profile: a timer in the customer's own calendar."""

from engine.decision.calendar import next_occurrence, zone_of
from engine.decision.decide import decide, state_of
from engine.decision.match import Match
from engine.profile import schema
from engine.profile.model import Timer
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.model import Rule

_FACTS = schema.schema()
_LATENESS_OF = "customer.identified"  # what can still change the date


def keep_armed(turn: Turn, rule: Rule, at: int) -> None:
    """Arm the timer of a date rule when the date, the zone or the rule is new; else do nothing."""
    schedule = rule.schedule
    assert schedule is not None
    value = schema.read(_FACTS, schedule.fact, turn.actor, at)
    remembered = turn.actor.rules.get(rule.id)
    if value is None and remembered is None:
        return
    zone = zone_of(turn.actor)
    now_known = [rule.version, str(value), str(zone)]
    if remembered is not None and remembered.schedule.get("for") == now_known:
        return
    state = state_of(turn, rule)
    state.schedule = {"for": now_known}
    _arm(turn, rule, after=turn.now or at, value=str(value))


def come_up(rules: RuleSet, turn: Turn, rule: Rule, timer: Timer) -> None:
    """Decide a date that has come, and wait for the next one."""
    _, born, value = timer.data
    match = Match(
        cause=f"{rule.id}|{timer.due}|{born}",
        at=timer.due,
        received_at=timer.due,
        events={},
        first_at=timer.due,
        waited=True,
    )
    decide(rules, turn, rule, match)
    if rule.schedule is not None and rule.schedule.yearly:
        _arm(turn, rule, after=timer.due, value=value)


def _arm(turn: Turn, rule: Rule, *, after: int, value: str) -> None:
    schedule = rule.schedule
    assert schedule is not None
    due = next_occurrence(
        value,
        after=after,
        at_minutes=schedule.at_minutes,
        before_ms=schedule.before_ms,
        yearly=schedule.yearly,
        zone=zone_of(turn.actor),
    )
    name = f"s:{rule.id}"
    if due is None:
        turn.cancel(name)
        return
    data = [rule.version, turn.node_id, value]
    turn.arm(name, due, lateness_ms=turn.lateness_ms(_LATENESS_OF), data=data)
