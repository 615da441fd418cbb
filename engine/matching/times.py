"""`times: n, within: w`: n events whose last and first lie less than w apart."""

from bisect import insort
from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from engine.decision.match import Mark, Match
from engine.matching.cancel import called_off_at, ends
from engine.matching.partial import RUNS_MAX, Partial, Run, can_go_on, has_gone_on, open_count
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
            run = run or _begun(turn, rule, partial, match, mark)
            run.match.first_at = counted[0][0]
        counted = []
        if mark not in before and rule.repeat == "each" and _are_many(rule, runs, mark):
            turn.outcome.count("suppressed")
            partial.seen = [each for each in partial.seen if each > mark]
        else:
            runs.append(run)
    if rule.repeat == "restart" and (before or len(runs) > len(partial.runs)):
        _take_over(runs)
    partial.runs = runs


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


def _are_many(rule: Rule, runs: list[Run], mark: Mark) -> bool:
    return open_count(rule, runs, mark) >= RUNS_MAX


def _begun(turn: Turn, rule: Rule, partial: Partial, match: Match, mark: Mark) -> Run:
    """Return the run of a set that is full at `mark`, by the arrival of `match`."""
    at, cause = mark
    events = {rule.steps[0].alias: partial.data.get(cause, {})}
    found = msgspec.structs.replace(match, cause=cause, at=at, events=events, marks=[mark])
    run = Run(1, found)
    if rule.cancels:
        ends(turn, rule, partial, found, run)
    return run


def _take_over(runs: list[Run]) -> None:
    """Let each run end where the next begins, unless it was called off before."""
    for run, behind in zip_longest(runs, runs[1:]):
        called_off = run.until if run.until is not None and not run.until[1] else None
        ends_at = [called_off, None if behind is None else behind.began]
        run.until = min((each for each in ends_at if each is not None), default=None)
