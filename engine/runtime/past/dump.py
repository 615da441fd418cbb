"""The log's source events as NDJSON, for back-tests anywhere: no names, and nothing of the erased.

Only what came in by the door is written, in the order in which it came; what actors told one
another is made anew by whoever folds it again. An event of a node that staff have erased is left
out, also one that came while the node refused all: the order to erase stands in the same partition.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from sys import maxsize
from typing import Any

import msgspec

from engine.events import topics
from engine.events.codec import decode
from engine.events.contract import Contracts
from engine.events.model import Event
from engine.events.record import Record, header
from engine.pipeline.envelope import read
from engine.ports import Reader

READ_MAX = 1_000
LEFT_OUT = "left-out"  # stands for an address, so that it is known that there was one
_DATE = re.compile(r"\d{4}-(\d\d-\d\d)")
_LEAP = "1904-"  # the year of dates that come every year
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is written: events that came in [since, until) (UTC ms; 0: from the first, to the last).

    `types` empty: all. `personal`: with what contracts call personal, in clear.
    """

    since: int = 0
    until: int = 0
    types: frozenset[str] = frozenset()
    personal: bool = False

    def takes(self, event: Event) -> bool:
        """Tell whether an event is one of them."""
        if self.types and event.type not in self.types:
            return False
        return self.since <= event.received_at < (self.until or maxsize)


@dataclass(slots=True)
class Dumped:
    """What became of the source events. `fields`: personal ones that were left out, `type.name`."""

    events: int = 0
    erased: int = 0
    others: int = 0
    unreadable: int = 0
    fields: set[str] = field(default_factory=set)


async def dump(
    reader: Reader,
    partition_count: int,
    contracts: Contracts,
    wanted: Wanted,
    write: Callable[[bytes], object],
    *,
    secret: bytes,
    tell: Callable[[int], None] = lambda _: None,
) -> Dumped:
    """Write a line for each event; `tell`: how many records of the log were read meanwhile."""
    bounds = [await reader.bounds(topics.EVENTS, p) for p in range(partition_count)]
    told = Dumped()
    sources = []
    for partition, (start, end) in enumerate(bounds):
        gone = await _gone(reader, partition, start, end, secret, tell)
        sources.append(_events(reader, partition, start, end, gone, told, tell))
    async for event in _merged(sources):
        if not wanted.takes(event):
            told.others += 1
            continue
        shown = event if wanted.personal else _without_names(event, contracts, told.fields)
        write(_encode(shown) + b"\n")
        told.events += 1
    return told


async def _records(
    reader: Reader, partition: int, start: int, end: int, tell: Callable[[int], None]
) -> AsyncIterator[Record]:
    offset = start
    while offset < end:
        found = await reader.read(topics.EVENTS, partition, offset, count_max=READ_MAX)
        if not found:
            return
        for record in found:
            if record.offset < end:
                yield record
        tell(found[-1].offset + 1 - offset)
        offset = found[-1].offset + 1


async def _gone(
    reader: Reader, partition: int, start: int, end: int, secret: bytes, tell: Callable[[int], None]
) -> Mapping[str, int]:
    """Return node -> the offset before which its events are erased."""
    found: dict[str, int] = {}
    async for record in _records(reader, partition, start, end, tell):
        kind = header(record.headers, "kind")
        if kind not in (b"absorb", b"erase"):
            continue
        arrival = read(record, secret)
        if arrival.error is not None or not arrival.name:
            continue
        if kind == b"erase":  # from here on the identifier may begin anew
            if arrival.node_id in found:
                found[arrival.node_id] = record.offset
        elif not arrival.body.winner:
            found[arrival.node_id] = maxsize
    return found


async def _events(
    reader: Reader,
    partition: int,
    start: int,
    end: int,
    gone: Mapping[str, int],
    told: Dumped,
    tell: Callable[[int], None],
) -> AsyncIterator[Event]:
    """Yield the source events of a partition that are not erased."""
    async for record in _records(reader, partition, start, end, tell):
        kind, src = header(record.headers, "kind"), header(record.headers, "src")
        if src is not None or kind not in (None, b"event"):
            continue
        try:
            event = decode(record.value)
        except (msgspec.MsgspecError, ValueError):
            told.unreadable += 1
            continue
        if event.ids and record.offset < gone.get(event.ids[0], -1):
            told.erased += 1
        else:
            yield event


async def _merged(sources: list[AsyncIterator[Event]]) -> AsyncIterator[Event]:
    """Yield the events of all partitions in the order in which they came."""
    heap: list[tuple[int, int, Event]] = []
    for number, source in enumerate(sources):
        if (event := await anext(source, None)) is not None:
            heap.append((event.received_at, number, event))
    heapify(heap)
    while heap:
        came, number, event = heap[0]
        yield event
        next_ = await anext(sources[number], None)
        if next_ is None:
            heappop(heap)
        else:  # a partition's own order stays: it is the one that was folded
            heapreplace(heap, (max(came, next_.received_at), number, next_))


def _without_names(event: Event, contracts: Contracts, fields: set[str]) -> Event:
    """Return an event without what its contract calls personal; of a date the day stays."""
    contract = contracts.get(event.type)
    personal = {n for n, f in contract.fields.items() if f.personal} if contract else set()
    named = personal & event.data.keys()
    if not named:
        return event
    fields |= {f"{event.type}.{name}" for name in named}
    data: dict[str, Any] = {
        name: _stand_in(value) if name in named else value for name, value in event.data.items()
    }
    return msgspec.structs.replace(event, data=data)


def _stand_in(value: object) -> object:
    found = _DATE.match(value) if isinstance(value, str) else None
    return value if value is None else LEFT_OUT if found is None else _LEAP + found[1]
