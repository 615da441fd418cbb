"""What a rule remembers of an actor until it comes true: bounded, and forgotten when too old."""

from typing import Any

import msgspec

from engine.decision.decide import state_of
from engine.decision.match import Mark, Match
from engine.events.model import Event
from engine.profile.model import TIMERS_MAX
from engine.profile.turn import Turn
from engine.rules.model import Rule

SEEN_MAX = 256  # events of a first step that wants several
RUNS_MAX = 10  # matches under way, and waits, of one instance: `repeat: each` has no more
EARLY_MAX = 4  # events that came before what they follow
STOPS_MAX = 16
INSTANCES_MAX = TIMERS_MAX  # of `per`: each may need a timer
INSTANCE_LENGTH_MAX = 128


class Run(msgspec.Struct, array_like=True):
    """A match under way: the steps before `place` are done, `seen` counts for that one.

    `until`: the later start that has taken over, None while none has.
    """

    place: int
    match: Match
    seen: list[Mark] = []
    until: Mark | None = None

    @property
    def began(self) -> Mark:
        """The last event of the first step."""
        return self.match.marks[0]

    @property
    def last(self) -> Mark:
        """The last event of the last step that is done."""
        return self.match.at, self.match.cause


class Early(msgspec.Struct, array_like=True):
    """An event of a later step that arrived before what it follows, or one that stops a wait."""

    place: int
    mark: Mark
    received_at: int
    data: dict[str, Any]


class Wait(msgspec.Struct, array_like=True):
    """A match that waits for something not to happen until `due`; it did at `end` (None: not)."""

    due: int
    match: Match
    end: int | None = None

    @property
    def mark(self) -> Mark:
        """Its place in the order of events."""
        return self.match.at, self.match.cause


class Partial(msgspec.Struct, array_like=True):
    """All that one rule remembers of one instance (`per`; without it there is one, '').

    `seen`: of a first step that wants several; `data`: by event id what the rule reads of them.
    `runs`, `waits`: in the order of their events.
    """

    seen: list[Mark] = []
    data: dict[str, Any] = {}
    runs: list[Run] = []
    early: list[Early] = []
    waits: list[Wait] = []
    stops: list[Early] = []


def instance_of(rule: Rule, event: Event) -> str | None:
    """Return which instance of a rule an event is about, None if it does not say."""
    if not rule.per:
        return ""
    value = event.data.get(rule.per)
    return None if value is None else str(value)[:INSTANCE_LENGTH_MAX]


def awaits_sets(rule: Rule) -> bool:
    """Tell whether a rule waits for something not to happen after several events of one step."""
    return rule.absent is not None and len(rule.steps) == 1 and rule.steps[0].times > 1


def known(turn: Turn, rule: Rule, instance: str) -> Partial | None:
    """Return what this version of a rule remembers of an instance, None if nothing."""
    state = turn.actor.rules.get(rule.id)
    if state is None or state.version != rule.version:
        return None
    found = state.partial.get(instance)
    if type(found) is not Partial and found is not None:  # as it comes from the store
        found = state.partial[instance] = msgspec.convert(found, Partial)
        _put_in_order(found)
    return found


def _put_in_order(partial: Partial) -> None:
    """Two persons' memories are one behind the other after a merge."""
    partial.seen.sort()
    partial.runs.sort(key=lambda each: each.began)
    partial.waits.sort(key=lambda each: each.mark)


def opened(turn: Turn, rule: Rule, instance: str) -> Partial | None:
    """Return the same, made new if there is nothing; None, counted, where there are too many."""
    found = known(turn, rule, instance)
    if found is None:
        partial = state_of(turn, rule).partial
        if len(partial) >= INSTANCES_MAX:
            for name in list(partial):
                tidy(turn, rule, name)
            if len(partial) >= INSTANCES_MAX:
                turn.outcome.count("suppressed")
                return None
        found = partial[instance] = Partial()
    return found


def tidy(turn: Turn, rule: Rule, instance: str) -> None:
    """Forget what can no longer change anything; an empty instance goes altogether."""
    partial = known(turn, rule, instance)
    if partial is None:
        return
    arrived = arrived_until(turn, rule)
    # A match of something older than this would be too late to act on, so nobody waits for it.
    oldest = arrived - rule.fresh_ms
    if partial.seen:
        first = rule.steps[0].within_ms or 0
        seen = [mark for mark in partial.seen if mark[0] > oldest - first][-SEEN_MAX:]
        if partial.runs and seen and seen[0][0] <= arrived:
            seen = _unused(rule, partial.runs, seen, arrived)
        partial.seen = seen
    if partial.data:
        ids = {id for _, id in partial.seen}
        partial.data = {id: data for id, data in partial.data.items() if id in ids}
    if partial.runs:
        kept = [run for run in partial.runs if _is_open(rule, run, arrived, oldest)]
        if rule.repeat == "keep-first" and len(kept) > 1:
            kept = _worth_keeping(rule, kept, arrived)
        partial.runs = kept[-RUNS_MAX:]
    if partial.early:
        partial.early = [early for early in partial.early if early.mark[0] > oldest][-EARLY_MAX:]
    if partial.stops:
        partial.stops = [stop for stop in partial.stops if stop.mark[0] > arrived][-STOPS_MAX:]
    if not (partial.seen or partial.runs or partial.early or partial.waits or partial.stops):
        del turn.actor.rules[rule.id].partial[instance]


def _worth_keeping(rule: Rule, runs: list[Run], arrived: int) -> list[Run]:
    """Return what `keep-first` keeps of some runs: those that lead before those that are ignored.

    Where there are too many, first what only an event could still use that is later than it may be.
    """
    lead = leading(rule, runs)
    ignored = [run for run in runs if run.began[0] > arrived and run not in lead]
    many = len(lead) + len(ignored) - RUNS_MAX
    if many > 0:
        over = [run for run in lead if not can_go_on(rule, run, (arrived, ""))][:many]
        lead = [run for run in lead if run not in over][-RUNS_MAX:]
        ignored = ignored[: RUNS_MAX - len(lead)]
    return sorted([*lead, *ignored], key=lambda each: each.began)


def leading(rule: Rule, runs: list[Run]) -> list[Run]:
    """Return the runs that count: under `keep-first` none that began while one before can go on.

    The others are only remembered: what arrives late may hide the one that hides them.
    """
    if rule.repeat != "keep-first" or len(runs) < 2:
        return runs
    found: list[Run] = []
    for run in runs:
        first = run.match.first_at, ""
        if not found or has_gone_on(run) or not can_go_on(rule, found[-1], first):
            found.append(run)
    return found


def has_gone_on(run: Run) -> bool:
    """Tell whether a run has taken an event behind its first step: nothing takes that back."""
    return run.place > 1 or bool(run.seen)


def can_go_on(rule: Rule, run: Run, mark: Mark) -> bool:
    """Tell whether a run can take an event of a place in the order of events."""
    within = rule.steps[run.place].within_ms
    in_time = within is None or mark[0] <= run.match.at + within
    return in_time and (run.until is None or run.until > mark)


def open_count(rule: Rule, runs: list[Run], mark: Mark) -> int:
    """Return how many of some runs can take an event of a place in the order of events."""
    return sum(can_go_on(rule, run, mark) for run in runs)


def arrived_until(turn: Turn, rule: Rule) -> int:
    """Return the instant up to which all that the rule listens to has arrived.

    By T and not by log time: an event that is forwarded may be on its way for longer than it may be
    late, and what it would have met must not be forgotten by then.
    """
    return turn.passed - max(map(turn.lateness_ms, rule.hears), default=0)


def _unused(rule: Rule, runs: list[Run], seen: list[Mark], arrived: int) -> list[Mark]:
    """Return the events of a first step without those that can be in no other set any more."""
    over = next((run for run in reversed(runs) if run.began[0] <= arrived), None)
    if over is None:
        return seen
    return [mark for mark in seen if mark[0] > arrived or not is_used(rule, over, mark)]


def is_used(rule: Rule, run: Run, mark: Mark) -> bool:
    """Tell whether an event of a first step is in the set of a run or before, or ignored for it."""
    return mark <= run.began or (rule.repeat == "keep-first" and can_go_on(rule, run, mark))


def _is_open(rule: Rule, run: Run, arrived: int, oldest: int) -> bool:
    """Tell whether a run may still take an event."""
    if run.until is not None and run.until[0] <= arrived:
        return False
    within = rule.steps[run.place].within_ms
    return within is None or run.match.at + within > oldest
