"""Which rules does an event, or a timer that is due, make come true? Decided in event time.

A positive step is decided when its record is applied; an absence when a tick has passed its due
time and the lateness of what was awaited (WIRE.md, Time). Rules that an event cannot concern are
never looked at: the rule set is indexed by kind of actor and event type.
"""

from typing import Any

import msgspec

from engine.decision.decide import decide, state_of
from engine.decision.goals import reach_goals, take_back
from engine.decision.match import Match
from engine.events.model import Event
from engine.matching import dates
from engine.matching.times import completes
from engine.profile import windows
from engine.profile.model import Timer
from engine.profile.turn import Turn
from engine.rules.compile import NOBODY, RuleSet
from engine.rules.model import Rule, Step

EACH_MAX = 10  # waits of one rule with `repeat: each`
_FAILED = "delivery.failed"


def on_event(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Let an event stop waits, take steps, reach goals; matches are decided at once."""
    actor = turn.actor
    listeners = rules.listeners.get((actor.kind, event.type), NOBODY)
    if actor.timers:
        for rule in listeners.absent:
            _stop_waits(turn, rule, event)
    if actor.goals and event.type in rules.goals:
        reach_goals(turn, event)
    for rule, places in listeners.steps:
        for place in places:
            if _step(rules, turn, rule, place, event):
                break
    for rule in rules.scheduled:
        if rule.key == actor.kind:
            dates.keep_armed(turn, rule, event.at)
    if event.type == _FAILED:
        take_back(rules, turn, event)


def on_timer(rules: RuleSet, turn: Turn, timer_id: str, timer: Timer) -> None:
    """Decide an absence, a date or a match that quiet hours have held; a newer rule drops it."""
    kind, _, rest = timer_id.partition(":")
    name, _, _ = rest.partition(":")
    rule = rules.rules.get(name)
    if rule is None or timer.data[0] != rule.version or rule.status not in ("live", "shadow"):
        return
    if kind == "s":
        dates.come_up(rules, turn, rule, timer)
        return
    match = msgspec.convert(timer.data[1], Match)
    match.at = timer.due
    match.waited = True
    decide(rules, turn, rule, match)


def _step(rules: RuleSet, turn: Turn, rule: Rule, place: int, event: Event) -> bool:
    """Take one step of a rule; False if this event does not take it."""
    step = rule.steps[place]
    instance = ""
    if rule.per:
        value = event.data.get(rule.per)
        if value is None:
            return False
        instance = str(value)
    known: dict[str, Any] | None = None
    if place or step.times > 1:
        remembered = turn.actor.rules.get(rule.id)
        if remembered is not None and remembered.version == rule.version:
            known = remembered.partial.get(instance)
    if place and (known is None or known["step"] != place or not _in_time(step, known, event)):
        return False
    events = {**known["events"], step.alias: event.data} if known else {step.alias: event.data}
    if step.where is not None and not step.where.holds(events, turn.actor, event.at):
        if step.where.unknown(events, turn.actor, event.at):
            turn.outcome.count("unknown")
        return False
    return _taken(rules, turn, rule, place, instance, known, events, event)


def _taken(
    rules: RuleSet,
    turn: Turn,
    rule: Rule,
    place: int,
    instance: str,
    known: dict[str, Any] | None,
    events: dict[str, dict[str, Any]],
    event: Event,
) -> bool:
    step = rule.steps[place]
    at = event.at
    if step.times > 1:
        state = state_of(turn, rule)
        seen = known["seen"] if known is not None and known["step"] == place else []
        seen, done = completes(seen, (at, event.id), step.times, step.within_ms or 0)
        if done is None:
            state.partial[instance] = _partial(place, known, events, event, seen=seen)
            return True
        at = done
    if place + 1 < len(rule.steps):
        state = state_of(turn, rule)
        if place == 0 and rule.repeat == "keep-first" and _is_under_way(rule, state.partial, instance, at):
            return True
        partial = _partial(place + 1, known, events, event, seen=[])
        partial["last"] = at
        state.partial[instance] = partial
        return True
    if known is not None:
        state_of(turn, rule).partial.pop(instance, None)
    match = Match(
        cause=event.id,
        at=at,
        received_at=event.received_at,
        events=events,
        instance=instance,
        first_at=known["first"] if known else at,
        waited=turn.by_timer,
    )
    if rule.absent is None:
        decide(rules, turn, rule, match)
    else:
        _wait(turn, rule, match)
    return True


def _partial(
    place: int,
    known: dict[str, Any] | None,
    events: dict[str, dict[str, Any]],
    event: Event,
    *,
    seen: list[Any],
) -> dict[str, Any]:
    return {
        "step": place,
        "events": events,
        "seen": seen,
        "last": known["last"] if known else event.at,
        "first": known["first"] if known else event.at,
    }


def _in_time(step: Step, known: dict[str, Any], event: Event) -> bool:
    since = event.at - known["last"]
    return since > 0 and (step.within_ms is None or step.times > 1 or since <= step.within_ms)


def _is_under_way(rule: Rule, partial: dict[str, Any], instance: str, at: int) -> bool:
    """Tell whether an earlier match of this instance can still go on at `at`."""
    known = partial.get(instance)
    if known is None or known["step"] == 0:
        return False
    within = rule.steps[known["step"]].within_ms
    return within is None or at <= known["last"] + within


def _wait(turn: Turn, rule: Rule, match: Match) -> None:
    absent = rule.absent
    assert absent is not None and absent.within_ms is not None
    due = match.at + absent.within_ms
    name = f"w:{rule.id}:{match.instance}"
    if rule.repeat == "each":
        prefix = f"{name}#"
        if sum(timer.startswith(prefix) for timer in turn.actor.timers) >= EACH_MAX:
            turn.outcome.count("suppressed")
            return
        name = prefix + match.cause[:8]
    armed = turn.actor.timers.get(name)
    if armed is not None and (rule.repeat == "keep-first" or armed.due >= due):
        return  # the first is kept, or an older event has arrived behind a newer one
    if absent.where is None and not rule.per:
        log = turn.actor.logs.get(absent.event)
        if log is not None and windows.count(log, due, absent.within_ms):
            turn.cancel(name)
            return  # what must not happen has happened already, and arrived before its cause
    turn.arm(
        name,
        due,
        lateness_ms=turn.lateness_ms(absent.event),
        data=[rule.version, msgspec.to_builtins(match)],
    )


def _stop_waits(turn: Turn, rule: Rule, event: Event) -> None:
    absent = rule.absent
    assert absent is not None and absent.within_ms is not None
    prefix = f"w:{rule.id}:"
    if rule.per and (value := event.data.get(rule.per)) is not None:
        prefix += str(value)
    for name in [name for name in turn.actor.timers if name.startswith(prefix)]:
        timer = turn.actor.timers[name]
        if not timer.due - absent.within_ms < event.at <= timer.due:
            continue
        if absent.where is not None:
            events = {**timer.data[1][3], absent.alias: event.data}
            if not absent.where.holds(events, turn.actor, event.at):
                continue
        turn.cancel(name)


__all__ = ["RuleSet", "on_event", "on_timer"]
