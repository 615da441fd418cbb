"""A log with one empty topic behind the three ports, and a handler that sees all it is told."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import NamedTuple

from engine.adapters.kafka.group import FaustGroup
from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import TopicSpec, create_topics
from engine.adapters.memory import MemoryLog
from engine.events.record import Outgoing, Record
from engine.ports import Group, Handler, Publisher, Reader

PARTITIONS = 3
SESSION_S = 2.0  # the embedded broker waits for half of it at each join
PATIENCE_S = 60.0
_names = count()


class Log(NamedTuple):
    """A log with one empty topic, behind the three ports."""

    topic: str
    publisher: Publisher
    reader: Reader
    group: Callable[[], Group]


Journal = list[tuple[str, str, int]]  # (handler, what it was told, partition)
Scenario = Callable[[Log], Awaitable[None]]
Play = Callable[[Scenario], None]


def fresh_name() -> str:
    """Return a name that no other test's topic has."""
    return f"log-{next(_names)}"


async def on_kafka(bootstrap: str, scenario: Scenario) -> None:
    topic = fresh_name()
    await asyncio.to_thread(create_topics, bootstrap, [TopicSpec(topic, PARTITIONS)])
    publisher, reader = KafkaPublisher(bootstrap), KafkaReader(bootstrap)

    def group() -> FaustGroup:
        return FaustGroup(bootstrap, f"group-{topic}", session_s=SESSION_S)

    try:
        await scenario(Log(topic, publisher, reader, group))
    finally:
        await publisher.close()
        await reader.close()


async def in_memory(scenario: Scenario) -> None:
    log = MemoryLog({"log": PARTITIONS})
    await scenario(Log("log", log, log, log.group))


def records(topic: str, partition: int, first: int, after: int) -> list[Outgoing]:
    return [
        Outgoing(topic, partition, b"k%d" % n, b"v%d" % n, (("kind", b"event"), ("n", b"%d" % n)))
        for n in range(first, after)
    ]


class Witness:
    """A handler that notes what it is told, and checks that it is told it in sequence."""

    def __init__(
        self, name: str = "one", journal: list[tuple[str, str, int]] | None = None
    ) -> None:
        self.name = name
        self.journal = [] if journal is None else journal
        self.values: dict[int, list[bytes]] = defaultdict(list)
        self.next: dict[int, int] = defaultdict(int)  # where to read from: stands for the store
        self.sizes: list[int] = []
        self.out_of_sequence: list[tuple[int, int, int]] = []
        self._changed = asyncio.Condition()

    async def assigned(self, partition: int) -> int | None:
        await self.note("assigned", partition)
        return self.next[partition]

    async def batch(self, partition: int, batch: Sequence[Record]) -> int:
        for record in batch:
            if record.offset != self.next[partition]:
                self.out_of_sequence.append((partition, self.next[partition], record.offset))
            self.values[partition].append(record.value)
            self.next[partition] = record.offset + 1
        self.sizes.append(len(batch))
        await self.note("batch", partition)
        return self.next[partition]

    async def revoked(self, partition: int) -> None:
        await self.note("revoked", partition)

    async def note(self, what: str, partition: int) -> None:
        self.journal.append((self.name, what, partition))
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(holds)

    async def until_counted(self, total: int) -> None:
        await self.until(lambda: sum(map(len, self.values.values())) >= total)

    def told(self, what: str) -> list[int]:
        return sorted(p for name, told, p in self.journal if (name, told) == (self.name, what))


class Running:
    """A member that serves a handler until the block ends; an error of it ends the test."""

    def __init__(self, log: Log, handler: Handler) -> None:
        self._group = log.group()
        self._run = asyncio.create_task(self._group.run(log.topic, handler))

    async def __aenter__(self) -> "Running":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        await self._group.stop()
        await self._run
