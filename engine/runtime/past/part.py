"""One node's part of the log: its own records, and the ticks and versions between them."""

from dataclasses import dataclass, field

from msgspec import structs

from engine.events import topics
from engine.events.model import Event
from engine.events.record import Record, partition_of
from engine.identity.messages import Version
from engine.ingest.lateness import placed
from engine.pipeline.envelope import Arrival, read
from engine.ports import Reader
from engine.runtime.rulesets.library import ArtefactLibrary

READ_MAX = 2_000
OWN_MAX = 20_000  # records of the node itself, the newest: a busy shop has more than anybody reads
_CONTROL = (b"tick", b"ruleset", b"model", b"disable")
_HAPPENED = ("event", "part")


@dataclass(slots=True)
class Part:
    """A node's part of its partition's log. `since`: log time at its begin, UTC ms.

    `is_whole`: it holds all that ever happened to the person or at the thing.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    since: int = 0
    is_whole: bool = True
    own: int = 0

    @property
    def events(self) -> list[Event]:
        """What happened, each once, at the times that the fold believed."""
        found: dict[str, Event] = {}
        now = self.since
        for arrival in self.arrivals:
            body = arrival.body
            if arrival.kind == "tick":
                now = body.now
            elif arrival.kind in _HAPPENED and body.id not in found:
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
    if arrival.kind == "tick" and not part.since:
        part.since = arrival.body.now
    elif isinstance(arrival.body, Version):
        await library.need(arrival.kind, arrival.body.version)
    part.arrivals.append(arrival)
    part.own += bool(arrival.name)


def _shorten(part: Part) -> None:
    """Leave the newest OWN_MAX of the node's own records, and what lies between them."""
    left, place = part.own - OWN_MAX, 0
    while left > 0:
        arrival = part.arrivals[place]
        if arrival.kind == "tick":
            part.since = arrival.body.now
        left -= bool(arrival.name)
        place += 1
    part.arrivals, part.own = part.arrivals[place:], OWN_MAX
    part.is_whole = False
