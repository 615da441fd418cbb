"""What is dead or slow delays only what goes there: endpoints, ledgers, partitions."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from time import time

from engine.adapters.http import HttpSender
from engine.delivery.model import Endpoint
from engine.errors import StoreError
from engine.ports import LedgerSnapshot
from engine.profile.model import Actor
from engine.runtime.handover.attempt import PUT_OFF_MS
from engine.runtime.handover.sender import FENCED_WAIT_MS
from tests.receiver import SECRET, receiver
from tests.unit.runtime.dispatch import BORN, FlakyLedger, World, play, read, trigger, turn

DEAD = 14  # endpoints; each has 8 requests under way, together more than 100
PATIENCE_S = 60.0  # a busy machine is no dead endpoint


class StuckLedger(FlakyLedger):
    """A ledger that never answers when some of its partitions are to be taken over."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[int] = set()

    async def acquire(self, partition: int, token: str) -> LedgerSnapshot:
        if partition in self.stuck:
            await asyncio.Event().wait()
        return await super().acquire(partition, token)


class Store:
    """Looks customers up in a Redis of which one node is away; notes when it was asked for that."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[int] = []

    async def look_up(self, customer: str) -> Actor | None:
        if customer == "away":
            self.asked.append(self._world.clock.at - BORN)
            raise StoreError("this part of Redis is away", code="store/unreachable")
        return Actor()


def test_dead_endpoints_do_not_keep_the_living_one_waiting() -> None:
    async def scenario(dead_url: str, url: str, tried: Callable[[], int]) -> None:
        dead = [
            Endpoint(f"dead-{n}", dead_url, (SECRET,), private=True, timeout_s=2 * PATIENCE_S)
            for n in range(DEAD)
        ]
        crm = Endpoint("crm", url, (SECRET,), private=True)
        world = World(endpoints=(*dead, crm))
        sender, stop = HttpSender(), asyncio.Event()
        dispatcher = world.dispatcher(sender=sender, real_ms=lambda: int(time() * 1000))
        world.write(*[trigger(n) for n in range(1, 21)])
        await read(dispatcher, world)
        running = asyncio.create_task(dispatcher.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            # More hang than one pool for all would hold; the living one has its own all the same.
            while (await world.counts()).get("sent", 0) < 20 or tried() <= 100:
                await asyncio.sleep(0.01)
        stop.set()
        await running
        await sender.close()

    with ExitStack() as stack:
        gone, dead_url = stack.enter_context(receiver())
        desk, url = stack.enter_context(receiver())
        gone.answer = "hang"
        asyncio.run(scenario(dead_url, url, lambda: gone.attempts))
        assert desk.delivered == 20


def test_a_partition_whose_store_is_away_stops_no_other() -> None:
    async def scenario() -> None:
        world = World()
        store = Store(world)
        dispatcher = world.dispatcher(lookup=store.look_up)
        world.write(trigger(1, customer="away"), partition=1)
        await read(dispatcher, world, 1)
        await turn(dispatcher)
        assert store.asked == [0]
        world.write(trigger(2))
        await read(dispatcher, world)
        await turn(dispatcher)
        assert world.desk.delivered == 1

    play(scenario)


def test_a_sick_partition_is_troubled_less_and_less() -> None:
    async def scenario() -> None:
        world = World()
        store = Store(world)
        dispatcher = world.dispatcher(lookup=store.look_up)
        world.write(trigger(1, customer="away"), trigger(2, customer="away"))
        await read(dispatcher, world)
        for _ in range(40):
            await turn(dispatcher)
            world.clock.at += PUT_OFF_MS
        waits = [after - before for before, after in pairwise(sorted(set(store.asked)))]
        assert waits == [1_000, 2_000, 4_000, 8_000, 16_000]

    play(scenario)


def test_a_take_over_that_hangs_stops_no_other_partition() -> None:
    async def scenario() -> None:
        ledger = StuckLedger()
        world = World(ledger=ledger)
        dispatcher = world.dispatcher()
        for partition in (0, 1):
            await dispatcher.assigned(partition)
        await ledger.acquire(1, "another owner")
        world.write(trigger(1), partition=1)
        ledger.stuck = {1}
        dispatcher._parts[1].lost_at = BORN - FENCED_WAIT_MS
        world.write(trigger(2), partition=0)
        await dispatcher.batch(0, await world.log.read("triggers", 0, 0, count_max=5))
        async with asyncio.timeout(PATIENCE_S):
            await dispatcher.step()
            while (await world.counts()).get("sent", 0) < 1:
                await asyncio.sleep(0.01)
        for task in await dispatcher.settle(timeout_s=0.01):
            task.cancel()

    play(scenario)
