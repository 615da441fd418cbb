"""Rules on the whole fold: random streams, duplicates, late events, batches cut anywhere, restarts.

Held against a naive recomputation of RULES.md section 1 that knows nothing of runs, timers or logs:
positive steps over what had arrived by then, absence over the whole set inside the lateness.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision.model import Trigger
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Record
from engine.identity import mac
from engine.identity.messages import Tick, Version
from engine.outcome import Meta
from engine.pipeline.book import Book
from engine.pipeline.envelope import read
from engine.pipeline.fold import fold
from engine.pipeline.needs import needed_nodes
from engine.pipeline.state import Partition, decode_node
from tests.turns import NOON, event_id, rules_of

SECRET = b"of these tests"
NODE = "0uAAAA"
LATE_S = 10  # the default of a source
A, B, OFF = "cart.updated", "order.placed", "cart.product_removed"
DATA: dict[str, dict[str, Any]] = {
    A: {"value": 100, "cart_id": "a"},
    B: {"value": 100},
    OFF: {"product_id": "p"},
}

RULES = rules_of(
    f"rule: absent\nfresh: 30d\nwhen: [{{event: {A}}}, {{not: {B}, within: 7s}}, "
    f"{{unless: {OFF}}}]\ndo: [{{case: hit}}]\n",
    f"rule: level\nfresh: 30d\nwhen: [{{event: {A}}}]\nif: 'count(\"{A}\", 6s) >= 3'\n"
    "do: [{case: hit}]\n",
    f"rule: window\nfresh: 30d\nwhen: [{{event: {B}}}]\n"
    f'if: \'distinct("{A}", it.cart_id, 9s) == 1 && rate("{A}", 3s, 9s) > 1.0\'\n'
    "do: [{case: hit}]\n",
)

Happening = tuple[int, int, str]  # second, how much later it arrives, type


@dataclass
class Engine:
    """A partition whose batches are committed to a store of bytes, and loaded from it again."""

    state: Partition = field(default_factory=lambda: Partition(0, 1, Meta()))
    store: dict[str, bytes | None] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)

    def batch(self, records: list[Record]) -> None:
        """Load, think, commit."""
        state, book = self.state, Book(secret=SECRET, rule_sets={"test": RULES})
        arrivals = [read(record, SECRET) for record in records]
        for name in needed_nodes(state, arrivals):
            state.nodes[name] = decode_node(name, self.store.get(name))
        for arrival in arrivals:
            fold(state, arrival, book)
        state.note_timers()
        for _, move in state.outcome.triggers:
            self.triggers.append(msgspec.json.decode(move.value, type=Trigger))
        self.store.update(state.states())
        for member, score in state.outcome.timers.items():
            if score is None:
                self.timers.pop(member, None)
            else:
                self.timers[member] = score
        assert not [code for code in state.outcome.counts if code.startswith("rule_error")]
        state.begin()

    def restart(self) -> None:
        """Forget all but what was committed."""
        fresh = Partition(0, 1, deepcopy(self.state.meta))
        fresh.set_timers(list(self.timers.items()))
        self.state = fresh


def records_of(stream: list[Happening], copies: list[int]) -> list[Record]:
    """Return the log: a rule set, a tick each second, the events as they arrive, some twice."""
    found: list[tuple[str, bytes]] = [("ruleset", msgspec.json.encode(Version("test")))]
    arriving = sorted((at + late, n) for n, (at, late, _) in enumerate(stream))
    twice = [n for n in copies if n < len(stream)]
    for second in range(45 + 2 * LATE_S):
        now = NOON + second * 1000
        found.append(("tick", msgspec.json.encode(Tick(now=now, passed=now))))
        found += [("event", event_of(n, stream[n], now)) for s, n in arriving if s == second]
        if second == 40:
            found += [("event", event_of(n, stream[n], now)) for n in twice]
    far = NOON + 3_600_000
    found.append(("tick", msgspec.json.encode(Tick(now=far, passed=far))))
    return [record(offset, kind, value) for offset, (kind, value) in enumerate(found)]


def record(offset: int, kind: str, value: bytes) -> Record:
    """Return a record of the log; what is no event is sealed."""
    if kind == "event":
        return Record(topics.EVENTS, 0, offset, NODE.encode(), value, ())
    seal = mac.sign(kind, kind.encode(), value, SECRET)
    headers = (("kind", kind.encode()), ("mac", seal))
    return Record(topics.EVENTS, 0, offset, kind.encode(), value, headers)


def event_of(number: int, happening: Happening, now: int) -> bytes:
    """Return the bytes of an event of the stream."""
    at, _, type = happening
    moment = NOON + at * 1000
    event = Event(
        id=event_id(str(number)),
        tenant="t",
        source="s",
        type=type,
        at=moment,
        original_at=moment,
        received_at=now,
        ids=[NODE],
        data=DATA[type],
    )
    return msgspec.json.encode(event)


def marks(stream: list[Happening], type: str) -> list[tuple[int, str]]:
    """Return (second, id) of the events of a type, in event order."""
    return sorted((at, event_id(str(n))) for n, (at, _, t) in enumerate(stream) if t == type)


def absences(stream: list[Happening]) -> list[tuple[int, str]]:
    """Return (due, cause) from the definition: restarted, stopped, called off, or due."""
    starts, found = marks(stream, A), []
    ends = [at for type in (B, OFF) for at, _ in marks(stream, type)]
    for n, (at, id) in enumerate(starts):
        due = at + 7
        if any(at < end <= due for end in ends):
            continue
        if any(later <= due for later, _ in starts[n + 1 :]):
            continue
        found.append((due, id))
    return found


def levels(stream: list[Happening]) -> list[tuple[int, str]]:
    """Return (second, id) of the events at whose arrival the window holds three."""
    found, here = [], []
    for n in sorted(range(len(stream)), key=lambda n: (stream[n][0] + stream[n][1], n)):
        at, _, type = stream[n]
        if type == A:
            here.append(at)
            if sum(at - 6 < other <= at for other in here) >= 3:
                found.append((at, event_id(str(n))))
    return found


def windows(stream: list[Happening]) -> list[tuple[int, str]]:
    """Return (second, id) of the orders at whose arrival carts have become more frequent."""
    found, here = [], []
    for n in sorted(range(len(stream)), key=lambda n: (stream[n][0] + stream[n][1], n)):
        at, _, type = stream[n]
        if type == A:
            here.append(at)
        elif type == B:
            short = sum(at - 3 < other <= at for other in here)
            long = sum(at - 9 < other <= at for other in here)
            if long and short / long * 3 > 1.0:
                found.append((at, event_id(str(n))))
    return found


happenings = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, LATE_S - 1), st.sampled_from((A, A, B, OFF))),
    max_size=12,
)


@given(
    stream=happenings,
    copies=st.lists(st.integers(0, 11), max_size=4),
    cuts=st.sets(st.integers(1, 80), max_size=12),
    restarts=st.booleans(),
)
@settings(max_examples=120)
def test_decisions_are_those_of_a_naive_recomputation(
    stream: list[Happening], copies: list[int], cuts: set[int], restarts: bool
) -> None:
    records = records_of(stream, copies)
    engine = Engine()
    bounds = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    for start, end in pairwise(bounds):
        engine.batch(records[start:end])
        if restarts:
            engine.restart()
    wanted = {"absent": absences, "level": levels, "window": windows}
    for rule, recomputed in wanted.items():
        got = [((t.at - NOON) // 1000, t.cause) for t in engine.triggers if t.rule == rule]
        assert sorted(got) == sorted(recomputed(stream)), rule
    assert len({t.id for t in engine.triggers}) == len(engine.triggers)


@given(stream=happenings, cuts=st.sets(st.integers(1, 80), max_size=12))
@settings(max_examples=40)
def test_batches_and_restarts_change_no_byte(stream: list[Happening], cuts: set[int]) -> None:
    records = records_of(stream, [])
    whole, parts = Engine(), Engine()
    whole.batch(records)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    for start, end in pairwise(bounds):
        parts.batch(records[start:end])
        parts.restart()
    assert parts.store == whole.store
    assert parts.timers == whole.timers
    assert [t.id for t in parts.triggers] == [t.id for t in whole.triggers]


def test_an_event_beyond_its_lateness_takes_no_decision_back() -> None:
    records = records_of([(1, 0, A), (5, LATE_S + 9, B)], [])
    engine = Engine()
    engine.batch(records)
    assert [(t.rule, (t.at - NOON) // 1000) for t in engine.triggers] == [("absent", 8)]
