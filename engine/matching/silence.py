"""Rules about customers who do nothing: a timer that looks, when it is due, how long they have.

An event only moves the moment further away, so an armed timer stays where it is and is armed anew
when it comes up. A silence is told once; the next one begins with the next sign of life.
"""

from engine.decision.decide import state_of
from engine.decision.match import Match, of_date
from engine.profile.calendar import day_of, next_time_of_day, zone_of
from engine.profile.model import Actor, Timer
from engine.profile.turn import Turn
from engine.rules.model import Rule, Schedule

LETTER = "s"
_ANY = "customer.identified"  # stands for what may still arrive late of any type


def keep_armed(turn: Turn, rule: Rule) -> bool:
    """Arm the timer of a silence, unless it is, or this silence has been told of already.

    Returns False when there is none and the next event of any type may need one.
    """
    timer = turn.actor.timers.get(f"{LETTER}:{rule.id}")
    if timer is None or timer.data[0] != rule.version:
        return _arm(turn, rule)
    return True


def catch_up(turn: Turn, rule: Rule, silent_max_ms: int) -> None:
    """Arm the timer of a silence that nothing has armed, since it began before the rule did.

    One that was long enough before now comes true at the next time of day that the rule wants; one
    of more than `silent_max_ms` not at all (0: whatever its length).
    """
    schedule, last = rule.schedule, last_sign(turn.actor, rule)
    timer = turn.actor.timers.get(f"{LETTER}:{rule.id}")
    if schedule is None or last is None or (timer is not None and timer.data[0] == rule.version):
        return
    due = due_at(turn.actor, schedule, last)
    if due < turn.now:
        if silent_max_ms and turn.now - last > silent_max_ms:
            return
        due = due_at(turn.actor, schedule, turn.now - schedule.silent_ms)
    if not is_told(turn.actor, rule, last):
        _arm_at(turn, rule, schedule, due)


def come_up(turn: Turn, rule: Rule, timer: Timer) -> Match | None:
    """Return the match of a silence that has lasted; None: there was a sign of life since."""
    schedule, last = rule.schedule, last_sign(turn.actor, rule)
    if schedule is None or last is None:
        return None
    if due_at(turn.actor, schedule, last) > timer.due:
        _arm(turn, rule)
        return None
    state = state_of(turn, rule)
    state.schedule = {**state.schedule, "done": str(last)}
    if not schedule.event:
        turn.actor.dated = ""  # the next sign of life begins another silence
    day = day_of(timer.due, zone_of(turn.actor))
    return of_date(rule.id, day, timer.data[1], due=timer.due, since=last)


def _arm(turn: Turn, rule: Rule) -> bool:
    schedule, last = rule.schedule, last_sign(turn.actor, rule)
    assert schedule is not None
    if last is None or is_told(turn.actor, rule, last):
        return bool(schedule.event)  # which asks again when it comes
    return _arm_at(turn, rule, schedule, due_at(turn.actor, schedule, last))


def _arm_at(turn: Turn, rule: Rule, schedule: Schedule, due: int) -> bool:
    late, data = turn.lateness_ms(schedule.event or _ANY), [rule.version, turn.node_id]
    return turn.arm(f"{LETTER}:{rule.id}", due, lateness_ms=late, data=data)


def last_sign(actor: Actor, rule: Rule) -> int | None:
    """Return the last sign of life (UTC ms), of the rule's type or of any; None without one."""
    schedule, logs = rule.schedule, actor.logs
    assert schedule is not None
    if schedule.event:
        names = [schedule.event] if schedule.event in logs else []
    else:
        names = [name for name in logs if name not in schedule.ours]
    return max((memoryview(logs[name].times).cast("q")[-1] for name in names), default=None)


def is_told(actor: Actor, rule: Rule, last: int) -> bool:
    """Tell whether the rule has come true already for the silence since `last` (UTC ms)."""
    state = actor.rules.get(rule.id)
    return state is not None and str(state.schedule.get("done", "")) >= str(last)


def due_at(actor: Actor, schedule: Schedule, last: int) -> int:
    """Return when a silence that began at `last` is long enough (UTC ms both)."""
    due = last + schedule.silent_ms
    if schedule.at_minutes < 0:
        return due
    return next_time_of_day(due, schedule.at_minutes, zone_of(actor))
