"""A partition changes hands while attempts are on their way."""

import asyncio
from collections.abc import Sequence
from copy import deepcopy

from engine.adapters.memory_ledger import MemoryLedger
from engine.delivery.model import Endpoint, Job
from engine.runtime.handover.sender import FENCED_WAIT_MS, Dispatcher
from tests.receiver import SECRET
from tests.unit.runtime.dispatch import CRM, World, play, read, trigger, turn

ONE = Endpoint("crm", CRM.url, (SECRET,), concurrency=2)


async def underway(world: World, count: int) -> Dispatcher:
    """Return a dispatcher with `count` requests that wait at the gate."""
    world.sender.gate = asyncio.Event()
    dispatcher = world.dispatcher()
    await read(dispatcher, world)
    await dispatcher.step()
    while len(world.sender.requests) < count:
        await asyncio.sleep(0)
    return dispatcher


def test_a_take_over_by_ourselves_does_not_send_again_what_is_on_its_way() -> None:
    async def scenario() -> None:
        world = World(endpoints=(ONE,))
        world.write(trigger(1))
        dispatcher = await underway(world, 1)
        await dispatcher.assigned(0)
        await dispatcher.step()
        assert world.sender.gate is not None
        world.sender.gate.set()
        await dispatcher.settle()
        await turn(dispatcher)
        assert len(world.sender.requests) == 1
        assert await world.counts() == {"sent": 1}

    play(scenario)


def test_a_partition_that_is_being_given_up_starts_nothing_new() -> None:
    async def scenario() -> None:
        world = World(endpoints=(ONE,))
        world.write(trigger(1), trigger(2), trigger(3))
        dispatcher = await underway(world, 2)
        leaving = asyncio.create_task(dispatcher.revoked(0))
        await asyncio.sleep(0)
        assert world.sender.gate is not None
        world.sender.gate.set()
        while len(dispatcher._busy) == 2:
            await asyncio.sleep(0)
        await dispatcher.step()
        await leaving
        await dispatcher.settle()
        assert len(world.sender.requests) == 2
        assert await world.counts() == {"sent": 2}

    play(scenario)


def test_other_partitions_go_on_when_one_is_given_up() -> None:
    async def scenario() -> None:
        world = World(endpoints=(ONE,))
        world.write(trigger(1), partition=0)
        world.write(trigger(2), partition=1)
        dispatcher = world.dispatcher()
        await read(dispatcher, world, 0)
        await read(dispatcher, world, 1)
        await dispatcher.revoked(0)
        await turn(dispatcher)
        assert world.desk.ids() == [f"{2:032x}"]

    play(scenario)


def test_a_zombie_whose_fence_redis_forgot_takes_in_what_was_known_when_it_asked() -> None:
    """Found by a storm: it asks, Redis falls back to when it was the owner, it commits."""

    async def scenario() -> None:
        world = World(endpoints=(ONE,))
        records = world.write(trigger(1))
        zombie = world.dispatcher()
        await zombie.assigned(0)
        before = deepcopy(world.ledger._held)
        await read(world.dispatcher(), world)

        async def load_and_fall_back(partition: int, members: Sequence[str]) -> list[Job | None]:
            found = await MemoryLedger.load(world.ledger, partition, members)
            world.ledger._held = before
            return found

        world.ledger.load = load_and_fall_back  # type: ignore[method-assign]
        await zombie.batch(0, records)
        del world.ledger.load
        owner = world.dispatcher()
        await read(owner, world)
        await turn(owner)
        assert world.desk.ids() == [f"{1:032x}"]

    play(scenario)


def test_it_goes_on_over_what_is_no_record() -> None:
    """Markers of transactions take offsets; the seat has seen that nothing else is there."""

    async def scenario() -> None:
        world = World(endpoints=(ONE,))
        records = world.write(trigger(1), trigger(2))
        dispatcher = world.dispatcher()
        await dispatcher.assigned(0)
        assert await dispatcher.batch(0, [records[0]._replace(offset=1)]) == 2
        assert await dispatcher.batch(0, [records[1]._replace(offset=3)]) == 4
        await turn(dispatcher)
        assert world.desk.ids() == [f"{1:032x}", f"{2:032x}"]

    play(scenario)


def test_after_a_take_over_by_itself_it_reads_from_where_the_ledger_stands() -> None:
    """Redis fell back to before a batch: what is being read lies behind a hole."""

    async def scenario() -> None:
        world = World(endpoints=(ONE,))
        records = world.write(trigger(1), trigger(2))
        dispatcher = world.dispatcher()
        await dispatcher.assigned(0)
        before = deepcopy(world.ledger._held)
        assert await dispatcher.batch(0, records[:1]) == 1
        world.ledger._held = before
        dispatcher._parts[0].lost_at = world.clock.now() - FENCED_WAIT_MS
        await dispatcher.step()
        await dispatcher.settle()
        assert await dispatcher.batch(0, records[1:]) == 0, "not over the first one"
        assert await dispatcher.batch(0, records) == 2
        await turn(dispatcher)
        assert world.desk.ids() == [f"{1:032x}", f"{2:032x}"]

    play(scenario)
