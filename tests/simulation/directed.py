"""Schedules of identity that storms come to in one seed of hundreds: played step by step."""

import asyncio

from engine.events.model import Event
from engine.events.record import partition_of
from engine.identity.registrar import ADDRESS
from engine.pipeline.book import Book
from tests.simulation.findings import Violation
from tests.simulation.orders import laws
from tests.simulation.people import an_event
from tests.simulation.world import SECRET, World


def late_state(seed: int) -> list[Violation]:
    """Return what is wrong after a customer's state comes to one who is erased by then.

    The device leaves the telephone's person. The telephone is joined to a user id, which is erased
    before the telephone's node hears of either, and while the device's own node has not heard yet
    of its new way: that way is in a state which nobody takes any more.
    """
    world = World(seed, book=Book(secret=SECRET))
    registrar, user = partition_of(ADDRESS, world.count), f"0u{seed:04d}"
    phone = _elsewhere(world, f"1p{seed:04d}", registrar)
    apart = partition_of(phone, world.count)
    device = _elsewhere(world, f"3d{seed:04d}", registrar, apart, partition_of(user, world.count))
    late = partition_of(device, world.count)
    others = [partition for partition in range(world.count) if partition != late]
    events: list[Event] = []

    def send(*ids: str) -> None:
        events.append(an_event(len(events), list(ids), world.now))
        world.send(events[-1])

    async def play() -> None:
        send(phone, device)
        await world.drain_all()
        world.split(phone, [device])
        await world.drain(*others)
        send(user, phone)
        await world.drain(partition_of(user, world.count))
        world.erase(user)
        await world.drain(registrar)
        await world.drain(*others)
        await world.drain_all()
        send(device)
        await world.settle()

    asyncio.run(play())
    return laws(world, events)


def _elsewhere(world: World, stem: str, *taken: int) -> str:
    """Return an identifier that begins so, and whose home is in none of some partitions."""
    names = (f"{stem}{number}" for number in range(99))
    return next(name for name in names if partition_of(name, world.count) not in taken)
