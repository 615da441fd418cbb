"""`unless: ..`: what calls a rule off, from its first step until it acts.

What happens in (first step, decision] ends matches under way, waits, and matches that quiet hours
hold; at the same instant as a step it counts as later. An event type without `where` and `per` is
read from its log; else what may still meet a late first step is remembered among the `stops`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from engine.decision.decide import HELD
from engine.decision.match import Mark, Match
from engine.events.model import Event
from engine.matching.partial import Early, Partial, known, opened, tidy
from engine.profile.turn import Turn
from engine.rules.model import Rule, Step

ASKING = "g"  # letter of the timers of matches that wait for their incident (guard.py)
FIRST_PLACE = -2  # of the first `unless` among the stops; -1 is the absent step
_Events = Mapping[str, Mapping[str, Any]]


def called_off_at(
    turn: Turn, rule: Rule, partial: Partial | None, events: _Events, since: int, until: int
) -> int | None:
    """Return when a rule was first called off in (since, until] (UTC ms), None if it was not.

    `events`: alias -> data of the steps so far, which a `where` may ask about.
    """
    found = [
        at
        for place, step in enumerate(rule.cancels)
        for at in _times(turn, rule, partial, events, FIRST_PLACE - place, step)
        if since < at <= until
    ]
    return min(found, default=None)


def call_off(turn: Turn, rule: Rule, event: Event, instance: str) -> None:
    """Let an event end what is under way, and what quiet hours hold; waits look for themselves."""
    for place, step in enumerate(rule.cancels):
        if step.event != event.type:
            continue
        if _is_remembered(rule, step):
            partial = opened(turn, rule, instance)
            if partial is None:
                return
            data = rule.kept(step.event, event.data)
            mark = (event.at, event.id)
            partial.stops.append(Early(FIRST_PLACE - place, mark, event.received_at, data))
    _end_held(turn, rule, instance)
    partial = known(turn, rule, instance)
    if partial is not None:
        for run in partial.runs:
            ends(turn, rule, partial, run.match, run)
        if rule.absent is None:
            tidy(turn, rule, instance)


def ends(turn: Turn, rule: Rule, partial: Partial, match: Match, run: Any) -> None:
    """Let a run take nothing from the instant on at which it was called off."""
    at = called_off_at(turn, rule, partial, match.events, match.first_at, _END)
    if at is not None and (run.until is None or (at, "") < run.until):
        run.until = (at, "")


def together(
    turn: Turn, rule: Rule, partial: Partial, seen: list[Mark], new: Mark
) -> tuple[list[Mark], list[Mark]]:
    """Part the events of a first step: those that count with a new one, and the others."""
    near: list[Mark] = []
    far: list[Mark] = []
    for mark in seen:
        low, high = sorted((mark[0], new[0]))
        apart = called_off_at(turn, rule, partial, {}, low, high) is not None
        (far if apart else near).append(mark)
    return near, far


def review(turn: Turn, rule: Rule, instance: str) -> None:
    """Take a match back that is held, if it was called off before it was."""
    if rule.cancels and (rule.quiet is not None or rule.guard is not None or rule.context):
        _end_held(turn, rule, instance)


_END = 1 << 62


def _end_held(turn: Turn, rule: Rule, instance: str) -> None:
    for letter in (HELD, ASKING):
        _end_one(turn, rule, instance, f"{letter}:{rule.id}:{instance}")


def _end_one(turn: Turn, rule: Rule, instance: str, name: str) -> None:
    timer = turn.actor.timers.get(name)
    if timer is None:
        return
    match = msgspec.convert(timer.data[1], Match)
    partial = known(turn, rule, instance)
    at = called_off_at(turn, rule, partial, match.events, match.first_at, timer.due)
    if at is not None:
        turn.cancel(name)


def _times(
    turn: Turn, rule: Rule, partial: Partial | None, events: _Events, place: int, step: Step
) -> Iterator[int]:
    if _is_remembered(rule, step):
        for stop in () if partial is None else partial.stops:
            if stop.place == place and _holds(turn, step, events, stop):
                yield stop.mark[0]
        return
    log = turn.actor.logs.get(step.event)
    if log is not None:
        yield from memoryview(log.times).cast("q")


def _is_remembered(rule: Rule, step: Step) -> bool:
    """The log of an event type tells when it happened, but not on what, nor to which instance."""
    return bool(rule.per) or step.where is not None


def _holds(turn: Turn, step: Step, events: _Events, stop: Early) -> bool:
    if step.where is None:
        return True
    both = {**{name: dict(data) for name, data in events.items()}, step.alias: stop.data}
    return step.where.holds(both, turn.actor, stop.mark[0])
