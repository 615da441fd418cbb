"""A tick with very many due timers is committed in parts; where it is cut changes nothing."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.adapters.redis.store import RedisStore
from engine.adapters.redis.wire import Wire
from engine.clock import HOUR_MS
from engine.errors import Stale
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity import mac, messages
from engine.keys import Space
from engine.pipeline.book import Book
from engine.pipeline.state import TICK_TIMERS_MAX
from engine.ports import Commit, Store
from engine.runtime.partition.owner import Owner
from tests.simulation.worker import partitions
from tests.simulation.world import SECRET, Shelf
from tests.spine import REMIND, THANK, an_event
from tests.turns import rules_of

MANY = 2 * TICK_TIMERS_MAX + 300
FEW = 25
SPACE = Space("large-tick", 1)
START = 1_772_553_600_000


def the_log(customers: int) -> MemoryLog:
    """Return a log: rules, a cart of each customer, an hour's tick at which all are due, an event.

    Half of the waits are due at one instant, so that only their names order them.
    """
    rules = rules_of(REMIND, THANK)
    log = MemoryLog(partitions(1))

    def control(kind: str, body: msgspec.Struct) -> None:
        value, key = msgspec.json.encode(body), kind.encode()
        headers = (("kind", key), ("mac", mac.sign(kind, key, value, SECRET)))
        log.append(Outgoing(topics.EVENTS, 0, key, value, headers))

    def send(who: str, name: str, at: int, **more: Any) -> None:
        value = msgspec.json.encode(an_event(who, name, at, **more))
        log.append(Outgoing(topics.EVENTS, 0, who.encode(), value))

    control("ruleset", messages.Version(rules.version))
    control("tick", messages.Tick(START, START))
    for number in range(customers):
        send(f"0u{number:016d}", f"cart{number}", START - number * (number % 2))
    control("tick", messages.Tick(START + HOUR_MS, START + HOUR_MS))
    send("0u" + "0" * 16, "order", START + HOUR_MS, type="order.placed")
    return log


class Watched:
    """A store that remembers what was committed, and how much of it at once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.commits: list[Commit] = []
        self.loaded_max = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def load(self, partition: int, names: Any) -> Any:
        self.loaded_max = max(self.loaded_max, len(names))
        return await self.store.load(partition, names)

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        await self.store.apply(partition, token, commit)
        self.commits.append(replace(commit, meta=replace(commit.meta)))


async def fold_all(
    log: MemoryLog, store: Store, *, timers_max: int, batch: int = 200, deaths: bool = False
) -> Watched:
    """Fold a log to its end; with `deaths` a new owner takes over after every single commit."""
    rules = rules_of(REMIND, THANK)
    book = Book(secret=SECRET, rule_sets={rules.version: rules})
    watched = Watched(store)
    out = MemoryLog(partitions(1))

    def owner() -> Owner:
        return Owner(
            0,
            partition_count=1,
            store=watched,
            reader=_Reading(log, out),  # type: ignore[arg-type]
            publisher=out,
            library=Shelf(book),
            topic_partitions=partitions(1),
            timers_max=timers_max,
        )

    held = log.records(topics.EVENTS)
    one = owner()
    offset = await one.take_over()
    while offset < len(held):
        offset, _ = await one.batch(held[offset : offset + batch])
        if deaths:
            one = owner()
            offset = await one.take_over()
    return watched


class _Reading:
    """Reads events from one log, and triggers from where they are published."""

    def __init__(self, events: MemoryLog, out: MemoryLog) -> None:
        self._logs = {topics.EVENTS: events, topics.TRIGGERS: out}

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return await self._logs[topic].bounds(topic, partition)

    async def read(self, topic: str, partition: int, offset: int, *, count_max: int) -> Any:
        return await self._logs[topic].read(topic, partition, offset, count_max=count_max)


async def found(watched: Watched, customers: int) -> tuple[Any, ...]:
    """Return all that must not depend on where batches end."""
    names = [f"s:t:0u{number:016d}" for number in range(customers)]
    meta = await watched.store.meta(0)
    meta.prg = 0
    meta.fp = None
    timers = (await watched.store.acquire(0, "last")).timers
    out = [each for commit in watched.commits for each in commit.outbox]
    return out, await watched.store.load(0, names), timers, meta


@pytest.mark.parametrize("timers_max", [1, 2, 7, FEW - 1])
@pytest.mark.parametrize("deaths", [False, True])
@pytest.mark.parametrize("batch", [1, 200])
def test_where_a_tick_is_cut_changes_nothing(timers_max: int, deaths: bool, batch: int) -> None:
    async def scenario() -> None:
        log = the_log(FEW)
        whole = await fold_all(log, MemoryStore(), timers_max=FEW)
        cut = await fold_all(log, MemoryStore(), timers_max=timers_max, batch=batch, deaths=deaths)
        expected = await found(whole, FEW)
        assert await found(cut, FEW) == expected
        assert len(expected[0]) == FEW + 1, "every wait, and the thanks for the order behind them"
        fired = [sum(1 for s in c.timers.values() if s is None) for c in cut.commits]
        assert max(fired) <= timers_max
        parts = [c for c in cut.commits if c.meta.sub]
        assert len(parts) == -(-FEW // timers_max) - 1
        assert len({c.meta.prg for c in parts}) == 1, "not done: no progress is told"

    asyncio.run(scenario())


@pytest.mark.redis
def test_a_large_tick_goes_through_redis_in_parts(redis_url: str) -> None:
    async def scenario() -> None:
        wire = Wire(redis_url)
        await wire.call(b"FLUSHALL")
        log = the_log(MANY)
        store = RedisStore(redis_url, SPACE)
        cut = await fold_all(log, store, timers_max=TICK_TIMERS_MAX, deaths=True)
        whole = await fold_all(log, MemoryStore(), timers_max=MANY)
        assert await found(cut, MANY) == await found(whole, MANY)
        assert max(len(commit.states) for commit in cut.commits) == TICK_TIMERS_MAX
        assert cut.loaded_max == TICK_TIMERS_MAX, "never more nodes in memory at once"
        await store.close()
        await wire.close()

    asyncio.run(scenario())


@pytest.mark.redis
def test_redis_knows_two_parts_of_one_tick_apart(redis_url: str) -> None:
    async def scenario() -> None:
        wire = Wire(redis_url)
        await wire.call(b"FLUSHALL")
        store = RedisStore(redis_url, SPACE)
        cut = await fold_all(the_log(FEW), store, timers_max=10)
        token = await store.owner(0)
        for commit in cut.commits:
            with pytest.raises(Stale):
                await store.apply(0, token, commit)
        await store.close()
        await wire.close()

    asyncio.run(scenario())
