"""Rules that look every week: at some weekdays, at a local time of day, for whoever is known."""

from engine.decision.decide import state_of
from engine.decision.match import Match, of_date
from engine.profile.calendar import day_of, next_weekday, zone_of
from engine.profile.model import Timer
from engine.profile.turn import Turn
from engine.rules.model import Rule

LETTER = "s"
_LATENESS_OF = "customer.identified"  # what can still change the time zone


def keep_armed(turn: Turn, rule: Rule, at: int) -> bool:
    """Arm the next time when the rule is new here, or the zone is another; else do nothing.

    Returns False when there was no room for it.
    """
    timer = turn.actor.timers.get(f"{LETTER}:{rule.id}")
    basis = [rule.version, zone_of(turn.actor).key]
    if timer is not None and timer.data[:2] == basis:
        return True
    return _arm(turn, rule, after=max(turn.now, at) if timer is None else turn.now or at)


def come_up(turn: Turn, rule: Rule, timer: Timer) -> Match | None:
    """Return the match of a time that has come, and wait for the next; None: the rule has changed.

    Of one local day there is one, also for who moves to another zone on it.
    """
    schedule = rule.schedule
    assert schedule is not None
    is_mine = timer.data[0] == rule.version
    _arm(turn, rule, after=timer.due if is_mine else timer.due - 1)
    state = state_of(turn, rule)
    day = day_of(timer.due, zone_of(turn.actor))
    if not is_mine or day <= str(state.schedule.get("done", "")):
        return None
    state.schedule = {**state.schedule, "done": day}
    return of_date(rule.id, day, turn.node_id, due=timer.due)


def _arm(turn: Turn, rule: Rule, *, after: int) -> bool:
    schedule, zone = rule.schedule, zone_of(turn.actor)
    assert schedule is not None
    due = next_weekday(after, schedule.weekdays, schedule.at_minutes, zone)
    data = [rule.version, zone.key]
    late = turn.lateness_ms(_LATENESS_OF)
    return turn.arm(f"{LETTER}:{rule.id}", due, lateness_ms=late, data=data)
