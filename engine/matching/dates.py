"""Rules that begin with a date of the profile: a timer in the customer's own calendar."""

from engine.decision.decide import state_of
from engine.decision.match import Match, of_date
from engine.profile import schema
from engine.profile.calendar import day_of, next_occurrence, zone_of
from engine.profile.model import RuleState, Timer
from engine.profile.turn import Turn
from engine.rules.model import Rule, Schedule

LETTER = "s"
_FACTS = schema.schema()
_LATENESS_OF = "customer.identified"  # what can still change the date


def keep_armed(turn: Turn, rule: Rule, at: int) -> bool:
    """Arm the timer of a date rule when the date, the zone or the rule is new; else do nothing.

    Returns False when there was no room for it.
    """
    schedule = rule.schedule
    assert schedule is not None
    actor = turn.actor
    state = actor.rules.get(rule.id)
    value = schema.read(_FACTS, schedule.fact, actor, at)
    if value is None and state is None:
        return True
    zone = actor.traits.get("zone")
    basis = [rule.version, value, None if zone is None else zone.value]
    if state is not None and state.schedule.get("for") == basis:
        return True
    state = state_of(turn, rule)
    # An instant becomes its local day only here: most events change neither of the two.
    is_armed = _arm(turn, rule, state, after=turn.now or at, value=_day(turn, value))
    state.schedule = {**state.schedule, "for": basis if is_armed else None}
    return is_armed


def come_up(turn: Turn, rule: Rule, timer: Timer) -> Match | None:
    """Return the match of a date that has come, and wait for the next one.

    None if the rule has changed since and does not want this day any more.
    """
    schedule = rule.schedule
    if schedule is None:
        return None
    version, born, value = (*timer.data, None)[:3]  # of a silence that it was before: two
    state = state_of(turn, rule)
    if version != rule.version:
        # A silent customer has no event that would arm the new version, so its own old timer does.
        _arm(turn, rule, state, after=timer.due - 1, value=_date(turn, schedule, timer.due))
        armed = turn.actor.timers.get(f"{LETTER}:{rule.id}")
        if armed is None or armed.due > timer.due:
            return None
    day = day_of(timer.due + schedule.before_ms, zone_of(turn.actor))
    state.schedule = {**state.schedule, "done": day}
    turn.cancel(f"{LETTER}:{rule.id}")
    if schedule.yearly:
        _arm(turn, rule, state, after=timer.due, value=value)
    return of_date(rule.id, day, born, due=timer.due)


def _date(turn: Turn, schedule: Schedule, at: int) -> str | None:
    return _day(turn, schema.read(_FACTS, schedule.fact, turn.actor, at))


def _day(turn: Turn, value: object) -> str | None:
    """Return a date of the profile as text; of an instant its local day."""
    if isinstance(value, int | float):  # an instant, such as the first purchase: its local day
        return day_of(int(value), zone_of(turn.actor))
    return None if value is None else str(value)


def _arm(turn: Turn, rule: Rule, state: RuleState, *, after: int, value: str | None) -> bool:
    schedule = rule.schedule
    assert schedule is not None
    name = f"{LETTER}:{rule.id}"
    due = None
    if value is not None:
        due = next_occurrence(
            value,
            after=after,
            at_minutes=schedule.at_minutes,
            before_ms=schedule.before_ms,
            yearly=schedule.yearly,
            zone=zone_of(turn.actor),
            not_until=str(state.schedule.get("done", "")),
        )
    if due is None:
        turn.cancel(name)
        return True
    data = [rule.version, turn.node_id, value]
    return turn.arm(name, due, lateness_ms=turn.lateness_ms(_LATENESS_OF), data=data)
