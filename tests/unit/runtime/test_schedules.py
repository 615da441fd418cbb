"""What each crash leaves, and what mends it: one schedule for every row of PROTOCOL.md 1.4."""

import asyncio
from collections.abc import Callable, Coroutine
from copy import deepcopy
from typing import Any

import msgspec
import pytest

from engine.errors import CoverageError, EngineError, Fenced, LogError, Stale, StoreError
from engine.events import topics
from engine.events.record import Record, header
from engine.runtime.partition import owner as partition
from engine.runtime.partition.owner import PROOF_MS_MAX, Owner
from tests.simulation.world import World
from tests.spine import ORDER, THANK, a_world, an_event, drain, triggers
from tests.turns import NOON

WHO = "0u" + "1" * 16
ORDERS = 3
OTHER = THANK.replace("thank", "other")
Scenario = Callable[[World], Coroutine[Any, Any, None]]


class Death(Exception):
    """A process ends here."""


def play(scenario: Scenario, *, count: int = 1) -> None:
    """Run a scenario on a log with some orders: each makes two triggers."""
    world = a_world(THANK, OTHER, partition_count=count)
    for number in range(ORDERS):
        world.send(an_event(WHO, f"o{number}", NOON + number, type=ORDER))
    asyncio.run(scenario(world))


def events(world: World) -> list[Record]:
    """Return the log of the first partition."""
    return world.log.records(topics.EVENTS)


async def taken(world: World) -> Owner:
    owner = world.owner(0)
    await owner.take_over()
    return owner


def out(world: World) -> list[tuple[int, bytes]]:
    """Return what is on the trigger topic, duplicates too: (number, value)."""
    found = world.log.records(topics.TRIGGERS)
    return [(int(header(r.headers, "oseq") or 0), r.value) for r in found]


async def mended(world: World, *, written: int = 2 * ORDERS) -> None:
    """Let the next owner do the rest; all is there once, `written` of it in all."""
    owner = await taken(world)
    rest = events(world)[owner.state.meta.off + 1 :]
    if rest:
        await owner.batch(rest)
    meta = await world.store.meta(0)
    assert (meta.off, meta.counts["applied"]) == (len(events(world)) - 1, ORDERS)
    assert [number for number, _ in out(world)].count(1) >= 1
    assert sorted({number for number, _ in out(world)}) == list(range(1, 2 * ORDERS + 1))
    assert len(out(world)) == written
    assert len({trigger.id for trigger in triggers(world)}) == 2 * ORDERS


def dying(real: Any, *, before: bool, error: Exception) -> Any:
    """Return a call that ends in an error: without its effect, or with it."""

    async def call(*arguments: Any) -> Any:
        if not before:
            await real(*arguments)
        raise error

    return call


async def dies_in(world: World, holder: Any, name: str, *, before: bool, error: Exception) -> None:
    """Let an owner die in one call of store or log, and nothing of it stay."""
    owner = await taken(world)
    real = getattr(holder, name)
    setattr(holder, name, dying(real, before=before, error=error))
    try:
        with pytest.raises(type(error)):
            await owner.batch(events(world))
    finally:
        setattr(holder, name, real)


@pytest.mark.parametrize("where", ["load", "fold"])
def test_dead_after_fetch_or_compute_it_is_replayed(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        owner = await taken(world)

        def die(*_: Any) -> None:
            raise Death

        with monkeypatch.context() as patched:
            if where == "load":
                patched.setattr(owner, "_load", die)
            else:
                patched.setattr(partition, "fold", die)
            with pytest.raises(Death):
                await owner.batch(events(world))
        assert (await world.store.meta(0)).off == -1
        await mended(world)

    play(scenario)


@pytest.mark.parametrize("before", [True, False], ids=["nothing happened", "it happened"])
def test_without_an_answer_to_apply_either_case_is_whole(before: bool) -> None:
    async def scenario(world: World) -> None:
        await dies_in(world, world.store, "apply", before=before, error=StoreError("no answer"))
        assert (await world.store.meta(0)).off == (-1 if before else ORDERS)
        assert out(world) == []
        await mended(world)

    play(scenario)


def test_committed_and_not_published_the_outbox_is_published() -> None:
    async def scenario(world: World) -> None:
        await dies_in(world, world.log, "publish", before=True, error=LogError("gone"))
        assert out(world) == []
        assert len(world.store._outbox[0]) == 2 * ORDERS
        await taken(world)
        assert len(out(world)) == 2 * ORDERS, "by the take-over itself"
        await mended(world)

    play(scenario)


@pytest.mark.parametrize("arrived", range(2 * ORDERS + 1))
def test_sent_without_an_ack_the_tail_says_what_arrived(arrived: int) -> None:
    async def scenario(world: World) -> None:
        owner = await taken(world)
        real = world.log.publish

        async def some(records: Any) -> None:
            await real(records[:arrived])
            raise LogError("no ack")

        world.log.publish = some  # type: ignore[method-assign]
        with pytest.raises(LogError):
            await owner.batch(events(world))
        world.log.publish = real  # type: ignore[method-assign]
        await mended(world)

    play(scenario)


def test_published_and_not_trimmed_nothing_comes_again() -> None:
    async def scenario(world: World) -> None:
        owner = await taken(world)
        await owner.batch(events(world))
        assert len(world.store._outbox[0]) == 2 * ORDERS, "its trim rides on the next commit"
        await mended(world)

    play(scenario)


def test_a_zombie_before_its_commit_is_fenced_or_stale() -> None:
    async def scenario(world: World) -> None:
        zombie = await taken(world)
        other = await taken(world)
        await other.batch(events(world)[:2])
        with pytest.raises(Fenced):
            await zombie.batch(events(world))
        zombie._token = other._token  # and were it not for the token:
        zombie._state.meta.off = -1
        with pytest.raises((Stale, EngineError)):
            await zombie.batch(events(world))
        await mended(world)

    play(scenario)


def test_a_zombie_before_its_publication_proves_that_it_owns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(world: World) -> None:
        zombie, now = await taken(world), [0.0]
        monkeypatch.setattr(partition, "monotonic", lambda: now[0])
        real = world.store.apply

        async def frozen(*arguments: Any) -> None:
            await real(*arguments)
            now[0] += PROOF_MS_MAX / 1000 + 1  # it sleeps, and others own its partition meanwhile
            await taken(world)

        monkeypatch.setattr(world.store, "apply", frozen)
        with pytest.raises(Fenced):
            await zombie.batch(events(world))
        monkeypatch.setattr(world.store, "apply", real)
        await mended(world)

    play(scenario)


def test_a_zombie_inside_its_send_repeats_numbers_and_bytes_and_readers_drop_it() -> None:
    async def scenario(world: World) -> None:
        zombie, real = await taken(world), world.log.publish

        async def frozen(records: Any) -> None:
            world.log.publish = real  # type: ignore[method-assign]
            await mended(world)
            await real(records)

        world.log.publish = frozen  # type: ignore[method-assign]
        await zombie.batch(events(world))
        first: dict[int, bytes] = {}
        for number, value in out(world):
            assert first.setdefault(number, value) == value
        assert len(out(world)) == 2 * len(first) == 4 * ORDERS
        assert len({trigger.id for trigger in triggers(world)}) == 2 * ORDERS

    play(scenario)


@pytest.mark.parametrize("kept", range(-1, ORDERS))
def test_when_redis_loses_a_suffix_a_tick_finds_it_and_replay_mends_it(kept: int) -> None:
    async def scenario(world: World) -> None:
        owner = await taken(world)
        states = {-1: deepcopy(vars(world.store))}
        for record in events(world):
            await owner.batch([record])
            states[record.offset] = {
                name: deepcopy(value) for name, value in vars(world.store).items()
                if isinstance(value, dict)
            }  # fmt: skip
        for name, value in states[kept].items():
            if isinstance(value, dict):
                setattr(world.store, name, deepcopy(value))
        await world.tick()
        with pytest.raises((Stale, Fenced)):
            await owner.batch(events(world)[-1:])
        await mended(world)

    play(scenario)


def test_a_move_that_comes_again_is_dropped_by_its_number() -> None:
    async def scenario(world: World) -> None:
        anonymous = "3a" + "7" * 16
        event = an_event(WHO, "both", NOON, type=ORDER)
        event.ids.append(anonymous)
        world.send(event)
        await drain(world)
        before = world.counts()
        moves = [r for r in events(world) if header(r.headers, "src") is not None]
        assert moves
        for record in moves:
            world.log._topics[topics.EVENTS][record.partition].append(
                record._replace(offset=len(world.log._topics[topics.EVENTS][record.partition]))
            )
        await drain(world)
        after = world.counts()
        assert after["dropped_hop"] == before["dropped_hop"] + len(moves)
        after["dropped_hop"] = before["dropped_hop"]
        assert after == before

    play(scenario, count=3)


def test_while_the_broker_is_down_nothing_is_lost_and_nothing_is_sent_twice() -> None:
    async def scenario(world: World) -> None:
        owner = await taken(world)
        world.log.broken = True
        with pytest.raises(LogError):
            await owner.batch(events(world))
        for _ in range(5):
            with pytest.raises(LogError):
                await owner.take_over()
        world.log.broken = False
        await mended(world)

    play(scenario)


@pytest.mark.parametrize("grown", [False, True], ids=["shorter", "grown again"])
def test_a_log_that_lost_its_tail_stops_the_partition(grown: bool) -> None:
    async def scenario(world: World) -> None:
        owner = await taken(world)
        await owner.batch(events(world))
        held = world.log._topics[topics.EVENTS][0]
        lost = held.pop()
        if grown:
            value = msgspec.json.encode(an_event(WHO, "another", NOON + 50, type=ORDER))
            held.append(lost._replace(value=value))
        with pytest.raises(CoverageError):
            await world.owner(0).take_over()
        if grown:
            held.pop()
        held.append(lost)
        await mended(world)

    play(scenario)
