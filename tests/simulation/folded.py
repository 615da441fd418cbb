"""The final log, folded from scratch by one owner in fine weather: what a storm is held against."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.events import topics
from engine.events.record import Outgoing, Record
from engine.outcome import Meta, Move
from engine.pipeline import persons
from engine.ports import Commit, Snapshot
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from tests.instead import held, instead
from tests.simulation.storm import World
from tests.simulation.worker import Shelf

FOLD_MAX = 50  # records of one batch of the fold from scratch
_move = msgspec.msgpack.Decoder(Move).decode


class _Kept(MemoryStore):
    """Remembers all that was ever committed to leave, and the events thought of on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[tuple[int, Move]] = []
        self.moves: list[tuple[int, Move]] = []
        self.applied: Counter[str] = Counter()
        self.thought: list[str] = []  # in the batch under way

    async def acquire(
        self, partition: int, token: str, *, previous: str = "", survived: int = 0
    ) -> Snapshot:
        self.thought.clear()
        return await super().acquire(partition, token, previous=previous, survived=survived)

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        await super().apply(partition, token, commit)
        self.applied.update(self.thought)
        self.thought.clear()
        self.triggers += [(n, _move(data)) for n, data in commit.outbox]
        self.moves += [(n, _move(data)) for n, data in commit.moves]


class _Apart:
    """The events of the log; what is published goes to a topic apart, and is read back there."""

    def __init__(self, log: MemoryLog, partitions: dict[str, int]) -> None:
        self._log = log
        self._own = MemoryLog(partitions)

    def _of(self, topic: str) -> MemoryLog:
        return self._log if topic == topics.EVENTS else self._own

    async def publish(self, records: Sequence[Outgoing]) -> None:
        await self._own.publish([out for out in records if out.topic == topics.TRIGGERS])

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return await self._of(topic).bounds(topic, partition)

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        return await self._of(topic).read(topic, partition, offset, count_max=count_max)

    async def close(self) -> None:
        return None


class Folded:
    """One partition of the final log, folded from scratch by one owner in fine weather."""

    def __init__(self, world: World, partition: int) -> None:
        self.partition = partition
        self._world = world
        self._store = _Kept()
        self.triggers, self.moves = self._store.triggers, self._store.moves
        self.applied = self._store.applied

    @property
    def meta(self) -> Meta:
        """What is stored besides nodes and timers."""
        return self._store._meta[self.partition]

    @property
    def states(self) -> dict[str, bytes]:
        """Nodes and entries by key name."""
        return self._store._states[self.partition]

    @property
    def timers(self) -> dict[str, int]:
        """Member -> score."""
        return self._store._timers[self.partition]

    async def run(self) -> None:
        """Fold the log to its end; what the fold cannot bear is passed over as in a worker."""
        cluster, shelf = self._world.cluster, Shelf(self._world.log)
        shelf.delay_s = 0.0
        log = _Apart(cluster.log, cluster.partitions)
        owner = Owner(
            self.partition,
            partition_count=cluster.count,
            store=self._store,
            reader=log,
            publisher=log,
            library=shelf,
            topic_partitions=cluster.partitions,
        )
        worker = Engage(lambda _: owner, seen=lambda *_: None, repaired=lambda *_: None)
        with self._noting():
            offset = await worker.assigned(self.partition) or 0
            while records := cluster.log.held(topics.EVENTS, self.partition)[offset:][:FOLD_MAX]:
                offset = await worker.batch(self.partition, records)

    def _noting(self) -> AbstractContextManager[None]:
        """Note which events have an effect on a person."""
        real = held(persons, "think")

        def think(turn: Any, state: Any, event: Any, *rest: Any, **more: Any) -> None:
            real(turn, state, event, *rest, **more)
            self._store.thought.append(event.id)

        return instead((persons, "think", think))
