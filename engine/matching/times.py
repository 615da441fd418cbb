"""`times: n, within: w`: n events whose last and first lie less than w apart."""

from bisect import insort
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import msgspec

from engine.decision.match import Mark, Match
from engine.matching.cancel import called_off_at, ends
from engine.matching.partial import (
    RUNS_MAX,
    Partial,
    Run,
    Wait,
    arrived_until,
    can_go_on,
    has_gone_on,
    open_count,
)
from engine.profile.turn import Turn
from engine.rules.model import Rule


def completes(
    seen: Sequence[Mark], new: Mark, times: int, within_ms: int
) -> tuple[list[Mark], list[Mark]]:
    """Return (events to remember, a full set or []).

    `seen`: in order. A full set holds the new event, since older ones have been looked at before;
    where several do, it is the earliest. It uses up all events up to its last: the count starts
    from zero again behind it.

    >>> completes([(0, "a"), (4, "b")], (9, "c"), 3, 10)
    ([], [(0, 'a'), (4, 'b'), (9, 'c')])
    >>> completes([(0, "a"), (4, "b")], (10, "c"), 3, 10)
    ([(0, 'a'), (4, 'b'), (10, 'c')], [])
    """
    events = list(seen)
    insort(events, new)
    place = events.index(new)
    for first in range(max(0, place - times + 1), min(place, len(events) - times) + 1):
        behind = first + times
        if events[behind - 1][0] - events[first][0] < within_ms:
            return events[behind:], events[first:behind]
    return events, []


def regroup(turn: Turn, rule: Rule, partial: Partial, match: Match) -> None:
    """Let the full sets of a first step that others follow be runs.

    `match`: of the event that makes it necessary. The sets are those of event order, whenever their
    events arrived: one that comes late may part others anew. A run that has gone on, or of which an
    event is forgotten, stays.
    """
    seen, runs = partial.seen, partial.runs
    if runs and seen and match.marks[0] == seen[-1] > runs[-1].began:
        behind = runs[-1].began  # the usual case: nothing before it changes
        before: dict[Mark, Run] = {}
        marks, runs = [mark for mark in seen if mark > behind], list(runs)
    else:
        before = {run.began: run for run in runs}
        marks, runs = sorted({*seen, *before}), []
    counted: list[Mark] = []
    for mark in marks:
        run = before.get(mark)
        if run is None or not _stays(run, seen):
            counted = count(turn, rule, partial, runs, counted, mark)
            if len(counted) < rule.steps[0].times:
                continue
            run = run or _begun(turn, rule, partial, match, counted)
            run.match.first_at = counted[0][0]
        counted = []
        is_new = mark not in before and rule.repeat == "each"
        if is_new and open_count(rule, runs, mark) >= RUNS_MAX:
            turn.outcome.count("suppressed")
            partial.seen = [each for each in partial.seen if each > mark]
        else:
            runs.append(run)
    if rule.repeat == "restart" and (before or len(runs) > len(partial.runs)):
        _take_over(runs)
    partial.runs = runs


def new_sets(turn: Turn, rule: Rule, partial: Partial, match: Match) -> list[Match]:
    """Return matches about the full sets of an only step that nothing waits for yet.

    `match`: of the event that makes it necessary, the newest of `seen` by arrival. Waits for sets
    that there are no more in event order go.
    """
    seen, mark = partial.seen, match.marks[0]
    is_newest = not seen or mark > seen[-1]
    if not is_newest:
        _forget(turn, rule, partial, _sets(turn, rule, partial))
    insort(partial.seen, mark)
    found = _sets(turn, rule, partial)
    if is_newest:  # the usual case: it parts none anew
        own = [each for each in found if each[-1] == mark]
        found = _forget(turn, rule, partial, found) or own
    full = {each[-1]: each for each in found}
    if not is_newest:
        partial.waits = [each for each in partial.waits if _is_wait(each, full, partial.seen)]
    known = {each.mark for each in partial.waits}
    return [_about(rule, partial, match, each) for end, each in full.items() if end not in known]


def _is_wait(wait: Wait, full: Mapping[Mark, list[Mark]], seen: list[Mark]) -> bool:
    """Tell whether a wait is for a set, now that these are full; one partly forgotten stays."""
    if wait.mark in full:
        wait.match.first_at = full[wait.mark][0][0]
        return True
    return wait.match.first_at < seen[0][0] or wait.mark not in seen


def _sets(turn: Turn, rule: Rule, partial: Partial) -> list[list[Mark]]:
    """Return the full sets of what is remembered, one behind the other."""
    found: list[list[Mark]] = []
    counted: list[Mark] = []
    for mark in partial.seen:
        counted = count(turn, rule, partial, [], counted, mark)
        if len(counted) == rule.steps[0].times:
            found.append(counted)
            counted = []
    return found


def _forget(turn: Turn, rule: Rule, partial: Partial, found: list[list[Mark]]) -> list[list[Mark]]:
    """Forget the events of sets that nothing can part any more; return the other sets."""
    arrived = arrived_until(turn, rule)
    left = [each for each in found if each[-1][0] > arrived]
    if len(left) < len(found):
        last = found[len(found) - len(left) - 1][-1]
        partial.seen = [mark for mark in partial.seen if mark > last]
    return left


def count(
    turn: Turn, rule: Rule, partial: Partial, runs: list[Run], counted: list[Mark], mark: Mark
) -> list[Mark]:
    """Return which events count towards the next set, after one more.

    `runs`: of the sets before, in order. `counted`: those before that count.
    """
    if rule.repeat == "keep-first" and runs and can_go_on(rule, runs[-1], mark):
        return counted
    if counted and rule.cancels:
        since = counted[-1][0]
        if called_off_at(turn, rule, partial, {}, since, mark[0]) is not None:
            counted = []
    within = rule.steps[0].within_ms or 0
    return [*(each for each in counted if mark[0] - each[0] < within), mark]


def _stays(run: Run, seen: list[Mark]) -> bool:
    """Tell whether a run is no longer asked of which events it is made."""
    if has_gone_on(run) or not seen:
        return True
    return run.match.first_at < seen[0][0] or run.began not in seen


def _begun(turn: Turn, rule: Rule, partial: Partial, match: Match, full: list[Mark]) -> Run:
    """Return the run of a set that is full, by the arrival of `match`."""
    run = Run(1, _about(rule, partial, match, full))
    if rule.cancels:
        ends(turn, rule, partial, run.match, run)
    return run


def _about(rule: Rule, partial: Partial, match: Match, full: list[Mark]) -> Match:
    at, cause = full[-1]
    events = {rule.steps[0].alias: partial.data.get(cause, {})}
    return msgspec.structs.replace(
        match, cause=cause, at=at, events=events, first_at=full[0][0], marks=[full[-1]]
    )


def _take_over(runs: list[Run]) -> None:
    """Let each run end where the next begins, unless it was called off before."""
    for run, behind in zip_longest(runs, runs[1:]):
        called_off = run.until if run.until is not None and not run.until[1] else None
        ends_at = [called_off, None if behind is None else behind.began]
        run.until = min((each for each in ends_at if each is not None), default=None)
