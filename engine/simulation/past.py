"""The past once more: the engine's own fold over history, in memory, with the live ticks."""

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop
from sys import maxsize
from typing import Any

from engine.churn.model import initial_model
from engine.clock import SECOND_MS
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Record
from engine.identity.messages import Tick, Version
from engine.keys import node_name
from engine.outcome import Meta, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, read
from engine.pipeline.fold import fold
from engine.pipeline.state import Partition
from engine.rules.compile import RuleSet
from engine.rules.movers import reads_of

MODEL = "initial"  # of a history without models: what an installation begins with
AFTER_MS = 20 * SECOND_MS  # log time behind the last event: its lateness, and the ticker's lag
Heard = Callable[[Partition, Arrival, Outcome], None]


class _Known(dict[str, Any]):
    """What a store would answer: nothing is kept of a name that was never written."""

    def __missing__(self, name: str) -> None:
        return None


def book_of(rules: RuleSet, *, secret: bytes, lateness_ms: Callable[[str], int]) -> Book:
    """Return the book of a history in which one rule set holds from the first record on."""
    models = {MODEL: initial_model()}
    return Book(secret, {rules.version: rules}, models, lateness_ms)


def reads_scores(rules: RuleSet) -> bool:
    """Tell whether any rule asks how likely a customer is to leave: else nobody need be scored."""
    found = [reads for rule in rules.rules.values() for reads in reads_of(rule)]
    found += [segment.condition.reads for segment in rules.segments]
    names = {name for rule in rules.rules.values() for name in rule.hears}
    names |= {rule.schedule.fact for rule in rules.rules.values() if rule.schedule}
    names |= {name for reads in found for name in reads.profile}
    is_told = any(name.startswith(("churn.", "segment.")) for name in names)
    return is_told or any(reads.features for reads in found)


class Past:
    """One partition's log, or a file of events, folded again with every node unpacked in memory.

    `heard` is told of each record that let a rule come true or that sent something. `version`: the
    rule set that holds throughout (it must be in the book); '' follows the RULESET records of the
    log, from `ruleset` and `model` on.
    """

    def __init__(
        self,
        book: Book,
        heard: Heard,
        *,
        index: int = 0,
        count: int = 1,
        version: str = "",
        ruleset: str = "",
        model: str = "",
    ) -> None:
        self._book = book
        self._heard = heard
        self._version = version
        rules = book.rule_sets.get(version)
        self._scores = rules is None or reads_scores(rules)
        self._passed_on: deque[Record] = deque()
        meta = Meta(ruleset=version or ruleset, model=model)
        self.state = Partition(index, count, meta, timers_max=maxsize)
        self.state.nodes = _Known()
        self.state.entries = _Known()

    def record(self, record: Record) -> None:
        """Fold one record of a whole log: what actors sent each other is in it already."""
        arrival = read(record, self._book.secret)
        if self._version and arrival.kind == "ruleset" and arrival.error is None:
            arrival.body = Version(self._version)
        self._fold(arrival)
        self.state.outcome.moves.clear()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each of outcome.CODES has happened so far."""
        return self.state.outcome.counts

    def event(self, event: Event, value: bytes) -> None:
        """Fold an event of a file, and its bytes: log time passes until it came, it arrives."""
        arrived = max(event.at, event.received_at)
        if self._scores and not self.state.meta.model:
            self._control("model", Version(MODEL))
        if arrived - self.state.meta.now >= SECOND_MS:
            self.pass_time(arrived // SECOND_MS * SECOND_MS)
        home = event.ids[0]
        name = node_name(event.tenant, home)
        self._feed(Arrival(self._next(home, value), home, name, body=event))

    def pass_time(self, now: int) -> None:
        """Let log time reach `now`, UTC ms: each due wait at the tick of its own second."""
        state = self.state
        while state.due and state.due[0][0] <= now:
            score, member = state.due[0]
            if state.timers.get(member) != score:
                heappop(state.due)  # cancelled in the meantime
                continue
            at = max(-(-score // SECOND_MS) * SECOND_MS, state.meta.now)
            self._control("tick", Tick(now=at, passed=at))
        if now > state.meta.now:
            self._control("tick", Tick(now=now, passed=now))

    def end(self) -> None:
        """Decide what the history has decided: nothing is known of the time behind it."""
        self.pass_time(self.state.meta.now + AFTER_MS)

    def _control(self, kind: str, body: Tick | Version) -> None:
        self._feed(Arrival(self._next(), kind=kind, body=body))

    def _next(self, key: str = "", value: bytes = b"") -> Record:
        state = self.state
        return Record(topics.EVENTS, state.index, state.meta.off + 1, key.encode(), value)

    def _feed(self, arrival: Arrival) -> None:
        self._fold(arrival)
        moves = self.state.outcome.moves
        while moves or self._passed_on:
            self._passed_on += [
                Record(
                    move.topic, 0, number, move.key.encode(), move.value,
                    tuple((name, bytes(value)) for name, value in move.headers),
                )
                for number, move in moves
                if move.topic == topics.EVENTS
            ]  # fmt: skip
            moves.clear()
            if self._passed_on:
                record = self._passed_on.popleft()
                offset = self.state.meta.off + 1
                self._fold(read(record._replace(offset=offset), self._book.secret))

    def _fold(self, arrival: Arrival) -> None:
        """Fold one record; only its counts stay in the outcome, which nobody commits."""
        state = self.state
        fold(state, arrival, self._book)
        outcome = state.outcome
        if outcome.timers:
            state.note_timers()
            outcome.timers.clear()
        if outcome.notes or outcome.triggers:
            self._heard(state, arrival, outcome)
            outcome.notes.clear()
            outcome.triggers.clear()
        outcome.broken.clear()
        state.dirty.clear()
