"""One node's part of the log: its own records, and the ticks and versions between them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from engine.events import topics
from engine.events.model import Event
from engine.events.record import Record, partition_of
from engine.identity.messages import Tick, Version
from engine.ingest.lateness import placed
from engine.pipeline.envelope import Arrival, read
from engine.ports import Reader
from engine.runtime.rulesets.library import ArtefactLibrary

READ_MAX = 2_000
OWN_MAX = 20_000  # records of the node itself, the newest: a busy shop has more than anybody reads
_CONTROL = (b"tick", b"ruleset", b"model", b"disable")
_HAPPENED = ("event", "part")


def _column() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Ticks:
    """Ticks with nothing of the node between them: there may be a million, so columns of numbers.

    `now`, `passed`: of each tick and all before it here the latest, UTC ms.
    """

    offset: "array[int]" = field(default_factory=_column)
    now: "array[int]" = field(default_factory=_column)
    passed: "array[int]" = field(default_factory=_column)

    def take(self, offset: int, tick: Tick) -> None:
        """Take in one that came after all of these."""
        self.offset.append(offset)
        self.now.append(max(tick.now, self.now[-1]) if self.now else tick.now)
        self.passed.append(max(tick.passed, self.passed[-1]) if self.passed else tick.passed)

    def deciding(self, due: Sequence[tuple[int, str]]) -> Iterator[Arrival]:
        """Yield the first that decides what is due first, and so on, then the last of all.

        `due`: a heap of timers by score; who folds what is yielded changes it meanwhile.
        """
        last, place = len(self.offset) - 1, 0
        while due and (place := bisect_left(self.passed, due[0][0], place)) < last:
            yield self._at(place)
            place += 1
        yield self._at(last)

    def _at(self, place: int) -> Arrival:
        record = Record(topics.EVENTS, 0, self.offset[place], b"tick", b"")
        tick = Tick(now=self.now[place], passed=self.passed[place])
        return Arrival(record, kind="tick", body=tick)


@dataclass(slots=True)
class Part:
    """A node's part of its partition's log. `since`: log time at its begin, UTC ms.

    `is_whole`: it holds all that ever happened to the person or at the thing.
    """

    arrivals: list[Arrival | Ticks] = field(default_factory=list)
    since: int = 0
    is_whole: bool = True
    own: int = 0

    @property
    def events(self) -> list[Event]:
        """What happened, each once, at the times that the fold believed."""
        found: dict[str, Event] = {}
        now = self.since
        for arrival in self.arrivals:
            if isinstance(arrival, Ticks):
                now = arrival.now[-1]
                continue
            body = arrival.body
            if arrival.kind in _HAPPENED and body.id not in found:
                at = placed(body.at, now)[0] if now and arrival.kind == "event" else body.at
                found[body.id] = structs.replace(body, at=at)
        return list(found.values())


async def part_of(
    node_id: str, reader: Reader, library: ArtefactLibrary, *, count: int, records_max: int
) -> Part:
    """Read a node's part of the newest `records_max` records; `count` partitions.

    Versions are made known to the library on the way.
    """
    partition = partition_of(node_id, count)
    start, end = await reader.bounds(topics.EVENTS, partition)
    offset = max(start, end - records_max)
    part, key = Part(is_whole=offset <= 0), node_id.encode()
    while offset < end:
        records = await reader.read(topics.EVENTS, partition, offset, count_max=READ_MAX)
        if not records:
            break
        offset = records[-1].offset + 1
        for record in records:
            if record.key == key or record.key in _CONTROL:
                await _take(part, record, library)
        if part.own > 2 * OWN_MAX or (part.own > OWN_MAX and offset >= end):
            _shorten(part)
    return part


async def _take(part: Part, record: Record, library: ArtefactLibrary) -> None:
    arrival = read(record, library.book.secret)
    if arrival.error is not None:
        return
    if isinstance(arrival.body, Tick):
        part.since = part.since or arrival.body.now
        if not part.arrivals or not isinstance(part.arrivals[-1], Ticks):
            part.arrivals.append(Ticks())
        ticks = part.arrivals[-1]
        assert isinstance(ticks, Ticks)
        ticks.take(record.offset, arrival.body)
        return
    if isinstance(arrival.body, Version):
        await library.need(arrival.kind, arrival.body.version)
    elif arrival.kind == "erase":  # whoever comes by this identifier now is somebody else
        part.arrivals = [each for each in part.arrivals if isinstance(each, Ticks) or not each.name]
        part.own, part.is_whole = 0, True
        return
    part.arrivals.append(arrival)
    part.own += bool(arrival.name)


def _shorten(part: Part) -> None:
    """Leave the newest OWN_MAX of the node's own records, and what lies between them."""
    left, place = part.own - OWN_MAX, 0
    while left > 0:
        arrival = part.arrivals[place]
        if isinstance(arrival, Ticks):
            part.since = arrival.now[-1]
        else:
            left -= bool(arrival.name)
        place += 1
    part.arrivals, part.own = part.arrivals[place:], OWN_MAX
    part.is_whole = False
