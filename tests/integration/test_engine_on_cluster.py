"""The whole engine on a Redis Cluster: slots move and a master dies under load, nothing is lost.

What each person must have is computed from what was sent (`tests/crowd.py`).
"""

import asyncio

import pytest

from engine.config import Settings
from engine.keys import Space
from engine.runtime.local.stack import Plan, Stack
from tests.clusters import Node, RedisCluster, until
from tests.crowd import PEOPLE, check_people, check_triggers, send, the_load, until_settled

pytestmark = pytest.mark.redis
MOVES_MIN = 6


def test_events_are_applied_once_while_slots_move_and_a_master_dies(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two nodes: a process that starts while one of them is away asks the other.
    monkeypatch.setenv("REDIS_URL", ",".join(node.url for node in redis_cluster.nodes[:2]))
    redis_cluster.flush()

    async def scenario() -> None:
        settings = Settings(any_key="demo", port=0)
        async with Stack(Plan(settings)) as stack:
            batches = the_load(30)
            sending = asyncio.create_task(send(stack, batches, pause_s=0.15))
            moves = await _move_slots(stack, redis_cluster, sending)
            dead, promoted = await _kill_a_master(stack, redis_cluster)
            await sending
            assert moves >= MOVES_MIN
            await until_settled(stack, sum(map(len, batches)))
            await check_people(stack, batches)
            await check_triggers(stack)
            await asyncio.to_thread(until, redis_cluster.is_whole, "a master again")
            totals = await stack.totals(final=True)
            assert (totals.lost, totals.duplicates, totals.dead_letters) == (0, 0, 0)
            assert totals.delivered == totals.triggers > PEOPLE / 2
            await asyncio.to_thread(redis_cluster.rejoin, dead, promoted)

    asyncio.run(scenario())


async def _move_slots(stack: Stack, cluster: RedisCluster, sending: "asyncio.Task[None]") -> int:
    """Move the slot of one partition after another, key by key, as long as half the load lasts."""
    space = Space(stack.settings.generation, stack.settings.partitions)
    moves = 0
    while moves < MOVES_MIN:
        assert not sending.done(), f"only {moves} slots were moved under load"
        await asyncio.to_thread(_move_slowly, cluster, space.key(moves % 8, "m"))
        moves += 1
    return moves


def _move_slowly(cluster: RedisCluster, key: str) -> None:
    owner = cluster.master_of(key)
    masters = [n for n in cluster.nodes if n.has_slots and n is not owner]
    move = cluster.begin_move(key, masters[0])
    while move.some(5):
        pass
    move.end()


async def _kill_a_master(stack: Stack, cluster: RedisCluster) -> tuple[Node, Node]:
    """Kill the node of partition 0, of which a replica has seen all or nearly all."""
    key = Space(stack.settings.generation, stack.settings.partitions).key(0, "m")
    master = cluster.master_of(key)
    replica = cluster.replica_of(master)
    master.kill()
    return master, replica
