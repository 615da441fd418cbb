"""CPU of each stage of one event inside a worker, without the log: a real Redis, no broker.

    python -m tests.bench.stages [--events 40000] [--customers 2000] [--rules shipped|N] [--cold]

An owner folds a log from memory in batches of 200 a partition. The first quarter warms up. Each
stage is timed by wrapping it, so the sum is a little more than the whole without clocks (`all`).
"""

import argparse
import asyncio
import gc
from collections import defaultdict
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

import orjson
import redis

from engine.adapters.memory import MemoryStore
from engine.adapters.redis.store import RedisStore
from engine.churn import step as churn
from engine.cli.run import GC_THRESHOLD
from engine.config import Settings
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.record import Record, partition_of
from engine.keys import Space, node_name
from engine.ports import Store
from engine.runtime.local.embedded import EmbeddedRedis
from engine.runtime.partition import owner as owning
from engine.runtime.partition.cache import Cache
from engine.runtime.partition.owner import Owner
from engine.runtime.rulesets.library import ArtefactLibrary
from tests.bench.load import Kept, fill, rule_texts

BATCH = 200
COUNTS = dict.fromkeys(
    (topics.EVENTS, topics.TRIGGERS, topics.DEAD_EVENTS, topics.LABELLED, topics.ALIASES), 8
)


class Log:
    """Records by partition, read as the log is; artefacts too."""

    def __init__(self, kept: Kept, partitions: int) -> None:
        self.events: list[list[Record]] = [[] for _ in range(partitions)]
        self.artefacts: dict[str, list[Record]] = {topics.RULE_SETS: [], topics.MODELS: []}
        for sent in kept.records:
            rows = (
                self.events[sent.partition]
                if sent.topic == topics.EVENTS
                else self.artefacts[sent.topic]
            )
            rows.append(Record(sent.topic, sent.partition, len(rows), *sent[2:]))

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return where the log begins and ends; triggers are never read back here."""
        return 0, len(self.artefacts.get(topic, ()))

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        """Return artefacts from an offset on."""
        return self.artefacts.get(topic, [])[offset : offset + count_max]

    async def close(self) -> None:
        """What is there stays."""


class Stopwatch:
    """CPU seconds by stage; a stage inside a stage is taken off the outer one."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def sync(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function, timed."""

        def timed(*args: Any, **named: Any) -> Any:
            began = process_time()
            self._inner.append(0.0)
            try:
                return step(*args, **named)
            finally:
                self._note(name, process_time() - began)

        return timed

    def task(self, name: str, step: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """Return a coroutine function, timed (nothing else runs meanwhile)."""

        async def timed(*args: Any, **named: Any) -> Any:
            began = process_time()
            self._inner.append(0.0)
            try:
                return await step(*args, **named)
            finally:
                self._note(name, process_time() - began)

        return timed

    def _note(self, name: str, spent: float) -> None:
        self.spent[name] += spent - self._inner.pop()
        self._inner[-1] += spent


async def measure(
    *,
    events: int,
    customers: int,
    rules: dict[str, str] | None,
    stages: bool,
    cold: bool = False,
    known: bool = False,
    kind: type[RedisStore] = RedisStore,
) -> dict[str, float]:
    """Return CPU us per event, of all or by stage, and bytes of Redis a customer.

    `cold`: no value stays in memory. `known`: every customer has a history already. `kind`: how
    batches are committed.
    """
    settings = Settings(log="ERROR")
    kept = Kept()
    await fill(settings, kept, events, customers, rules=rules)
    log = Log(kept, settings.partitions)
    server = EmbeddedRedis()
    url = server.start()
    space = Space("bench", settings.partitions)
    store, client = kind(url, space), redis.Redis.from_url(url)
    empty = client.info("memory")["used_memory"]
    watch, sink = Stopwatch(), Kept()
    restore: list[tuple[Any, str, Any]] = []
    if stages:
        for module, attribute, name in (
            (owning, "read", "decode"),
            (owning, "fold", "think"),
            (churn, "on_event", "churn"),
        ):
            restore.append((module, attribute, getattr(module, attribute)))
            setattr(module, attribute, watch.sync(name, getattr(module, attribute)))
    try:
        owners = _owners(settings, store, log, sink)
        for owner in owners:
            await owner.take_over()
            if stages:
                owner._load = watch.task("load", owner._load)  # type: ignore[method-assign]
                owner._finish = watch.task("commit", owner._finish)  # type: ignore[method-assign]
                owner._publish = watch.task("forward", owner._publish)  # type: ignore[method-assign]
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        if known:
            preload(client, space, settings, customers, await a_customer())
        most = max(map(len, log.events))
        await _run(owners, log, 0, most // 4, cold=cold)
        watch.spent.clear()
        before = _redis_cpu(client)
        began = process_time()
        count = await _run(owners, log, most // 4, most, cold=cold)
        spent = process_time() - began
        found = {"all": spent, "redis": _redis_cpu(client) - before, **watch.spent}
        figures = {name: round(value * 1e6 / count, 2) for name, value in found.items()}
        size = client.info("memory")["used_memory"] - empty
        return {**figures, "bytes_per_customer": round(size / customers)}
    finally:
        for module, attribute, value in restore:
            setattr(module, attribute, value)
        await store.close()
        client.close()
        server.stop()


async def a_customer() -> bytes:
    """Return the state of one customer after some forty events."""
    settings, kept = Settings(log="ERROR"), Kept()
    await fill(settings, kept, 3_000, 80, rules=rule_texts(20))
    log = Log(kept, settings.partitions)
    store = MemoryStore()
    owners = _owners(settings, store, log, Kept())
    for owner in owners:
        await owner.take_over()
    await _run(owners, log, 0, max(map(len, log.events)), cold=False)
    names = {node_name(settings.tenant, record.key.decode()) for record in log.events[0]}
    values = [value for value in await store.load(0, sorted(names)) if value]
    return sorted(values, key=len)[len(values) // 2]


def _owners(settings: Settings, store: Store, log: Log, sink: Kept) -> list[Owner]:
    library = ArtefactLibrary(log, secret=settings.secret_key)
    return [
        Owner(
            p, partition_count=settings.partitions, store=store, reader=log, publisher=sink,
            library=library, topic_partitions=COUNTS,
        )
        for p in range(settings.partitions)
    ]  # fmt: skip


def preload(
    client: redis.Redis, space: Space, settings: Settings, customers: int, value: bytes
) -> None:
    """Give every customer the same history."""
    for first in range(0, customers, 1_000):
        rows = {}
        for number in range(first, min(first + 1_000, customers)):
            name = birth_id(
                "user_id", f"u{number}", tenant=settings.tenant, secret=settings.secret_key
            )
            partition = partition_of(name, settings.partitions)
            rows[space.key(partition, node_name(settings.tenant, name))] = value
        client.mset(rows)


async def _run(owners: list[Owner], log: Log, low: int, high: int, *, cold: bool) -> int:
    count = 0
    for first in range(low, high, BATCH):
        for owner, records in zip(owners, log.events, strict=True):
            batch = records[first : min(first + BATCH, high)]
            if batch:
                await owner.batch(batch)
                count += len(batch)
            if cold:
                owner._cache = Cache(0)
    return count


def _redis_cpu(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    """Print one JSON object: all stages of one rule set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--rules", default="shipped")
    parser.add_argument("--selective", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--known", action="store_true", help="all have a history already")
    parser.add_argument("--whole", action="store_true", help="one clock for all")
    given = parser.parse_args()
    rules = None
    if given.rules != "shipped":
        rules = rule_texts(int(given.rules), chatty=not given.selective)
    found = asyncio.run(
        measure(
            events=given.events, customers=given.customers, rules=rules, stages=not given.whole,
            cold=given.cold, known=given.known,
        )
    )  # fmt: skip
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
