"""The worker's handler: a record that the fold cannot bear is passed over alone, and once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from engine.adapters.memory import MemoryStore
from engine.events import topics
from engine.events.record import Outgoing
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from tests.simulation.faults import Topics
from tests.simulation.worker import Shelf, partitions

HERE = "0u" + "0" * 16
POISON = 1  # its offset: the second of the log


class World:
    """A log of one partition with a poison record in it, and a store."""

    def __init__(self) -> None:
        self.log = Topics(partitions(1))
        self.store = MemoryStore()
        for number in range(4):
            self.write(number, "a lot" if number == POISON else 100)

    def write(self, number: int, value: Any) -> None:
        event = {"v": 1, "id": f"{number:08x}" * 4, "tenant": "t", "source": "s", "at": 1,
                 "type": "order.placed", "original_at": 1, "received_at": 1, "ids": [HERE],
                 "data": {"value": value}}  # fmt: skip
        self.log.append(Outgoing(topics.EVENTS, 0, HERE.encode(), orjson.dumps(event)))

    def worker(self, kind: Callable[..., Owner] = Owner) -> Engage:
        def owner(partition: int) -> Owner:
            return kind(
                partition,
                partition_count=1,
                store=self.store,
                reader=self.log,
                publisher=self.log,
                library=Shelf(self.log),
                topic_partitions=partitions(1),
            )

        return Engage(owner, seen=lambda *_: None, repaired=lambda *_: None)

    async def read(self, worker: Engage, offset: int) -> None:
        """Let a worker read to the end of the log."""
        while records := self.log.held(topics.EVENTS, 0)[offset : offset + 3]:
            offset = await worker.batch(0, records)

    async def check(self) -> None:
        """All is applied once, and the poison told once."""
        meta = await self.store.meta(0)
        assert meta.off == 3
        assert (meta.counts["applied"], meta.counts["dead"]) == (3, 1)
        letters = {orjson.loads(r.value)["id"] for r in self.log.records(topics.DEAD_EVENTS)}
        assert letters == {f"channel.events:0:{POISON}"}


def play(scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario(World()))


def test_the_others_of_its_batch_are_applied() -> None:
    async def scenario(world: World) -> None:
        worker = world.worker()
        await world.read(worker, await worker.assigned(0) or 0)
        await world.check()

    play(scenario)


def test_another_owner_that_was_faster_is_not_undone() -> None:
    """Found by a storm: the offset went back to the poison, and what followed came twice."""

    async def scenario(world: World) -> None:
        other = world.worker()

        class Slow(Owner):
            async def take_over(self) -> int:
                if self.takeovers == 2:  # it has met the poison alone by now
                    await world.read(other, await other.assigned(0) or 0)
                return await super().take_over()

        worker = world.worker(Slow)
        await world.read(worker, await worker.assigned(0) or 0)
        await world.check()

    play(scenario)


def test_nothing_is_passed_over_when_redis_has_fallen_back() -> None:
    async def scenario(world: World) -> None:
        class Unlucky(Owner):
            async def take_over(self) -> int:
                if self.takeovers == 2:
                    world.store = self._store = MemoryStore()
                return await super().take_over()

        worker = world.worker(Unlucky)
        await world.read(worker, await worker.assigned(0) or 0)
        await world.check()

    play(scenario)
