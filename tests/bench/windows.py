"""What windows cost beside running totals: 30 aggregates over 8 event types, 6 read an event.

Each customer has 30 or 500 events in 30 days, 3 % of them up to an hour late. `exact`: the shared
log of each type that the engine keeps. `running`: a deque and running totals for each aggregate,
the usual way, which has to update each aggregate of the type. Both give the same answers. A worker
keeps bytes (A11): `kept` is what a customer's windows take as such, and what it costs to decode and
encode them once, in CPU us.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator
from random import Random
from time import process_time
from typing import Any, NamedTuple

import msgspec

from engine.clock import DAY_MS, HOUR_MS
from engine.profile.logs import exact, windows
from engine.profile.model import Log
from tests.bench.load import START_MS

AGGREGATES, READS = 30, 6
SPAN_MS = 30 * DAY_MS
LATE_SHARE, LATE_MS = 0.03, HOUR_MS
TYPES = tuple(f"web.type_{number}" for number in range(8))
SHARES = (30, 20, 15, 10, 10, 5, 5, 5)  # of the events, by type
LENGTHS = (HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS)
WORDS = tuple(f"c{number}" for number in range(9))
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "count": windows.count,
    "total": windows.total,
    "mean": windows.mean,
    "most": windows.most,
    "distinct": windows.distinct,
    "count_word": windows.count_word,
}


class Aggregate(NamedTuple):
    """One window that rules read; `arguments`: column, or column and word."""

    function: str
    type: str
    length_ms: int
    arguments: tuple[str, ...]


class Happened(NamedTuple):
    """An event of a customer; `now`: the latest instant of the customer so far, UTC ms."""

    customer: int
    type: str
    at: int
    now: int
    data: dict[str, Any]


def aggregates() -> list[Aggregate]:
    """Return the 30, of each function, type and length."""
    arguments = {"count": (), "distinct": ("category",), "count_word": ("category", WORDS[3])}
    names = list(FUNCTIONS)
    return [
        Aggregate(
            name := names[number % len(names)],
            TYPES[number % len(TYPES)],
            LENGTHS[number // 3 % len(LENGTHS)],
            arguments.get(name, ("value",)),
        )
        for number in range(AGGREGATES)
    ]


def happenings(count: int, each: int) -> list[Happened]:
    """Return events of `count // each` customers in the order in which they arrive."""
    random, customers = Random(each), max(count // each, 1)
    latest = [0] * customers
    found = []
    for number in range(customers * each):
        customer, at = number % customers, START_MS + SPAN_MS * number // (customers * each)
        if random.random() < LATE_SHARE:
            at -= random.randrange(LATE_MS)
        latest[customer] = max(latest[customer], at)
        data = {"value": float(random.randrange(1, 500)), "category": random.choice(WORDS)}
        type = random.choices(TYPES, SHARES)[0]
        found.append(Happened(customer, type, at, latest[customer], data))
    return found


class Running:
    """One aggregate of one customer as a deque of what is inside, with its totals."""

    def __init__(self, aggregate: Aggregate) -> None:
        self.function, _, self.length_ms, arguments = aggregate
        self.column = arguments[0] if arguments else ""
        self.word = arguments[1] if len(arguments) > 1 else None
        self.rows: deque[tuple[int, Any]] = deque()
        self.total = 0.0
        self.counts: Counter[str] = Counter()

    def kept(self) -> tuple[list[tuple[int, Any]], float, dict[str, int]]:
        """Return what a store would have to keep of it."""
        return list(self.rows), self.total, self.counts

    def add(self, at: int, data: dict[str, Any]) -> None:
        """Take an event in, wherever it belongs."""
        value: Any = data.get(self.column)
        if self.word is not None and value != self.word:
            return
        rows = self.rows
        if rows and at < rows[-1][0]:
            rows.insert(bisect_right(rows, at, key=lambda row: row[0]), (at, value))
        else:
            rows.append((at, value))
        if self.function == "distinct":
            self.counts[value] += 1
        elif self.function in ("total", "mean"):
            self.total += value

    def read(self, until: int) -> Any:
        """Return the answer at `until`, which never falls."""
        rows, begin = self.rows, until - self.length_ms
        while rows and rows[0][0] <= begin:
            _, value = rows.popleft()
            if self.function == "distinct":
                self.counts[value] -= 1
                if not self.counts[value]:
                    del self.counts[value]
            elif self.function in ("total", "mean"):
                self.total -= value
        if self.function in ("count", "count_word"):
            return len(rows)
        if self.function == "distinct":
            return len(self.counts)
        if self.function == "most":
            return max((value for _, value in rows), default=None)
        if self.function == "mean":
            return self.total / len(rows) if rows else None
        return self.total


def by_log(
    happened: list[Happened], wanted: list[Aggregate], customers: dict[int, dict[str, Log]]
) -> Iterator[list[Any]]:
    """Yield what six aggregates are after each event, from the logs that the engine keeps."""
    columns = _columns(wanted)
    reads = [(FUNCTIONS[name], *rest) for name, *rest in wanted]
    for number, (customer, type, at, now, data) in enumerate(happened):
        logs = customers.setdefault(customer, {})
        exact.append(logs, type, at, data, columns[type])
        yield [
            function(logs.get(event), now, length, *arguments)
            for function, event, length, arguments in _six(reads, number)
        ]


def running(
    happened: list[Happened], wanted: list[Aggregate], customers: dict[int, list[Running]]
) -> Iterator[list[Any]]:
    """Yield the same from running totals."""
    by_type = {type: [n for n, each in enumerate(wanted) if each.type == type] for type in TYPES}
    for number, (customer, type, at, now, data) in enumerate(happened):
        if (found := customers.get(customer)) is None:
            found = customers[customer] = [Running(each) for each in wanted]
        for place in by_type[type]:
            found[place].add(at, data)
        yield [each.read(now) for each in _six(found, number)]


def _six(all_of_them: list[Any], number: int) -> list[Any]:
    first = number * READS % AGGREGATES
    return all_of_them[first : first + READS]


def _columns(wanted: list[Aggregate]) -> dict[str, exact.Columns]:
    reads = [
        {
            each.type: exact.Columns(
                tuple(name for name in each.arguments[:1] if name == "value"),
                tuple(name for name in each.arguments[:1] if name == "category"),
            )
        }
        for each in wanted
    ]
    return exact.joined(reads)


def measure(count: int, each: int) -> dict[str, float]:
    """Return CPU us an event by method, at `each` events a customer, over `count` events."""
    happened, wanted, few = happenings(count, each), aggregates(), happenings(3 * each, each)
    assert list(by_log(few, wanted, {})) == list(running(few, wanted, {})), "they must agree"
    logs: dict[int, dict[str, Log]] = {}
    totals: dict[int, list[Running]] = {}
    return {
        "exact": _us_each(by_log(happened, wanted, logs), len(happened)),
        "running": _us_each(running(happened, wanted, totals), len(happened)),
        **kept("exact", list(logs.values()), dict[str, Log]),
        **kept(
            "running",
            [[one.kept() for one in found] for found in totals.values()],
            list[tuple[list[tuple[int, Any]], float, dict[str, int]]],
        ),
    }


def _us_each(steps: Iterator[Any], count: int) -> float:
    began = process_time()
    deque(steps, maxlen=0)
    return (process_time() - began) * 1e6 / count


def kept(name: str, states: list[Any], type: Any) -> dict[str, float]:
    """Return (bytes of a customer, CPU us to encode and decode them)."""
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(type).decode
    size = sum(len(encode(state)) for state in states) / len(states)
    us = _us_each((decode(encode(state)) for state in states), len(states))
    return {f"{name}_kept_bytes": size, f"{name}_kept_us": us}
