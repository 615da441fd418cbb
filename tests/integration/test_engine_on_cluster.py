"""The whole engine on a Redis Cluster: slots move and a master dies under load, nothing is lost.

What each person must have is computed here from what was sent; no code of the engine is asked.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Any

import aiohttp
import pytest

from engine.config import Settings
from engine.errors import StoreError
from engine.events import topics
from engine.events.record import header
from engine.keys import Space
from engine.runtime.stack import Plan, Stack
from tests.clusters import Node, RedisCluster, until

pytestmark = pytest.mark.redis
PEOPLE = 40
BATCHES = 30
BATCH = 30
MOVES_MIN = 6
PATIENCE_S = 90.0


def the_load() -> list[list[dict[str, Any]]]:
    """Return batches of Segment messages: gold members who order, and who are angry."""
    random = Random(5)
    batches = [[_message("identify", n, f"i{n}", traits={"tier": "gold"}) for n in range(PEOPLE)]]
    for first in range(0, BATCHES * BATCH, BATCH):
        batch = []
        for number in range(first, first + BATCH):
            name, properties = random.choice(
                [
                    ("Order Completed", {"total": 10.0, "order_id": f"o{number}"}),
                    ("review.posted", {"sentiment": -0.9, "stars": 1, "product_id": "p"}),
                ]
            )
            who = random.randrange(PEOPLE)
            batch.append(_message("track", who, f"m{number}", event=name, properties=properties))
        batches.append(batch)
    return batches


def test_events_are_applied_once_while_slots_move_and_a_master_dies(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two nodes: a process that starts while one of them is away asks the other.
    monkeypatch.setenv("REDIS_URL", ",".join(node.url for node in redis_cluster.nodes[:2]))
    redis_cluster.flush()

    async def scenario() -> None:
        settings = Settings(any_key="demo", port=0)
        async with Stack(Plan(settings)) as stack:
            batches = the_load()
            sending = asyncio.create_task(_send(stack, batches))
            moves = await _move_slots(stack, redis_cluster, sending)
            dead, promoted = await _kill_a_master(stack, redis_cluster)
            await sending
            assert moves >= MOVES_MIN
            await _until_settled(stack, sum(map(len, batches)))
            await _check_people(stack, batches)
            await _check_triggers(stack)
            await asyncio.to_thread(until, redis_cluster.is_whole, "a master again")
            totals = await stack.totals(final=True)
            assert (totals.lost, totals.duplicates, totals.dead_letters) == (0, 0, 0)
            assert totals.delivered == totals.triggers > PEOPLE / 2
            await asyncio.to_thread(redis_cluster.rejoin, dead, promoted)

    asyncio.run(scenario())


async def _send(stack: Stack, batches: list[list[dict[str, Any]]]) -> None:
    async with aiohttp.ClientSession() as session:
        for batch in batches:
            async with session.post(f"{stack.url}/v1/batch", json={"batch": batch}) as answer:
                assert answer.status == 200
            await asyncio.sleep(0.15)


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
    masters = [n for n in cluster.nodes if n.is_master and n is not owner and _has_slots(n)]
    move = cluster.begin_move(key, masters[0])
    while move.some(5):
        pass
    move.end()


def _has_slots(node: Node) -> bool:
    return any(row[2][1] == node.port for row in node.do("CLUSTER", "SLOTS"))


async def _kill_a_master(stack: Stack, cluster: RedisCluster) -> tuple[Node, Node]:
    """Kill the node of partition 0, of which a replica has seen all or nearly all."""
    key = Space(stack.settings.generation, stack.settings.partitions).key(0, "m")
    master = cluster.master_of(key)
    replica = cluster.replica_of(master)
    master.kill()
    return master, replica


async def _until_settled(stack: Stack, events: int) -> None:
    """Wait until all is applied, handed over, and told by receipts, which are events too."""
    deadline = monotonic() + PATIENCE_S
    every = range(stack.settings.partitions)
    while True:
        total: Counter[str] = Counter()
        settled = -1
        with suppress(StoreError):  # the master that died has no successor yet
            for partition in every:
                total.update((await stack.store.meta(partition)).counts)
            settled = (await stack.ledger.counts(every)).get("sent", 0)
        if settled == total["triggers"] and total["applied"] >= events + settled:
            return
        assert monotonic() < deadline, (total, settled, stack.last_words())
        await asyncio.sleep(0.2)


async def _check_people(stack: Stack, batches: list[list[dict[str, Any]]]) -> None:
    orders = Counter(
        m["userId"] for batch in batches for m in batch if m.get("event") == "Order Completed"
    )
    lookup = stack.lookup()
    for n in range(PEOPLE):
        found = await lookup.by_identifier("user_id", f"u{n}")
        assert found is not None
        trade = found.live.actor.trade
        assert (trade.orders, trade.total_minor) == (orders[f"u{n}"], orders[f"u{n}"] * 1_000)


async def _check_triggers(stack: Stack) -> None:
    """Equal numbers have equal bytes, and the numbers have no hole."""
    for partition in range(stack.settings.partitions):
        offset, _ = await stack.reader.bounds(topics.TRIGGERS, partition)
        first: dict[int, bytes] = {}
        while found := await stack.reader.read(topics.TRIGGERS, partition, offset, count_max=500):
            offset = found[-1].offset + 1
            for record in found:
                number = int(header(record.headers, "oseq") or 0)
                assert first.setdefault(number, record.value) == record.value
        assert list(first) == list(range(1, len(first) + 1))


def _message(kind: str, who: int, number: str, **rest: object) -> dict[str, Any]:
    return {"type": kind, "userId": f"u{who}", "messageId": number, **rest}
