"""Log and store in memory: for unit tests and rule tests, held to the suite of the real ones."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from engine.errors import CoverageError, Fenced, LogError, Stale
from engine.events.record import Outgoing, Record
from engine.outcome import Meta
from engine.ports import Commit, Handler, Ready, Snapshot

BATCH_MAX = 200
V = TypeVar("V")


class _Tried(NamedTuple):
    place: tuple[int, int]  # (off, sub)
    tries: int
    alone: int


class MemoryStore:
    """Partitions in dicts, with the fence of the real one (ports.Store)."""

    def __init__(self) -> None:
        self._owner: dict[int, str] = {}
        self._meta: dict[int, Meta] = {}
        self._states: dict[int, dict[str, bytes]] = defaultdict(dict)
        self._timers: dict[int, dict[str, int]] = defaultdict(dict)
        self._outbox: dict[int, dict[int, bytes]] = defaultdict(dict)
        self._moves: dict[int, dict[int, bytes]] = defaultdict(dict)
        self._tried: dict[int, _Tried] = {}
        self._ready: dict[int, Ready] = {}

    async def acquire(
        self, partition: int, token: str, *, previous: str = "", survived: int = 0
    ) -> Snapshot:
        """Take a partition over: from now on only `token` may commit."""
        _, tries, alone = self._here(partition)
        alone = max(0, alone - survived)
        if not previous or self._owner.get(partition) != previous:
            tries += 1
        self._tried[partition] = _Tried(self._place(partition), tries, alone)
        self._owner[partition] = token
        timers = sorted(self._timers[partition].items(), key=lambda item: (item[1], item[0]))
        return Snapshot(
            meta=await self.meta(partition),
            timers=timers,
            outbox=sorted(self._outbox[partition].items()),
            moves=sorted(self._moves[partition].items()),
            tries=tries,
            alone=alone,
        )

    async def alone(self, partition: int, token: str) -> None:
        """Note that what comes next is tried alone now."""
        if self._owner.get(partition) != token:
            raise Fenced(f"partition {partition} has another owner")
        place, tries, alone = self._here(partition)
        self._tried[partition] = _Tried(place, tries, alone + 1)

    async def load(self, partition: int, names: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys of one partition, None where absent."""
        return [self._states[partition].get(name) for name in names]

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        """Commit a batch, or raise and change nothing."""
        if self._owner.get(partition) != token:
            raise Fenced(f"partition {partition} has another owner")
        if self._place(partition) != (commit.off_expected, commit.sub_expected):
            raise Stale(f"partition {partition} is not at offset {commit.off_expected}")
        self._meta[partition] = _copy(commit.meta)
        _change(self._states[partition], commit.states)
        _change(self._timers[partition], commit.timers)
        for queue, added, trim in (
            (self._outbox[partition], commit.outbox, commit.trim_outbox),
            (self._moves[partition], commit.moves, commit.trim_moves),
        ):
            queue.update(added)
            for number in [n for n in queue if n <= trim]:
                del queue[number]

    async def owner(self, partition: int) -> str:
        """Return the token of a partition's owner, '' if it has none."""
        return self._owner.get(partition, "")

    async def tell_ready(self, partition: int, ready: Ready) -> None:
        """Note what the owner of a partition has compiled."""
        self._ready[partition] = ready

    async def ready(self, partition: int) -> Ready | None:
        """Return what the present owner has told; None without an owner."""
        owner, said = self._owner.get(partition), self._ready.get(partition)
        if owner is None:
            return None
        return said if said is not None and said.owner == owner else Ready(owner, (), {})

    async def meta(self, partition: int) -> Meta:
        """Return what is stored of a partition besides its nodes."""
        return _copy(self._meta.get(partition, Meta()))

    async def waiting(self, partition: int) -> int:
        """Return how many records of outbox and moves are not known to be acknowledged."""
        return len(self._outbox[partition]) + len(self._moves[partition])

    async def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Go over the names of all nodes and entries, by partition."""
        for partition, states in list(self._states.items()):
            yield partition, list(states)

    async def close(self) -> None:
        """Nothing to close."""

    def _place(self, partition: int) -> tuple[int, int]:
        meta = self._meta.get(partition, Meta())
        return meta.off, meta.sub

    def _here(self, partition: int) -> _Tried:
        """Return what was tried at the place where the partition is now."""
        place = self._place(partition)
        tried = self._tried.get(partition)
        return tried if tried is not None and tried.place == place else _Tried(place, 0, 0)


def _copy(meta: Meta) -> Meta:
    # Its values are plain or flat dicts: `deepcopy` was a seventh of a simulated storm.
    held: dict[str, Any] = {name: getattr(meta, name) for name in Meta.__slots__}
    tables: dict[str, Any] = {n: v.copy() for n, v in held.items() if isinstance(v, dict)}
    return replace(meta, **tables)


def _change(held: dict[str, V], changes: dict[str, V | None]) -> None:
    for name, value in changes.items():
        if value is None:
            held.pop(name, None)
        else:
            held[name] = value


class MemoryLog:
    """Topics as lists; publisher, reader and consumer groups over them.

    `broken`: while True, publishing raises LogError before anything is written.
    """

    def __init__(self, partitions: dict[str, int]) -> None:
        self._topics: dict[str, list[list[Record]]] = {
            topic: [[] for _ in range(count)] for topic, count in partitions.items()
        }
        self._arrived: asyncio.Event = asyncio.Event()
        self.broken = False

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append records (ports.Publisher)."""
        if self.broken:
            raise LogError("the log is down", code="log/down")
        for out in records:
            self.append(out)

    def append(self, out: Outgoing) -> Record:
        """Append one record and return it as a reader will see it."""
        held = self._topics[out.topic][out.partition]
        record = Record(out.topic, out.partition, len(held), out.key, out.value, out.headers)
        held.append(record)
        self._arrived.set()
        return record

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return (first offset, offset after the last) of a partition (ports.Reader)."""
        return 0, len(self._topics[topic][partition])

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        """Return up to `count_max` records from `offset` (ports.Reader)."""
        held = self._topics[topic][partition]
        if offset > len(held):
            raise CoverageError(f"{topic}/{partition} ends at {len(held)}, asked for {offset}")
        return held[offset : offset + count_max]

    async def close(self) -> None:
        """Nothing to close."""

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic, partition by partition."""
        return [record for held in self._topics[topic] for record in held]

    def group(self) -> "MemoryGroup":
        """Return the only member of a consumer group over all partitions of a topic."""
        return MemoryGroup(self._topics, lambda: self._arrived)


class MemoryGroup:
    """A consumer group of one member (ports.Group)."""

    def __init__(
        self, topics: dict[str, list[list[Record]]], arrived: Callable[[], asyncio.Event]
    ) -> None:
        self._topics = topics
        self._arrived = arrived
        self._stopping = False

    async def run(self, topic: str, handler: Handler) -> None:
        """Serve all partitions until `stop`."""
        held = self._topics[topic]
        next_offset: dict[int, int] = {}
        for partition in range(len(held)):
            offset = await handler.assigned(partition)
            if offset is not None:
                next_offset[partition] = offset
        while not self._stopping:
            self._arrived().clear()
            worked = False
            for partition, offset in next_offset.items():
                batch = held[partition][offset : offset + BATCH_MAX]
                if batch:
                    worked = True
                    next_offset[partition] = await handler.batch(partition, batch)
            if not worked and not self._stopping:
                await self._arrived().wait()
        for partition in next_offset:
            await handler.revoked(partition)

    async def stop(self) -> None:
        """Let `run` return after the batch under way."""
        self._stopping = True
        self._arrived().set()
