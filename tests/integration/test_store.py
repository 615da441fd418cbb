"""One suite for every Store: in memory, and Redis itself with its Functions."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.memory import MemoryStore
from engine.adapters.redis.store import RedisStore, decode_meta, encode_meta
from engine.adapters.redis.wire import Wire
from engine.errors import Fenced, Stale, StoreError
from engine.keys import Space
from engine.outcome import Meta
from engine.ports import Commit, Ready, Store
from engine.runtime.local.embedded import EmbeddedRedis
from tests.clusters import REAL, emptied
from tests.servers import digest

Scenario = Callable[[Store], Coroutine[Any, Any, None]]
SPACE = Space("test", 8)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server = EmbeddedRedis()
    yield server.start()
    server.stop()


@pytest.fixture(params=["memory", *REAL])
def play(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Return a function that runs a scenario on an empty store."""

    async def on_redis(scenario: Scenario, url: str) -> None:
        store = RedisStore(url, SPACE)
        try:
            await scenario(store)
        finally:
            await store.close()

    def run(scenario: Scenario) -> None:
        if request.param == "memory":
            asyncio.run(scenario(MemoryStore()))
            return
        asyncio.run(on_redis(scenario, emptied(request.param, request)))

    return run


def a_commit(off: int, *, expected: int, **changes: object) -> Commit:
    meta = Meta(
        off=off, fp=7, clk=1, now=2, prg=1, oseq=3, mseq=4, src={5: 6}, counts={"applied": 1}
    )
    held = {"states": {}, "timers": {}, "outbox": [], "moves": []} | changes
    return Commit(off_expected=expected, meta=meta, **held)  # type: ignore[arg-type]


def test_what_was_committed_is_what_the_next_owner_acquires(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(store: Store) -> None:
        first = await store.acquire(3, "a")
        assert first.meta == Meta() and not first.timers and not first.outbox
        states = {"s:t:x": b"\x00bytes\xff", "s:t:gone": None}
        commit = a_commit(
            9,
            expected=-1,
            states=states,
            timers={"t:x|w1": 50, "t:x|w0": 50, "t:y|g": 20},
            outbox=[(2, b"two"), (3, b"three")],
            moves=[(4, b"")],
        )
        await store.apply(3, "a", commit)
        snapshot = await store.acquire(3, "b")
        assert snapshot.meta == commit.meta
        assert snapshot.timers == [("t:y|g", 20), ("t:x|w0", 50), ("t:x|w1", 50)]
        assert snapshot.outbox == [(2, b"two"), (3, b"three")]
        assert snapshot.moves == [(4, b"")]
        assert await store.load(3, ["s:t:x", "s:t:gone", "s:t:never"]) == [
            b"\x00bytes\xff",
            None,
            None,
        ]
        assert await store.owner(3) == "b"
        assert await store.load(2, ["s:t:x"]) == [None], "partitions do not share keys"

    play(scenario)


def test_a_commit_trims_what_was_acknowledged(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(0, "a")
        both = {"outbox": [(1, b"a"), (2, b"b")], "moves": [(1, b"c"), (2, b"d")]}
        await store.apply(0, "a", a_commit(0, expected=-1, timers={"m": 5}, **both))
        later = a_commit(1, expected=0, timers={"m": None}, outbox=[(3, b"e")])
        later.trim_outbox, later.trim_moves = 2, 1
        await store.apply(0, "a", later)
        snapshot = await store.acquire(0, "a")
        assert snapshot.outbox == [(3, b"e")]
        assert snapshot.moves == [(2, b"d")]
        assert snapshot.timers == []

    play(scenario)


@pytest.mark.parametrize(
    ("token", "expected", "refusal"),
    [("b", -1, Fenced), ("a", 5, Stale), ("b", 5, Fenced)],
    ids=["another owner", "another offset", "both"],
)
def test_a_refusal_changes_nothing(
    play: Callable[[Scenario], None], token: str, expected: int, refusal: type[Exception]
) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(1, "a")
        commit = a_commit(
            0,
            expected=expected,
            states={"s": b"1"},
            timers={"m": 1},
            outbox=[(1, b"x")],
            moves=[(1, b"y")],
        )
        with pytest.raises(refusal):
            await store.apply(1, token, commit)
        snapshot = await store.acquire(1, "c")
        assert snapshot.meta == Meta()
        assert not snapshot.timers and not snapshot.outbox and not snapshot.moves
        assert await store.load(1, ["s"]) == [None]

    play(scenario)


def test_a_large_commit_goes_through_whole(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(0, "a")
        states: dict[str, bytes | None] = {f"s:{i}": b"%d" % i for i in range(3_000)}
        timers: dict[str, int | None] = {f"m{i}": i for i in range(5_000)}
        moves = [(i, b"%d" % i) for i in range(1, 4_001)]
        await store.apply(
            0, "a", a_commit(0, expected=-1, states=states, timers=timers, moves=moves)
        )
        snapshot = await store.acquire(0, "a")
        assert len(snapshot.timers) == 5_000
        assert snapshot.moves == moves
        assert await store.load(0, ["s:2999"]) == [b"2999"]

    play(scenario)


def test_tries_are_counted_where_nothing_moves(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        assert [(await store.acquire(0, f"{n}")).tries for n in range(3)] == [1, 2, 3]
        assert (await store.acquire(0, "3")).alone == 0
        await store.alone(0, "3")
        found = await store.acquire(0, "4")
        assert (found.tries, found.alone) == (5, 1)
        await store.apply(0, "4", a_commit(0, expected=-1))
        found = await store.acquire(0, "5")
        assert (found.tries, found.alone) == (1, 0), "it has moved"
        await store.apply(0, "5", a_commit(1, expected=0))
        await store.alone(0, "5")
        found = await store.acquire(0, "6")
        assert (found.tries, found.alone) == (1, 1)

    play(scenario)


def test_an_owner_that_lives_is_no_new_try(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(0, "a")
        await store.alone(0, "a")
        found = await store.acquire(0, "b", previous="a", survived=1)
        assert (found.tries, found.alone) == (1, 0)
        await store.alone(0, "b")
        found = await store.acquire(0, "c", previous="a", survived=1)
        assert (found.tries, found.alone) == (2, 0), "it lives, but another was here meanwhile"

    play(scenario)


def test_only_the_owner_notes_that_it_tries(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(0, "a")
        with pytest.raises(Fenced):
            await store.alone(0, "b")
        assert (await store.acquire(0, "a")).alone == 0

    play(scenario)


def test_what_an_owner_is_ready_for_is_asked_of_the_present_one(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(store: Store) -> None:
        assert await store.ready(0) is None, "nobody has ever owned it"
        await store.acquire(0, "a")
        assert await store.ready(0) == Ready("a", (), {})
        told = Ready("a", ("v1", "v2"), {"v3": "no such event"})
        await store.tell_ready(0, told)
        await store.apply(0, "a", a_commit(0, expected=-1))
        assert await store.ready(0) == told
        assert (await store.meta(0)).off == 0, "it is no part of the state"
        await store.acquire(0, "b")
        assert await store.ready(0) == Ready("b", (), {})

    play(scenario)


def test_a_tick_that_is_not_done_is_a_place_of_its_own(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(0, "a")
        part = a_commit(-1, expected=-1)
        part.meta.sub = 7
        await store.apply(0, "a", part)
        with pytest.raises(Stale):
            await store.apply(0, "a", a_commit(0, expected=-1))
        again = a_commit(-1, expected=-1)
        again.meta.sub, again.sub_expected = 9, 7
        await store.apply(0, "a", again)
        found = await store.acquire(0, "a")
        assert (found.meta.sub, found.tries) == (9, 1)
        done = a_commit(0, expected=-1)
        done.sub_expected = 9
        await store.apply(0, "a", done)
        assert (await store.meta(0)).sub == 0

    play(scenario)


@pytest.mark.redis
def test_a_refusal_leaves_every_byte_as_it_was(redis_url: str) -> None:
    async def scenario() -> None:
        wire, store = Wire(redis_url), RedisStore(redis_url, SPACE)
        await wire.call(b"FLUSHALL")
        await store.acquire(1, "a")
        full = {"states": {"s:t:x": b"1"}, "timers": {"m": 1}, "outbox": [(1, b"x")]}
        await store.apply(1, "a", a_commit(4, expected=-1, **full))
        before = await digest(wire)
        other = {"states": {"s:t:x": None, "s:t:y": b"2"}, "timers": {"m": None, "n": 2}}
        for token, expected, sub in (("a", 3, 0), ("a", 5, 0), ("a", 4, 1), ("b", 4, 0)):
            late = a_commit(5, expected=expected, moves=[(1, b"y")], **other)
            late.sub_expected, late.trim_outbox = sub, 9
            with pytest.raises((Fenced, Stale)):
                await store.apply(1, token, late)
            assert await digest(wire) == before
        with pytest.raises(Fenced):
            await store.alone(1, "b")
        assert await digest(wire) == before
        await store.apply(1, "a", a_commit(5, expected=4, **other))
        assert await digest(wire) != before
        await store.close()
        await wire.close()

    asyncio.run(scenario())


@pytest.mark.redis
def test_what_the_release_before_leaves_behind_is_understood(redis_url: str) -> None:
    """It knows no unfinished tick: it finishes it, and leaves our count of its timers behind."""

    async def scenario() -> None:
        wire, store = Wire(redis_url), RedisStore(redis_url, SPACE)
        await wire.call(b"FLUSHALL")
        await store.acquire(1, "a")
        part = a_commit(4, expected=-1)
        part.meta.sub = 3
        await store.apply(1, "a", part)
        key = SPACE.key(1, "m").encode()
        await wire.call(b"HSET", key, b"off", b"5", b"ep", b"old")
        found = await store.acquire(1, "b")
        assert (found.meta.off, found.meta.sub, found.tries) == (5, 0, 1)
        await store.apply(1, "b", a_commit(6, expected=5))
        await wire.call(b"HDEL", key, b"sub", b"tried", b"tries", b"alone")
        assert (await store.acquire(1, "c")).meta.sub == 0
        await store.apply(1, "c", a_commit(7, expected=6))
        await store.close()
        await wire.close()

    asyncio.run(scenario())


def test_all_names_can_be_gone_over(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        wanted = set()
        for partition in range(8):
            names = [f"s:t:{partition}{n}" for n in range(300)] + [f"R:t/{partition}"]
            states: dict[str, bytes | None] = dict.fromkeys(names, b"x")
            await store.acquire(partition, "a")
            commit = a_commit(0, expected=-1, states=states, timers={"m": 1}, moves=[(1, b"")])
            await store.apply(partition, "a", commit)
            wanted |= {(partition, name) for name in names}
        found = {(p, name) async for p, names in store.walk() for name in names}
        assert found == wanted, "nodes and entries, of this key space, and nothing else"

    play(scenario)


def test_what_is_not_acknowledged_is_counted(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.acquire(0, "a")
        both = {"outbox": [(1, b"a"), (2, b"b")], "moves": [(1, b"c")]}
        await store.apply(0, "a", a_commit(0, expected=-1, **both))
        assert await store.waiting(0) == 3
        later = a_commit(1, expected=0)
        later.trim_outbox, later.trim_moves = 2, 0
        await store.apply(0, "a", later)
        assert (await store.waiting(0), await store.waiting(1)) == (1, 0)

    play(scenario)


@pytest.mark.redis
def test_workers_of_two_releases_own_a_partition_in_turn(redis_url: str) -> None:
    """The release before with its own Functions, beside ours: forth, back, and forth again."""
    four = [SPACE.key(2, name).encode() for name in ("m", "tm", "ob", "mv")]
    library = Path(__file__).parents[1] / "data" / "upgrade" / "functions-67bc1aa.lua"

    async def scenario() -> None:
        wire, store = Wire(redis_url), RedisStore(redis_url, SPACE)
        await wire.call(b"FLUSHALL")
        before = Wire(redis_url, functions=library.read_text())

        async def old_commit(token: bytes, off: int) -> bytes:
            meta = [b"off", b"%d" % (off + 1), b"fp", b"1"]
            parts = [token, b"%d" % off, b"0", b"0", b"2", *meta, *[b"0"] * 5]
            reply: bytes = await before.function(b"touchpoint_apply", b"4", *four, *parts)
            return reply

        await store.acquire(2, "new")
        await store.apply(2, "new", a_commit(4, expected=-1, timers={"m": 1, "n": 2}))
        meta, timers, _, _ = await before.function(b"touchpoint_acquire", b"4", *four, b"old")
        assert timers == [b"m", b"1", b"n", b"2"]
        assert dict(zip(meta[::2], meta[1::2], strict=True))[b"off"] == b"4"
        assert await old_commit(b"new", 4) == b"FENCED"
        assert await old_commit(b"old", 3) == b"STALE"
        assert await old_commit(b"old", 4) == b"OK"
        with pytest.raises(Fenced):
            await store.apply(2, "new", a_commit(5, expected=4))
        found = await store.acquire(2, "newer")
        assert (found.meta.off, found.meta.fp, found.tries) == (5, 1, 1)
        await store.apply(2, "newer", a_commit(6, expected=5, timers={"m": None}))
        assert await old_commit(b"old", 6) == b"FENCED"
        for each in (before, wire, store):
            await each.close()

    asyncio.run(scenario())


@pytest.mark.redis
def test_redis_that_lost_its_functions_gets_them_again(redis_url: str) -> None:
    async def scenario() -> None:
        wire = Wire(redis_url)
        store = RedisStore(redis_url, SPACE)
        await store.acquire(0, "a")
        await wire.call(b"FUNCTION", b"FLUSH")
        assert (await store.acquire(0, "b")).meta is not None
        await store.close()
        await wire.close()

    asyncio.run(scenario())


@pytest.mark.redis
def test_redis_that_is_not_there_is_an_error_that_says_where() -> None:
    async def scenario() -> None:
        store = RedisStore("redis://127.0.0.1:1/0", SPACE)
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/0 did not answer"):
            await store.meta(0)
        await store.close()

    asyncio.run(scenario())


def test_meta_survives_its_bytes() -> None:
    meta = Meta(
        off=5, fp=None, clk=1, now=2, prg=3, oseq=4, mseq=5, src={1: 2}, ruleset="v1", model="m0"
    )
    parts = encode_meta(meta)
    assert decode_meta(list(zip(parts[::2], parts[1::2], strict=True))) == meta
