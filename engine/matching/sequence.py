"""Steps one after the other: which event takes which step of a rule, also out of order.

Other events may lie between. In event order, `restart` lets a new first step take over,
`keep-first` ignores it while the one before can still go on, `each` follows up to RUNS_MAX at once.
An event that arrives later than one behind it can add a match, never take one back: runs that a
later start has taken over, starts that are ignored, and events that came too early, are remembered
for a while.
"""

from bisect import insort
from typing import Any

from engine.decision.match import Mark, Match
from engine.events.model import Event
from engine.matching import absence, cancel
from engine.matching.partial import (
    RUNS_MAX,
    Early,
    Partial,
    Run,
    awaits_sets,
    can_go_on,
    known,
    leading,
    open_count,
    opened,
    tidy,
)
from engine.matching.times import completes, new_sets, regroup
from engine.profile.turn import Turn
from engine.rules.model import Rule, Step


def take(
    turn: Turn, rule: Rule, places: tuple[int, ...], event: Event, instance: str
) -> list[Match]:
    """Let an event take the steps at `places` (the latest first); return what it completes."""
    partial = known(turn, rule, instance)
    early = Early(0, (event.at, event.id), event.received_at, event.data)
    if partial is not None and partial.runs and places[0]:
        taken, matches = _continue(turn, rule, partial, places, early, instance)
        if taken:
            tidy(turn, rule, instance)
            return matches
    matches = []
    if places[-1] == 0 and _holds(turn, rule, rule.steps[0], {}, early):
        matches = _start(turn, rule, early, instance)
    elif places[0]:
        _remember(turn, rule, places, early, instance)
    tidy(turn, rule, instance)
    return matches


def _continue(
    turn: Turn,
    rule: Rule,
    partial: Partial,
    places: tuple[int, ...],
    event: Early,
    instance: str,
) -> tuple[bool, list[Match]]:
    """Let the runs that can take an event have it: the first of them, or each."""
    taken, matches = False, []
    for run in leading(rule, partial.runs):
        if run.place not in places or not _fits(turn, rule, run, event):
            continue
        taken = True
        done = _step(rule, run, event) or _catch_up(turn, rule, run, partial)
        if done:
            matches.append(run.match)
            _used_up(turn, rule, partial, run)
        if rule.repeat != "each":
            break
    if matches:
        matches += _caught_up(turn, rule, partial, partial.runs)
    return taken, matches


def _start(turn: Turn, rule: Rule, event: Early, instance: str) -> list[Match]:
    """Take the first step, and the ones behind it that had come too early."""
    step = rule.steps[0]
    if step.times > 1 and len(rule.steps) > 1 and _is_ignored(turn, rule, event, instance):
        return []
    match = Match(
        cause=event.mark[1],
        at=event.mark[0],
        received_at=event.received_at,
        events={step.alias: rule.kept(step.event, event.data)},
        instance=instance,
        first_at=event.mark[0],
        marks=[event.mark],
    )
    if step.times == 1 and len(rule.steps) == 1:
        return [match]
    partial = opened(turn, rule, instance)
    if partial is None:
        return []
    if step.times == 1:
        return _run(turn, rule, partial, Run(1, match))
    if match.events[step.alias]:
        partial.data[match.cause] = match.events[step.alias]
    if awaits_sets(rule):
        before = len(partial.waits)
        found = new_sets(turn, rule, partial, match)
        if not found and len(partial.waits) < before:
            absence.plan(turn, rule, instance, partial)
        return found
    if len(rule.steps) == 1:
        return [match] if _counts(turn, rule, partial, match) else []
    if event.mark not in partial.seen:
        insort(partial.seen, event.mark)
    regroup(turn, rule, partial, match)
    return _caught_up(turn, rule, partial, partial.runs)


def _is_ignored(turn: Turn, rule: Rule, event: Early, instance: str) -> bool:
    """Tell whether a start, the newest, is only noted: under `keep-first` one before can go on."""
    if rule.repeat != "keep-first" or (partial := known(turn, rule, instance)) is None:
        return False
    runs, seen, mark = partial.runs, partial.seen, event.mark
    newest = runs and runs[-1].began < mark and (not seen or seen[-1] < mark)
    if not newest or not can_go_on(rule, runs[-1], mark):
        return False
    seen.append(mark)
    if kept := rule.kept(rule.steps[0].event, event.data):
        partial.data[mark[1]] = kept
    return True


def _counts(turn: Turn, rule: Rule, partial: Partial, match: Match) -> bool:
    """Count an event of a rule's only step; True, with the match about the set, if it is full."""
    step, mark, seen = rule.steps[0], match.marks[0], partial.seen
    apart: list[Mark] = []
    if rule.cancels:
        seen, apart = cancel.together(turn, rule, partial, seen, mark)
    partial.seen, full = completes(seen, mark, step.times, step.within_ms or 0)
    if apart:
        left = [each for each in apart if not full or each > full[-1]]
        partial.seen = sorted([*partial.seen, *left])
    if not full:
        return False
    match.events = {step.alias: partial.data.get(full[-1][1], {})}
    match.first_at, (match.at, match.cause), match.marks = full[0][0], full[-1], [full[-1]]
    return True


def _run(turn: Turn, rule: Rule, partial: Partial, run: Run) -> list[Match]:
    """Put a new run among the others, by the rule's `repeat`."""
    runs = partial.runs
    if rule.repeat == "restart":
        for other in runs:
            if other.began < run.began and (other.until is None or other.until > run.began):
                other.until = run.began
        run.until = min((r.began for r in runs if r.began > run.began), default=None)
    elif rule.repeat == "each" and open_count(rule, runs, run.last) >= RUNS_MAX:
        turn.outcome.count("suppressed")
        return []
    if rule.cancels:
        cancel.ends(turn, rule, partial, run.match, run)
    runs.append(run)
    runs.sort(key=lambda each: each.began)
    # Under `keep-first` a late start may hide one, and so let another lead that it had hidden.
    return _caught_up(turn, rule, partial, runs if rule.repeat == "keep-first" else [run])


def _caught_up(turn: Turn, rule: Rule, partial: Partial, runs: list[Run]) -> list[Match]:
    """Let runs take what had come too early for them; return what that completes."""
    matches = []
    while partial.early and (
        done := next((r for r in leading(rule, runs) if _catch_up(turn, rule, r, partial)), None)
    ):
        matches.append(done.match)
        _used_up(turn, rule, partial, done)
        runs = partial.runs
    return matches


def _catch_up(turn: Turn, rule: Rule, run: Run, partial: Partial) -> bool:
    """Let a run take what had come too early for it; True if that completes it."""
    for early in sorted(partial.early, key=lambda each: each.mark):
        same = rule.steps[early.place].event == rule.steps[run.place].event
        if same and _fits(turn, rule, run, early):
            partial.early.remove(early)
            if _step(rule, run, early):
                return True
    return False


def _fits(turn: Turn, rule: Rule, run: Run, event: Early) -> bool:
    """Tell whether an event can be the next one of a run."""
    step = rule.steps[run.place]
    at = event.mark[0]
    if not (run.match.at < at and (step.within_ms is None or at <= run.match.at + step.within_ms)):
        return False
    if run.until is not None and event.mark >= run.until:
        return False
    return event.mark not in run.seen and _holds(turn, rule, step, run.match.events, event)


def _step(rule: Rule, run: Run, event: Early) -> bool:
    """Let a run take an event; True if it was the last that was missing."""
    step, match = rule.steps[run.place], run.match
    run.seen = sorted([*run.seen, event.mark])
    if event.mark == run.seen[-1]:
        match.events = {**match.events, step.alias: rule.kept(step.event, event.data)}
    match.received_at = max(match.received_at, event.received_at)
    if len(run.seen) < step.times:
        return False
    match.at, match.cause = run.seen[-1]
    match.marks = [*match.marks, run.seen[-1]]
    run.seen = []
    run.place += 1
    return run.place == len(rule.steps)


def _used_up(turn: Turn, rule: Rule, partial: Partial, run: Run) -> None:
    """A match uses up its run, and, unless each is followed, all that had begun before its end."""
    if rule.repeat == "each":
        partial.runs = [other for other in partial.runs if other is not run]
        partial.seen = [mark for mark in partial.seen if mark > run.began]
        return
    partial.runs = [
        other
        for other in partial.runs
        if other.began > run.last and other.match.first_at >= run.match.at
    ]
    partial.seen = [mark for mark in partial.seen if mark > run.last]
    partial.early = [early for early in partial.early if early.mark > run.last]
    if rule.steps[0].times > 1:
        regroup(turn, rule, partial, run.match)


def _remember(turn: Turn, rule: Rule, places: tuple[int, ...], event: Early, instance: str) -> None:
    """Keep an event of a later step for a first one that may be under way still."""
    partial = opened(turn, rule, instance)
    if partial is not None:
        place = places[0]
        data = rule.kept(rule.steps[place].event, event.data)
        partial.early.append(Early(place, event.mark, event.received_at, data))


def _holds(
    turn: Turn, rule: Rule, step: Step, before: dict[str, dict[str, Any]], event: Early
) -> bool:
    where = step.where
    if where is None:
        return True
    events = {**before, step.alias: event.data}
    if where.holds(events, turn.actor, event.mark[0]):
        return True
    doubts = step.doubts
    if doubts is not None and doubts.are_justified(event.data, turn.actor):
        if where.is_open(events, turn.actor, event.mark[0]):
            turn.outcome.count("unknown")
            turn.outcome.count(f"unknown:{rule.id}")
    return False
