"""`not: .. within ..`: a match waits, and comes true unless something happens in (t0, t0 + within].

Waits are decided by their timer, once all has arrived that may have happened until then (WIRE.md,
Time): so the answer does not depend on the order of arrival inside the lateness. Of several waits
of one instance, in event order: `restart` keeps the newest of those that overlap, `keep-first`
the first, `each` all. A wait that lost against another is remembered while that may still change.
"""

from bisect import bisect_right
from itertools import zip_longest
from typing import Any

from engine.decision.match import Match
from engine.events.model import Event
from engine.matching.cancel import called_off_at
from engine.matching.partial import (
    RUNS_MAX,
    Early,
    Partial,
    Wait,
    arrived_until,
    awaits_sets,
    known,
    opened,
    tidy,
)
from engine.profile.turn import Turn
from engine.rules.expression.compile import Value
from engine.rules.model import Rule

WITHIN_MS_MAX = 400 * 86_400_000
LETTER = "w"


def wait(turn: Turn, rule: Rule, match: Match) -> None:
    """Let a match wait for what must not happen; what has arrived already counts."""
    within = within_ms(turn, rule, match)
    partial = opened(turn, rule, match.instance) if within else None
    if partial is None:
        return
    new = Wait(match.at + within, match)
    if rule.repeat == "each" and len(alive("each", partial.waits)) >= RUNS_MAX:
        turn.outcome.count("suppressed")
        return
    partial.waits.append(new)
    partial.waits.sort(key=lambda each: each.mark)
    _look_back(turn, rule, partial, new)
    plan(turn, rule, match.instance, partial)


def stop(turn: Turn, rule: Rule, event: Event, instance: str) -> None:
    """Let an event end the waits that it falls into."""
    partial = known(turn, rule, instance)
    absent = rule.absent
    assert absent is not None
    happened = Early(-1, (event.at, event.id), event.received_at, event.data)
    if remembers(rule):
        partial = partial or opened(turn, rule, instance)
        if partial is None:
            return
        kept = Early(-1, happened.mark, event.received_at, rule.kept(absent.event, event.data))
        partial.stops.append(kept)
    if partial is None:
        _note_late(turn, rule, event)
        return
    for each in partial.waits:
        _end(turn, rule, each, happened)
    plan(turn, rule, instance, partial)


def look_again(turn: Turn, rule: Rule, instance: str) -> None:
    """Look at all waits of an instance anew: something may have called them off."""
    partial = known(turn, rule, instance)
    if partial is not None:
        for each in partial.waits:
            _look_back(turn, rule, partial, each)
        plan(turn, rule, instance, partial)


def come_up(turn: Turn, rule: Rule, instance: str, due: int) -> list[Match]:
    """Return the matches whose waits are over at `due` (UTC ms); the others go on waiting."""
    partial = known(turn, rule, instance)
    if partial is None:
        return []
    for each in partial.waits:  # a merge may have brought what neither of the two knew alone
        _look_back(turn, rule, partial, each)
    over = [each for each in alive(rule.repeat, partial.waits) if each.due <= due]
    kept = partial.waits
    if rule.repeat == "each":
        kept = [each for each in kept if each.due > due]
    elif over:
        kept = [each for each in kept if each.match.at > over[-1].due]
    if awaits_sets(rule) and len(kept) < len(partial.waits):
        last = max(each.mark for each in partial.waits if each not in kept)
        partial.seen = [mark for mark in partial.seen if mark > last]
    partial.waits = kept
    plan(turn, rule, instance, partial)
    for each in over:
        each.match.at, each.match.waited = each.due, True
    return [each.match for each in over]


def alive(repeat: str, waits: list[Wait]) -> list[Wait]:
    """Return the waits, in order, that come true if nothing else happens.

    Only their own times count, never when they arrived: any order of arrival gives one answer.
    """
    if repeat == "each":
        return [each for each in waits if each.end is None]
    found = []
    if repeat == "restart":
        for each, behind in zip_longest(waits, waits[1:]):
            if each.end is None and (behind is None or behind.match.at > each.due):
                found.append(each)
        return found
    until = None
    for each in waits:
        if until is None or each.match.at > until:
            until = each.due if each.end is None else each.end
            if each.end is None:
                found.append(each)
    return found


def remembers(rule: Rule) -> bool:
    """Tell whether what must not happen is noted even while nothing waits for it.

    The log of an event type tells when it happened, but not on what, nor to which instance.
    """
    return bool(rule.per) or (rule.absent is not None and rule.absent.where is not None)


def within_ms(turn: Turn, rule: Rule, match: Match) -> int:
    """Return how long a match waits; 0 where the rule computes it and it is unknown."""
    absent = rule.absent
    assert absent is not None
    if isinstance(absent.within, Value):
        value: Any = absent.within.get(match.events, turn.actor, match.at)
        return min(int(value), WITHIN_MS_MAX) if value is not None and value > 0 else 0
    return absent.within_ms or 0


def _look_back(turn: Turn, rule: Rule, partial: Partial, new: Wait) -> None:
    """End a wait by what happened in it and arrived before it."""
    absent = rule.absent
    assert absent is not None
    if rule.cancels:
        off = called_off_at(turn, rule, partial, new.match.events, new.match.first_at, new.due)
        if off is not None and (new.end is None or off < new.end):
            new.end = off
    if remembers(rule):
        for happened in partial.stops:
            if happened.place == -1:
                _end(turn, rule, new, happened)
        return
    log = turn.actor.logs.get(absent.event)
    if log is not None:
        times = memoryview(log.times).cast("q")
        place = bisect_right(times, new.match.at)
        if place < len(times) and times[place] <= (new.due if new.end is None else new.end):
            new.end = times[place]


def _end(turn: Turn, rule: Rule, each: Wait, happened: Early) -> None:
    absent, at = rule.absent, happened.mark[0]
    assert absent is not None
    if not each.match.at < at <= (each.due if each.end is None else each.end):
        return
    if absent.where is not None:
        events = {**each.match.events, absent.alias: happened.data}
        if not absent.where.holds(events, turn.actor, at):
            return
    each.end = at


def _note_late(turn: Turn, rule: Rule, event: Event) -> None:
    """Count what arrived too late to stop a decision; the decision stands."""
    state = turn.actor.rules.get(rule.id)
    absent = rule.absent
    assert absent is not None
    if state is not None and absent.where is None and absent.within_ms is not None:
        within = absent.within_ms
        if any(fired - within < event.at <= fired for fired in state.fired):
            turn.outcome.count("late_event")


def plan(turn: Turn, rule: Rule, instance: str, partial: Partial) -> None:
    """Arm the timer of the next wait that is over, and forget those that nothing can bring back."""
    absent = rule.absent
    assert absent is not None
    living = alive(rule.repeat, partial.waits)
    name = f"{LETTER}:{rule.id}:{instance}"
    if living:
        due = min(each.due for each in living)
        armed = turn.actor.timers.get(name)
        if armed is None or armed.due != due or armed.data != [rule.version]:
            late = max(map(turn.lateness_ms, rule.ends))
            turn.arm(name, due, lateness_ms=late, data=[rule.version])
    else:
        turn.cancel(name)
    if len(living) < len(partial.waits):
        partial.waits = _worth_keeping(turn, rule, partial.waits, living)
    tidy(turn, rule, instance)


def _worth_keeping(turn: Turn, rule: Rule, waits: list[Wait], living: list[Wait]) -> list[Wait]:
    """Return the living, and the lost that may still decide about one that arrives late."""
    if rule.repeat == "each" and not awaits_sets(rule):
        return living
    arrived, alive_ids = arrived_until(turn, rule), set(map(id, living))
    if rule.repeat == "keep-first":
        waits = _unsettled(waits, arrived)
    lost = [
        each
        for each in waits
        if id(each) not in alive_ids and max(each.match.at, each.end or 0) > arrived
    ][-RUNS_MAX:]
    for each in lost:
        if (each.end is not None or rule.repeat == "restart") and not awaits_sets(rule):
            each.match.events = {}  # it will never be decided: only its times are needed
    return sorted([*living, *lost], key=lambda each: each.mark)


def _unsettled(waits: list[Wait], arrived: int) -> list[Wait]:
    """Return the waits without those that nothing can bring back, and all that these were first to.

    What a wait was first to goes with it: left alone it would be first itself, to the next.
    """
    kept, until, settled = [], None, False
    for each in waits:
        if until is None or each.match.at > until:
            until = each.due if each.end is None else each.end
            settled = each.end is not None and each.end <= arrived
        if not settled:
            kept.append(each)
    return kept
