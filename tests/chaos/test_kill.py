"""Real processes on Apache Kafka: a worker killed in the middle of a load, or the broker.

Nothing is lost, no trigger comes twice, every customer ends as its events say (CAPABILITIES 115).
The expected counts are computed here, from what was sent; no code of the engine is asked.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from time import monotonic
from typing import Any

import aiohttp
import pytest

from engine.config import Settings
from engine.events import topics
from engine.runtime.stack import Plan, Stack
from tests.apache.broker import ApacheKafka, missing_tools
from tests.servers import unavailable

PEOPLE = 200
BATCHES = 60
BATCH = 100
SETTLED_S = 60.0


def the_load(seed: int) -> list[list[dict[str, Any]]]:
    """Return batches of Segment messages: page views, orders, and angry reviews of gold members."""
    random = Random(seed)
    batches: list[list[dict[str, Any]]] = [
        [
            {
                "type": "identify",
                "userId": f"u{n}",
                "messageId": f"i{n}",
                "traits": {"tier": "gold"},
            }
            for n in range(PEOPLE)
        ]
    ]
    number = 0
    for _ in range(BATCHES):
        batch = []
        for _ in range(BATCH):
            number += 1
            user = f"u{random.randrange(PEOPLE)}"
            name, properties = random.choice(
                [
                    ("web.page_viewed", {"page": f"/p/{number}"}),
                    ("Order Completed", {"total": 10.0, "order_id": f"o{number}"}),
                    ("review.posted", {"sentiment": -0.9, "stars": 1, "product_id": "p"}),
                ]
            )
            batch.append(
                {
                    "type": "track", "userId": user, "event": name,
                    "messageId": f"m{number}", "properties": properties,
                }
            )  # fmt: skip
        batches.append(batch)
    return batches


async def post(session: aiohttp.ClientSession, url: str, batch: list[dict[str, Any]]) -> None:
    """Send one batch until the door has taken it, as an SDK does."""
    deadline = monotonic() + SETTLED_S
    while monotonic() < deadline:
        try:
            async with session.post(url, json={"batch": batch}) as answer:
                if answer.status == 200:
                    return
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(0.5)
    raise AssertionError("the door took nothing for a minute")


async def until_settled(stack: Stack, events: int) -> dict[str, int]:
    """Wait until every distinct event is applied; return the counts of all partitions."""
    deadline = monotonic() + SETTLED_S
    while True:
        total: Counter[str] = Counter()
        for partition in range(stack.settings.partitions):
            total.update((await stack.store.meta(partition)).counts)
        if total["applied"] >= events:
            return total
        assert monotonic() < deadline, (total, stack.last_words())
        await asyncio.sleep(0.2)


async def triggers_of(stack: Stack) -> list[list[tuple[int, bytes]]]:
    """Return, by partition, (oseq, value) of everything on the trigger topic."""
    found = []
    for partition in range(stack.settings.partitions):
        offset, _ = await stack.reader.bounds(topics.TRIGGERS, partition)
        records: list[tuple[int, bytes]] = []
        while batch := await stack.reader.read(topics.TRIGGERS, partition, offset, count_max=500):
            offset = batch[-1].offset + 1
            records += [(int(dict(r.headers)["oseq"]), r.value) for r in batch]
        found.append(records)
    return found


@pytest.fixture
def own_broker() -> Iterator[ApacheKafka]:
    """An Apache Kafka of the test's own: its log begins empty."""
    missing = missing_tools()
    if missing:
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    broker = ApacheKafka()
    broker.start()
    yield broker
    broker.stop()


@pytest.mark.apache
@pytest.mark.parametrize("victim", ["worker", "broker"])
def test_nothing_is_lost_and_no_trigger_comes_twice(
    own_broker: ApacheKafka, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", own_broker.bootstrap)
    asyncio.run(play(own_broker, victim))


async def play(broker: ApacheKafka, victim: str) -> None:
    """Send the load, kill in the middle of it, hold the end against what was sent."""
    batches = the_load(7)
    settings = Settings(
        port=0, any_key="demo", generation=f"chaos-{victim}-{os.getpid()}", partitions=8
    )
    async with Stack(Plan(settings, roles=("keep", "work", "deliver", "collect"))) as stack:
        async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("any", "")) as session:
            for number, batch in enumerate(batches):
                await post(session, stack.url + "/v1/batch", batch)
                if number == len(batches) // 3:
                    if victim == "worker":
                        stack.kill_role("work")
                    else:
                        await asyncio.to_thread(broker.kill)
                        await asyncio.to_thread(broker.restart)
        events = sum(map(len, batches))
        counts = await until_settled(stack, events)
        totals = await stack.totals(final=True)
        assert totals.lost == 0
        assert counts["dead"] == 0
        await check_customers(stack, batches)
        await check_triggers(stack, batches)
        assert totals.duplicates == 0
        if victim == "worker":
            assert stack.restarts >= 1, "the fault did happen"


async def check_customers(stack: Stack, batches: list[list[dict[str, Any]]]) -> None:
    """Every customer has exactly the orders that were sent."""
    orders: Counter[str] = Counter()
    for batch in batches:
        orders.update(m["userId"] for m in batch if m.get("event") == "Order Completed")
    lookup = stack.lookup()
    for number in range(PEOPLE):
        found = await lookup.by_identifier("user_id", f"u{number}")
        assert found is not None
        trade = found.live.actor.trade
        assert (trade.orders, trade.total_minor) == (
            orders[f"u{number}"],
            orders[f"u{number}"] * 1000,
        )


async def check_triggers(stack: Stack, batches: list[list[dict[str, Any]]]) -> None:
    """One recovery case for each gold member who was angry; numbers without gap, bytes equal."""
    angry = {m["userId"] for b in batches for m in b if m.get("event") == "review.posted"}
    cases: Counter[str] = Counter()
    for records in await triggers_of(stack):
        first: dict[int, bytes] = {}
        for number, value in records:
            assert first.setdefault(number, value) == value, "equal number, equal bytes"
        assert list(first) == list(range(1, len(first) + 1)), "numbers in order, without gap"
        for value in first.values():
            if b'"rule":"gold-service-recovery"' in value:
                cases[value.split(b'"customer":"')[1].split(b'"')[0].decode()] += 1
    assert len(cases) == len(angry)
    assert set(cases.values()) == {1}, "one a day is the rule's limit"
