"""What the trigger topic tells a new owner: which numbers are out, and that something was lost."""

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from engine.adapters.memory import MemoryLog
from engine.errors import CoverageError
from engine.events import topics
from engine.events.record import Outgoing
from engine.outcome import Meta
from engine.ports import Snapshot
from engine.runtime.partition.coverage import TAIL_MAX, read_back
from tests.simulation.world import World
from tests.spine import ORDER, THANK, a_world, an_event, drain, triggers
from tests.turns import NOON

WHO = "0u" + "1" * 16
FRESH = Snapshot(Meta(), [], [], [])
Saved = dict[str, Any]


@pytest.mark.parametrize(
    ("numbers", "others", "highest"),
    [(0, 0, 0), (3, 0, 3), (TAIL_MAX + 5, 2, TAIL_MAX + 5), (3, 9 * TAIL_MAX, 3), (0, 20, 0)],
)
def test_it_looks_back_until_there_is_a_number(numbers: int, others: int, highest: int) -> None:
    log = MemoryLog({topics.TRIGGERS: 1})
    for n in range(1, numbers + 1):
        log.append(Outgoing(topics.TRIGGERS, 0, b"k", b"v", (("oseq", b"%d" % n),)))
    for _ in range(others):  # what staff want sent once more has no number
        log.append(Outgoing(topics.TRIGGERS, 0, b"k", b"v", (("again", b"crm"),)))
    assert asyncio.run(read_back(log, 0, FRESH)) == highest


async def ordered(count: int) -> tuple[World, list[Saved], list[int]]:
    """Return a world after some orders, each thanked for; what Redis and the log held after each.

    The first is from before any.
    """
    world = a_world(THANK)
    await drain(world)
    saved, ends = [save(world)], [len(world.log.records(topics.EVENTS))]
    for number in range(count):
        world.send(an_event(WHO, f"order{number}", NOON + number, type=ORDER))
        await drain(world)
        saved.append(save(world))
        ends.append(len(world.log.records(topics.EVENTS)))
    assert numbers(world) == list(range(1, count + 1))
    return world, saved, ends


def numbers(world: World) -> list[int]:
    records = world.log.records(topics.TRIGGERS)
    return [int(dict(record.headers)["oseq"]) for record in records]


def save(world: World) -> Saved:
    tables = ("_meta", "_states", "_timers", "_outbox", "_moves")
    return {name: deepcopy(getattr(world.store, name)) for name in tables}


def restore(world: World, saved: Saved) -> None:
    for name, table in saved.items():
        getattr(world.store, name).clear()
        getattr(world.store, name).update(deepcopy(table))
    world._owners[0] = None


def cut(world: World, topic: str, end: int) -> None:
    del world.log._topics[topic][0][end:]


def test_triggers_that_the_topic_has_lost_come_again_by_an_older_redis() -> None:
    async def play() -> None:
        world, saved, _ = await ordered(3)
        cut(world, topics.TRIGGERS, 1)
        with pytest.raises(CoverageError, match=r"up to number 2 .* ends with 1: .* backup"):
            await world.owner(0).take_over()
        restore(world, saved[1])
        await drain(world)
        assert numbers(world) == [1, 2, 3]
        assert [item.rule for item in triggers(world)] == ["thank"] * 3

    asyncio.run(play())


def test_what_the_outbox_still_has_goes_out_again() -> None:
    async def play() -> None:
        world, *_ = await ordered(2)
        cut(world, topics.TRIGGERS, 1)  # the trim of the second rides on the next commit
        await world.owner(0).take_over()
        assert numbers(world) == [1, 2]

    asyncio.run(play())


def test_triggers_that_have_gone_by_age_are_not_missed() -> None:
    async def play() -> None:
        world, *_ = await ordered(3)

        async def aged(topic: str, partition: int) -> tuple[int, int]:
            end = len(world.log._topics[topic][partition])
            return (end, end) if topic == topics.TRIGGERS else (0, end)

        world.log.bounds = aged  # type: ignore[method-assign]
        assert await world.owner(0).take_over() == (await world.store.meta(0)).off + 1

    asyncio.run(play())


@pytest.mark.parametrize("grown", [False, True])
def test_numbers_of_a_lost_tail_are_not_given_again_by_an_older_redis(grown: bool) -> None:
    async def play() -> None:
        world, saved, ends = await ordered(3)
        cut(world, topics.EVENTS, ends[2])
        for number in range(3 if grown else 0):
            world.send(an_event(WHO, f"other{number}", NOON + number, type=ORDER))
        with pytest.raises(CoverageError, match="lost or changed that record; restore"):
            await world.owner(0).take_over()
        restore(world, saved[1])
        with pytest.raises(CoverageError, match=r"number 3 was made when.*GENERATION"):
            await world.owner(0).take_over()

    asyncio.run(play())


def test_an_older_redis_with_its_whole_log_goes_on() -> None:
    async def play() -> None:
        world, saved, _ = await ordered(3)
        restore(world, saved[0])
        await drain(world)
        assert numbers(world) == [1, 2, 3]

    asyncio.run(play())
