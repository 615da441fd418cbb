"""A shop's crowd for whole-engine tests: what they send, and what must be known of them after it.

Expectations are computed from what was sent; no code of the engine is asked.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Any

import aiohttp

from engine.errors import StoreError
from engine.events import topics
from engine.events.record import header
from engine.runtime.local.stack import Stack

PEOPLE = 40
BATCH = 30
PATIENCE_S = 90.0
Batches = list[list[dict[str, Any]]]


def the_load(batches: int, *, seed: int = 5) -> Batches:
    """Return batches of Segment messages: gold members who order, and who are angry."""
    random = Random(seed)
    found = [[_message("identify", n, f"i{n}", traits={"tier": "gold"}) for n in range(PEOPLE)]]
    for first in range(0, batches * BATCH, BATCH):
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
        found.append(batch)
    return found


async def send(stack: Stack, batches: Batches, *, pause_s: float = 0.0) -> None:
    """Send batches through the front door, which takes all of each."""
    async with aiohttp.ClientSession() as session:
        for batch in batches:
            async with session.post(f"{stack.url}/v1/batch", json={"batch": batch}) as answer:
                assert answer.status == 200
            await asyncio.sleep(pause_s)


async def until_settled(stack: Stack, events: int) -> None:
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


async def check_people(stack: Stack, batches: Batches) -> None:
    """Each has the orders that were sent, and their value."""
    orders = Counter(
        m["userId"] for batch in batches for m in batch if m.get("event") == "Order Completed"
    )
    lookup = stack.lookup()
    for n in range(PEOPLE):
        found = await lookup.by_identifier("user_id", f"u{n}")
        assert found is not None
        trade = found.live.actor.trade
        assert (trade.orders, trade.total_minor) == (orders[f"u{n}"], orders[f"u{n}"] * 1_000)


async def check_triggers(stack: Stack) -> None:
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
