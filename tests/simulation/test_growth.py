"""A log that grows from 4 to 8 partitions gives what one of 8 would have given all along."""

import asyncio
from collections.abc import Sequence

import pytest

from engine.errors import ConfigError, CoverageError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import header
from tests import spine
from tests.simulation.growing import (
    Growing,
    a_crowd,
    at_now,
    customers,
    timers,
    trigger_ids,
)
from tests.simulation.world import Faults, World

EVENTS = 60
STEP_MS = 60_000


async def live_through(world: World, events: Sequence[Event]) -> None:
    """Let events happen, one a minute, with all work done in between."""
    for event in events:
        world.send(at_now(event, world.now))
        await spine.pass_time(world, STEP_MS)


async def straight(seed: int, count: int) -> World:
    """Return the world that had this many partitions from the start."""
    world = spine.a_world(partition_count=count, seed=seed)
    await live_through(world, a_crowd(seed, EVENTS))
    await spine.pass_time(world, 20 * STEP_MS)
    return world


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("old", "new"), [(4, 8), (3, 7)])
def test_a_grown_log_knows_and_does_what_it_would_have(seed: int, old: int, new: int) -> None:
    async def play() -> None:
        whole = await straight(seed, new)
        both = Growing(seed, old=old, new=new)
        crowd = a_crowd(seed, EVENTS)
        await live_through(both.old, crowd[: EVENTS // 2])
        assert timers(both.old), "somebody waits for something across the cut"
        await both.grow()
        await live_through(both.new, crowd[EVENTS // 2 :])
        await spine.pass_time(both.new, 20 * STEP_MS)
        assert customers(both.new) == customers(whole)
        assert timers(both.new) == timers(whole)
        assert trigger_ids(both.old, both.new) == trigger_ids(whole)
        assert set(trigger_ids(whole).values()) == {1}
        assert both.new.counts()["applied"] == whole.counts()["applied"] == EVENTS
        assert both.new.counts()["customers"] == whole.counts()["customers"]
        assert both.new.entries() == whole.entries()

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(6))
def test_growing_that_breaks_anywhere_is_begun_again(seed: int) -> None:
    async def play() -> None:
        whole = await straight(seed, 8)
        both = Growing(seed, old=4, new=8)
        crowd = a_crowd(seed, EVENTS)
        await live_through(both.old, crowd[: EVENTS // 2])
        faults = Faults(reply_lost=0.1, commit_lost=0.1, publish_cut=0.15)
        for part in (both.old.store, both.old.log, both.new.store, both.new.log):
            part.faults = faults
        await both.grow()
        both.old.heal()
        both.new.heal()
        assert both.tries > 1, "nothing broke"
        await live_through(both.new, crowd[EVENTS // 2 :])
        await spine.pass_time(both.new, 20 * STEP_MS)
        assert customers(both.new) == customers(whole)
        assert trigger_ids(both.old, both.new) == trigger_ids(whole)

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(3))
def test_what_late_producers_write_to_the_old_log_is_passed_on_once(seed: int) -> None:
    async def play() -> None:
        whole = await straight(seed, 8)
        both = Growing(seed, old=4, new=8)
        crowd = a_crowd(seed, EVENTS)
        await live_through(both.old, crowd[:20])
        growth = both.growth()
        await growth.cut()
        both.new.now = both.old.now
        for event in crowd[20:25]:
            both.old.send(at_now(event, both.old.now))  # nobody has told them
            await spine.pass_time(both.old, STEP_MS)
        await both.grow()
        both.passing.held.clear()  # it happened, and the note of it was lost
        assert await both.growth().pass_on() > 0
        for event in crowd[25:30]:  # the old workers still run, too
            both.old.send(at_now(event, both.new.now))
            await spine.pass_time(both.old, STEP_MS)
            assert await both.growth().pass_on() == 1
            await spine.pass_time(both.new, STEP_MS)
        await live_through(both.new, crowd[30:])
        await spine.pass_time(both.new, 20 * STEP_MS)
        assert trigger_ids(both.old, both.new) == trigger_ids(whole)
        assert both.new.counts()["applied"] == EVENTS
        assert customers(both.new).keys() == customers(whole).keys()

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(4))
def test_moves_that_are_under_way_at_the_cut_arrive_before_the_copy(seed: int) -> None:
    async def play() -> None:
        both = Growing(seed, old=4, new=8)
        for event in a_crowd(seed, 30):
            both.old.send(at_now(event, both.old.now))
        await both.growth().cut()  # not one event was folded before it
        assert not any([await both.old.store.waiting(p) for p in range(4)])
        await both.grow()
        assert not any(header(r.headers, "src") for r in both.new.log.records(topics.EVENTS))
        merged = both.new.counts()["merged"]
        await spine.pass_time(both.new, STEP_MS)
        assert both.new.counts()["applied"] == 30
        assert both.new.counts()["merged"] == merged > 0, "all of it was done by the old log"

    asyncio.run(play())


def test_a_new_log_without_its_past_stands_still() -> None:
    async def play() -> None:
        both = Growing(1, old=4, new=8)
        await live_through(both.old, a_crowd(1, 10))
        await both.grow()
        both.new.store._meta.clear()  # Redis fell back to before the copy
        with pytest.raises(CoverageError, match="run `engine grow`"):
            await both.new.owner(5).take_over()
        await both.grow()
        assert await both.new.owner(5).take_over() == 1

    asyncio.run(play())


def test_deliveries_move_and_settled_ones_stay_known() -> None:
    async def play() -> None:
        both = Growing(2, old=4, new=8)
        await live_through(both.old, a_crowd(2, EVENTS))
        await both.grow()
        triggers = trigger_ids(both.old)
        jobs = {m: p for p, held in both.new_ledger._held.items() for m in held.due}
        assert {member.partition("|")[0] for member in jobs} == set(triggers)
        settled, at = next(iter(jobs.items()))
        (job,) = await both.new_ledger.load(at, [settled])
        assert job is not None and job.state == "pending"
        assert not any(held.due for held in both.old_ledger._held.values())
        before = {q: dict(held.due) for q, held in both.new_ledger._held.items()}
        await both.growth().carry_ledger()  # again, as after a crash behind the copy
        assert {q: dict(held.due) for q, held in both.new_ledger._held.items()} == before
        both.new_ledger._held.clear()  # ... and the copy was lost
        await both.growth().carry_ledger()
        again = {m: p for p, held in both.new_ledger._held.items() for m in held.due}
        assert again == jobs

    asyncio.run(play())


def test_fewer_partitions_are_refused() -> None:
    with pytest.raises(ConfigError, match="there are 8 already; want more"):
        Growing(1, old=8, new=8).growth()
