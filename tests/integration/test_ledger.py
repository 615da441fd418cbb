"""One suite for every Ledger: in memory, and Redis itself with its Functions."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis import Redis

from engine.adapters.memory_ledger import MemoryLedger
from engine.adapters.redis.ledger import KEPT_MS, RedisLedger
from engine.adapters.redis.wire import Wire
from engine.delivery.model import HELD_MAX, Job
from engine.errors import Fenced, Stale
from engine.keys import Space
from engine.ports import Ledger, LedgerUpdate
from tests.clusters import REAL, emptied
from tests.servers import digest

Scenario = Callable[[Ledger], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]
SPACE = Space("ledger-test", 8)


@pytest.fixture(params=["memory", *REAL])
def play(request: pytest.FixtureRequest) -> Play:
    """Return a function that runs a scenario on an empty ledger."""

    def run(scenario: Scenario) -> None:
        if request.param == "memory":
            asyncio.run(scenario(MemoryLedger()))
        else:
            asyncio.run(_on_redis(scenario, emptied(request.param, request)))

    return run


async def _on_redis(scenario: Scenario, url: str) -> None:
    ledger = RedisLedger(url, SPACE)
    try:
        await scenario(ledger)
    finally:
        await ledger.close()


def pending(name: str = "crm", body: bytes = b"\x00{}") -> Job:
    return Job(body, name, expires_at=99)


def intake(off: int, *, expected: int, **jobs: Job) -> LedgerUpdate:
    held: dict[str, tuple[int | None, Job]] = {n: (off * 10, job) for n, job in jobs.items()}
    return LedgerUpdate(off_expected=expected, off=off, oseq=off + 1, jobs=held)


def settled(member: str, state: str) -> LedgerUpdate:
    job = pending()
    job.state = state
    job.note(7, "200")
    return LedgerUpdate(jobs={member: (None, job)})


def test_the_next_owner_finds_offset_number_and_jobs(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        first = await ledger.acquire(3, "a")
        assert (first.off, first.oseq, first.jobs) == (-1, 0, {})
        await ledger.apply(3, "a", intake(4, expected=-1, x=pending(), y=pending("desk")))
        found = await ledger.acquire(3, "b")
        assert (found.off, found.oseq) == (4, 5)
        assert found.jobs == {"x": (40, pending()), "y": (40, pending("desk"))}
        other = await ledger.acquire(2, "b")
        assert (other.off, other.jobs) == (-1, {})

    play(scenario)


def test_a_settled_job_is_known_but_no_longer_to_come(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        await ledger.apply(3, "a", intake(0, expected=-1, x=pending(), y=pending()))
        await ledger.apply(3, "a", settled("x", "sent"))
        found = await ledger.acquire(3, "b")
        assert list(found.jobs) == ["y"]
        x, nobody = await ledger.load(3, ["x", "nobody"])
        assert x is not None
        assert (x.state, x.attempts) == ("sent", [(7, "200")])
        assert nobody is None

    play(scenario)


def test_a_later_attempt_moves_the_job(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        await ledger.apply(3, "a", intake(1, expected=-1, x=pending()))
        job = pending()
        job.note(11, "500")
        await ledger.apply(3, "a", LedgerUpdate(jobs={"x": (5_000, job)}))
        found = await ledger.acquire(3, "b")
        assert found.off == 1
        assert found.jobs == {"x": (5_000, job)}

    play(scenario)


def test_another_owner_is_fenced_and_changes_nothing(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "old")
        await ledger.apply(3, "old", intake(0, expected=-1, x=pending()))
        await ledger.acquire(3, "new")
        with pytest.raises(Fenced):
            await ledger.apply(3, "old", intake(1, expected=0, y=pending()))
        with pytest.raises(Fenced):
            await ledger.apply(3, "old", settled("x", "sent"))
        found = await ledger.acquire(3, "new")
        assert (found.off, found.jobs) == (0, {"x": (0, pending())})
        assert await ledger.counts([3]) == {}

    play(scenario)


def test_an_intake_from_another_offset_is_stale_and_changes_nothing(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        await ledger.apply(3, "a", intake(5, expected=-1, x=pending()))
        for expected in (-1, 4, 6):
            with pytest.raises(Stale):
                await ledger.apply(3, "a", intake(7, expected=expected, y=pending()))
        found = await ledger.acquire(3, "a")
        assert (found.off, found.oseq, list(found.jobs)) == (5, 6, ["x"])

    play(scenario)


def test_an_intake_leaves_the_jobs_alone_that_are_there(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(0, "a")
        await ledger.apply(0, "a", intake(0, expected=-1, x=pending(), y=pending()))
        await ledger.apply(0, "a", settled("x", "sent"))
        again = pending(body=b"made again")
        await ledger.apply(0, "a", intake(1, expected=0, x=again, y=again, z=again))
        x, y, z = await ledger.load(0, ["x", "y", "z"])
        assert x is not None and x.state == "sent"
        assert (y, z) == (pending(), again)
        found = await ledger.acquire(0, "b")
        assert found.jobs == {"y": (0, pending()), "z": (10, again)}
        assert dict(await ledger.counts([0])) == {"sent": 1}

    play(scenario)


def test_an_end_that_is_told_twice_is_counted_once(play: Play) -> None:
    # The reply to the first was lost, so it is sent again.
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        await ledger.apply(3, "a", intake(0, expected=-1, x=pending(), y=pending()))
        for _ in range(2):
            await ledger.apply(3, "a", settled("x", "sent"))
        await ledger.apply(3, "a", settled("y", "failed"))
        assert await ledger.counts([3, 4]) == {"sent": 1, "failed": 1}

    play(scenario)


def test_a_job_that_never_waited_is_counted_where_it_ends(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        full = pending()
        full.state = "failed"
        update = LedgerUpdate(off_expected=-1, off=0, oseq=1, jobs={"x": (None, full)})
        await ledger.apply(3, "a", update)
        assert await ledger.counts([3]) == {"failed": 1}
        assert (await ledger.acquire(3, "b")).jobs == {}

    play(scenario)


def test_all_jobs_can_be_gone_over_settled_ones_too(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        for partition in (2, 3):
            await ledger.acquire(partition, "a")
            await ledger.apply(partition, "a", intake(0, expected=-1, x=pending(), y=pending()))
        await ledger.apply(3, "a", settled("x", "sent"))
        found = {(p, member) async for p, members in ledger.walk() for member in members}
        assert found == {(2, "x"), (2, "y"), (3, "x"), (3, "y")}

    play(scenario)


def test_more_jobs_than_one_command_holds(play: Play) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        jobs = {f"t{n}": pending() for n in range(1_201)}
        await ledger.apply(3, "a", intake(0, expected=-1, **jobs))
        assert len((await ledger.acquire(3, "b")).jobs) == 1_201

    play(scenario)


@pytest.mark.redis
def test_of_very_many_jobs_only_the_first_bring_their_bytes(redis_url: str) -> None:
    Redis.from_url(redis_url).flushall()

    async def scenario(ledger: Ledger) -> None:
        await ledger.acquire(3, "a")
        jobs = {f"t{n}": pending() for n in range(HELD_MAX + 5)}
        await ledger.apply(3, "a", intake(0, expected=-1, **jobs))
        found = (await ledger.acquire(3, "b")).jobs
        empty = [member for member, (_, job) in found.items() if not job.trigger]
        assert (len(found), len(empty)) == (HELD_MAX + 5, 5)
        again = await ledger.load(3, empty[:1])
        assert again == [pending()]

    asyncio.run(_on_redis(scenario, redis_url))


@pytest.mark.redis
def test_a_refusal_leaves_every_byte_as_it_was(redis_url: str) -> None:
    Redis.from_url(redis_url).flushall()

    async def scenario(ledger: Ledger) -> None:
        wire = Wire(redis_url)
        await ledger.acquire(3, "a")
        await ledger.apply(3, "a", intake(0, expected=-1, x=pending()))
        before = await digest(wire)
        with pytest.raises(Stale):
            await ledger.apply(3, "a", intake(1, expected=-1, x=pending(), y=pending()))
        with pytest.raises(Fenced):
            await ledger.apply(3, "b", settled("x", "sent"))
        assert await digest(wire) == before
        await ledger.apply(3, "a", settled("x", "sent"))
        assert await digest(wire) != before
        await wire.close()

    asyncio.run(_on_redis(scenario, redis_url))


@pytest.mark.redis
def test_only_settled_jobs_go_away_by_themselves(redis_url: str) -> None:
    Redis.from_url(redis_url).flushall()

    async def scenario(ledger: Ledger) -> None:
        wire = Wire(redis_url)
        await ledger.acquire(3, "a")
        await ledger.apply(3, "a", intake(0, expected=-1, x=pending(), y=pending()))
        await ledger.apply(3, "a", settled("x", "sent"))
        left = {
            name: await wire.call(b"PTTL", SPACE.ledger_key(3, name).encode())
            for name in ("d:x", "d:y", "l", "due")
        }
        assert 0 < left.pop("d:x") <= KEPT_MS
        assert set(left.values()) == {-1}
        await wire.close()

    asyncio.run(_on_redis(scenario, redis_url))


@pytest.mark.redis
def test_functions_that_redis_lost_are_loaded_again(redis_url: str) -> None:
    Redis.from_url(redis_url).flushall()

    async def scenario(ledger: Ledger) -> None:
        wire = Wire(redis_url)
        await ledger.acquire(3, "a")
        await wire.call(b"FUNCTION", b"FLUSH")
        await ledger.apply(3, "a", intake(0, expected=-1, x=pending()))
        assert list((await ledger.acquire(3, "a")).jobs) == ["x"]
        await wire.close()

    asyncio.run(_on_redis(scenario, redis_url))
