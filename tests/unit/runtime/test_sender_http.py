"""The dispatcher over real HTTP, with a receiver in a thread."""

import asyncio
from collections.abc import Callable
from time import time

from engine.adapters.http import HttpSender
from engine.delivery.model import Endpoint
from engine.simulation.receiver import Desk
from tests.receiver import SECRET, receiver
from tests.unit.runtime.dispatch import World, read, trigger


def test_run_delivers_over_real_http_and_stops() -> None:
    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)

    async def scenario(desk: Desk, url: str) -> None:
        world = World(endpoints=(Endpoint("crm", url, (SECRET,), private=True),))
        sender, stop = HttpSender(), asyncio.Event()
        dispatcher = world.dispatcher(sender=sender, real_ms=_wall_ms)
        running = asyncio.create_task(dispatcher.run(stop))
        world.write(*[trigger(n) for n in range(1, 51)])
        await read(dispatcher, world)
        await until(lambda: desk.delivered == 50)
        desk.answer = "500"
        world.write(trigger(51))
        await read(dispatcher, world)
        await until(lambda: desk.attempts > 50)
        desk.answer = "200"
        await until(lambda: desk.delivered == 51)
        stop.set()
        await running
        await sender.close()
        assert desk.repeated == 0
        assert desk.refused == 0

    with receiver() as (desk, url):
        asyncio.run(scenario(desk, url))


def _wall_ms() -> int:
    return int(time() * 1000)
