"""Redis Cluster under the store: slots that move, nodes that die, nodes that have just joined.

Whatever it answers, nothing is half done, and who takes over again finds what was committed.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.redis.slots import SlotMap
from engine.adapters.redis.store import RedisStore
from engine.errors import ConfigError, StoreError
from engine.keys import Space
from engine.outcome import Meta
from engine.ports import Commit
from tests.clusters import Node, RedisCluster, until
from tests.servers import unavailable

pytestmark = pytest.mark.redis
SPACE = Space("moving", 8)
P = 3
HELD: dict[str, bytes | None] = {f"s:t:{n}": b"%d" % n for n in range(20)}


def a_commit(off: int, *, states: dict[str, bytes | None] | None = None) -> Commit:
    """Return a commit of the record at `off`; all four of the partition's keys are written."""
    return Commit(
        off_expected=off - 1,
        meta=Meta(off=off, fp=off),
        states=HELD if states is None else states,
        timers={"t:1|w": off},
        outbox=[(off + 1, b"out")],
        moves=[(off + 1, b"move")],
    )


async def until_acquired(store: RedisStore, token: str) -> Any:
    """Take over again and again, as the worker does."""
    for _ in range(200):
        try:
            return await store.acquire(P, token)
        except StoreError:
            await asyncio.sleep(0.1)
    raise AssertionError("nobody can take the partition over")


def functions(node: Node) -> list[bytes]:
    """Return the names of the libraries that a node has."""
    return [dict(zip(row[::2], row[1::2], strict=True))[b"library_name"]
            if isinstance(row, list) else row[b"library_name"]
            for row in node.do("FUNCTION", "LIST")]  # fmt: skip


def on(cluster: RedisCluster, scenario: Callable[[RedisStore], Awaitable[None]]) -> None:
    """Run a scenario on a partition that stands at offset 0."""

    async def run() -> None:
        store = RedisStore(cluster.url, SPACE)
        await until_acquired(store, "a")
        await store.apply(P, "a", a_commit(0))
        try:
            await scenario(store)
        finally:
            await store.close()

    cluster.flush()
    asyncio.run(run())


def another(cluster: RedisCluster, key: str) -> Any:
    """Return a master that has not the key's slot."""
    owner = cluster.master_of(key)
    return next(node for node in cluster.nodes if node.is_master and node is not owner)


def test_a_slot_that_has_moved_is_found_at_its_new_node(redis_cluster: RedisCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        key = SPACE.key(P, "m")
        redis_cluster.move(key, another(redis_cluster, key))
        with pytest.raises(StoreError, match="elsewhere") as caught:
            await store.apply(P, "a", a_commit(1))
        assert caught.value.code == "store/moved"
        snapshot = await store.acquire(P, "b")
        assert (snapshot.meta.off, snapshot.timers) == (0, [("t:1|w", 0)])
        await store.apply(P, "b", a_commit(1))
        assert await store.load(P, ["s:t:7"]) == [b"7"]

    on(redis_cluster, scenario)


@pytest.mark.parametrize("moved", [0, 1, 3, 12, 24], ids=lambda n: f"{n} of its 24 keys have gone")
def test_a_slot_on_its_way_takes_all_of_a_commit_or_nothing(
    redis_cluster: RedisCluster, moved: int
) -> None:
    fresh: dict[str, bytes | None] = {"s:t:new": b"new", "s:t:1": b"changed"}

    async def scenario(store: RedisStore) -> None:
        key = SPACE.key(P, "m")
        move = redis_cluster.begin_move(key, another(redis_cluster, key))
        if moved:
            assert move.some(moved) == moved
        for _ in range(3):
            with pytest.raises(StoreError) as caught:
                await store.apply(P, "a", a_commit(1, states=fresh))
            assert caught.value.code == "store/moved", "ASK and TRYAGAIN alike"
        move.end()
        snapshot = await until_acquired(store, "b")
        assert (snapshot.meta.off, snapshot.timers) == (0, [("t:1|w", 0)])
        assert snapshot.outbox == [(1, b"out")] and snapshot.moves == [(1, b"move")]
        assert await store.load(P, ["s:t:new", "s:t:1"]) == [None, b"1"]
        await store.apply(P, "b", a_commit(1, states=fresh))
        assert await store.load(P, ["s:t:new", "s:t:1"]) == [b"new", b"changed"]

    on(redis_cluster, scenario)


def test_a_slot_that_nobody_serves_is_waited_for(redis_cluster: RedisCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        key = SPACE.key(P, "m")
        owner = redis_cluster.master_of(key)
        slot = owner.do("CLUSTER", "KEYSLOT", key)
        owner.do("CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StoreError, match="elsewhere") as caught:
            await store.apply(P, "a", a_commit(1))
        assert caught.value.code == "store/moved"
        with pytest.raises(StoreError):
            await store.acquire(P, "b")
        owner.do("CLUSTER", "ADDSLOTS", slot)
        assert (await until_acquired(store, "b")).meta.off == 0
        until(redis_cluster.is_whole, "all slots are served again")

    on(redis_cluster, scenario)


def test_a_node_that_has_just_joined_gets_the_functions(redis_cluster: RedisCluster) -> None:
    node = redis_cluster.add()
    key = SPACE.key(P, "m")
    assert node.do("FUNCTION", "LIST") == []

    async def scenario(store: RedisStore) -> None:
        origin = redis_cluster.master_of(key)
        redis_cluster.move(key, node)
        assert (await until_acquired(store, "b")).meta.off == 0
        await store.apply(P, "b", a_commit(1))
        assert functions(node) == [b"touchpoint2"]
        redis_cluster.move(key, origin)
        assert (await until_acquired(store, "c")).meta.off == 1

    on(redis_cluster, scenario)


def test_a_replica_that_is_behind_takes_over_as_an_earlier_state(
    redis_cluster: RedisCluster,
) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.apply(P, "a", a_commit(1))
        master = redis_cluster.master_of(SPACE.key(P, "m"))
        replica = redis_cluster.replica_of(master)
        redis_cluster.cut_off(replica)
        for off in range(2, 9):
            await store.apply(P, "a", a_commit(off))
        master.kill()
        with pytest.raises(StoreError):
            await store.apply(P, "a", a_commit(9))
        snapshot = await until_acquired(store, "b")
        assert snapshot.meta == Meta(off=1, fp=1), "what the replica had: a prefix, nothing more"
        assert replica.is_master and b"touchpoint2" in functions(replica)
        await store.apply(P, "b", a_commit(2))
        redis_cluster.rejoin(master, replica)
        assert (await store.meta(P)).off == 2

    on(redis_cluster, scenario)


def test_any_living_node_of_several_urls_is_enough(redis_cluster: RedisCluster) -> None:
    async def ask(urls: str) -> bool:
        return (await SlotMap(urls).view()).plain

    assert asyncio.run(ask(f"redis://127.0.0.1:1/0,{redis_cluster.url}")) is False


def test_a_redis_alone_is_no_cluster(redis_url: str) -> None:
    async def ask() -> bool:
        return (await SlotMap(redis_url).view()).plain

    assert asyncio.run(ask()) is True


def test_a_cluster_has_no_other_database(redis_cluster: RedisCluster) -> None:
    async def ask() -> None:
        await SlotMap(redis_cluster.url.removesuffix("/0") + "/3").view()

    with pytest.raises(ConfigError, match="names database 3, a Redis Cluster has only 0"):
        asyncio.run(ask())


def test_one_redis_becomes_a_cluster_by_the_commands_of_the_page(
    redis_cluster: RedisCluster, tmp_path: Path
) -> None:
    """docs/growing.md, More Redis nodes: import with a copy, then rebalance."""
    if shutil.which("redis-cli") is None:
        unavailable("the commands of the page need `redis-cli` on PATH")
    redis_cluster.flush()
    alone = Node(tmp_path / "alone")
    alone.start()
    member = f"127.0.0.1:{redis_cluster.nodes[0].port}"

    async def fill() -> None:
        store = RedisStore(alone.url, SPACE)
        for partition in range(8):
            await store.acquire(partition, "a")
            await store.apply(partition, "a", a_commit(0))
        await store.close()

    async def check() -> None:
        store = RedisStore(redis_cluster.url, SPACE)
        for partition in range(8):
            snapshot = await store.acquire(partition, "b")
            assert (snapshot.meta, snapshot.timers) == (Meta(off=0, fp=0), [("t:1|w", 0)])
            assert await store.load(partition, list(HELD)) == list(HELD.values())
            await store.apply(partition, "b", a_commit(1))
        await store.close()

    try:
        asyncio.run(fill())
        copied = ("--cluster-from", f"127.0.0.1:{alone.port}", "--cluster-copy")
        _redis_cli("--cluster", "import", member, *copied)
        assert alone.client.dbsize() > 0, "the old one keeps what it had"
        asyncio.run(check())
    finally:
        alone.kill()
    _redis_cli("--cluster", "rebalance", member, "--cluster-threshold", "1")
    until(redis_cluster.is_whole, "the cluster")


def _redis_cli(*words: str) -> None:
    done = subprocess.run(["redis-cli", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1_000:] + done.stderr[-1_000:]
