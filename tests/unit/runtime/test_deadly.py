"""A record that kills whoever folds it: found by those that come after, and passed over alone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from engine.adapters.kafka.seats import BATCH_MAX
from engine.adapters.memory import MemoryStore
from engine.errors import StoreError
from engine.events import topics
from engine.outcome import Meta
from engine.pipeline.state import TICK_TIMERS_MAX
from engine.runtime.partition import owner as partition
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import ALONE_MAX, CAREFUL_STEPS, TRIES_MAX, Owner
from tests.instead import held
from tests.simulation.faults import Topics
from tests.simulation.worker import partitions
from tests.unit.runtime.test_engage import POISON, World

AROUND = 40  # good records on both sides


class Died(BaseException):
    """What a process does not survive."""


class Crowd(World):
    """A longer log; the record at POISON kills, for as long as `kills`."""

    def __init__(self) -> None:
        self.log = Topics(partitions(1))
        self.store = MemoryStore()
        self.kills = True
        self.deaths = 0
        for number in range(AROUND):
            self.write(number, 100)

    async def live(self, worker: Engage) -> None:
        """Let a process work until it dies, or reaches the end."""
        offset = await worker.assigned(0) or 0
        while records := self.log.held(topics.EVENTS, 0)[offset:]:
            offset = await worker.batch(0, records)

    async def die(self) -> None:
        """One process after another, each of them dead of the record, until one lives."""
        while True:
            try:
                await self.live(self.worker())
                return
            except Died:
                self.deaths += 1

    async def meta(self) -> Meta:
        return await self.store.meta(0)

    def letters(self) -> dict[str, str]:
        found = [orjson.loads(r.value) for r in self.log.records(topics.DEAD_EVENTS)]
        return {letter["id"]: letter["reason"] for letter in found}


Scenario = Callable[[Crowd], Coroutine[Any, Any, None]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    """Return a function that runs a scenario in a world with a record that kills."""
    fold = held(partition, "fold")

    def run(scenario: Scenario) -> None:
        world = Crowd()

        def deadly(state: Any, arrival: Any, book: Any) -> None:
            if world.kills and arrival.record.offset == POISON:
                raise Died
            fold(state, arrival, book)

        monkeypatch.setattr(partition, "fold", deadly)
        asyncio.run(scenario(world))

    return run


def test_it_is_passed_over_alone_after_a_few_deaths(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: Crowd) -> None:
        await world.die()
        # Two in a batch, one more and it is alone for the first time where that batch began; the
        # good record in front of it is applied by then.
        assert world.deaths == TRIES_MAX - 1 + ALONE_MAX
        assert (await world.meta()).counts["dead"] == 1
        assert (await world.meta()).counts["applied"] == AROUND - 1
        assert world.letters() == {f"channel.events:0:{POISON}": "log/deadly"}

    play(scenario)


def test_restarts_of_a_partition_that_has_nothing_to_do_accuse_nobody(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(world: Crowd) -> None:
        world.kills = False
        await world.live(world.worker())
        for _ in range(10):
            await world.worker().assigned(0)  # and killed: it never comes back
        world.write(AROUND, 100)
        await world.live(world.worker())
        meta = await world.meta()
        assert (meta.counts["applied"], meta.off) == (AROUND + 1, AROUND)
        assert world.letters() == {}

    play(scenario)


def test_a_process_that_lives_accuses_nobody_however_often_it_must_repair(
    play: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: Crowd) -> None:
        world.kills = False
        for _ in range(TRIES_MAX):
            await world.worker().assigned(0)
        real, failed = world.store.apply, 0

        async def down(*arguments: Any) -> None:
            nonlocal failed
            failed += 1
            if failed < 9:
                raise StoreError("down")
            await real(*arguments)

        monkeypatch.setattr(world.store, "apply", down)
        await world.live(world.worker())
        assert failed > 9
        assert world.letters() == {}
        assert (await world.meta()).counts["applied"] == AROUND

    play(scenario)


def test_a_partition_in_good_health_pays_nothing(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: Crowd) -> None:
        world.kills = False
        noted: list[int] = []

        class Counting(Owner):
            async def alone(self, record: Any) -> Any:
                noted.append(record.offset)
                return await super().alone(record)

        worker = world.worker(Counting)
        await world.live(worker)
        assert noted == []
        for _ in range(TRIES_MAX):
            await world.worker(Counting).assigned(0)
        world.write(AROUND, 100)
        await world.live(world.worker(Counting))
        assert noted == [AROUND], "and one that has seen restarts is careful for a while"

    play(scenario)


def test_care_reaches_as_far_as_the_batch_that_killed() -> None:
    assert CAREFUL_STEPS >= TICK_TIMERS_MAX
    assert CAREFUL_STEPS >= BATCH_MAX
