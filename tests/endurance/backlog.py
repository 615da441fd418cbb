"""A worker that was away finds a long log and a slow Redis: it stays small, alive and right.

    python -m tests.endurance.backlog [--events 1000000] [--embedded] [--trip-ms 50] [--pause-s 3]

An hour of log time waits: page views, and carts of which every second one was ordered within ten
minutes. Then: the worker's memory does not grow with the backlog, its session never expires though
Redis answers late and once not at all, a cart that was ordered makes no trigger, each other one
makes one, and what had expired meanwhile is recorded as expired and not sent.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import orjson
from redis import Redis

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import create_topics
from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.store import RedisStore
from engine.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from engine.config import Settings
from engine.decision.model import Trigger
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.events.record import Outgoing, partition_of
from engine.keys import Space
from engine.runtime.local.embedded import EmbeddedBroker, EmbeddedRedis, free_port
from engine.runtime.local.processes import Process
from engine.runtime.setup import publish_rules, topic_specs
from engine.runtime.ticker import tick_records
from engine.runtime.totals import summed
from tests.apache.broker import ApacheKafka
from tests.endurance.probe import look, member_ids
from tests.endurance.slow import SlowProxy
from tests.receiver import SECRET, receiver

AGO_MS = 3 * HOUR_MS  # when the hour began: what came true in it has expired by now
SPAN_S = 3_600
CARTS_S = 2_700  # carts come in the first 45 minutes, so that all orders are in the log
WITHIN_MS = 10 * MINUTE_MS
EVENTS_PER_CART = 50
FRESH = 50  # carts of a few minutes ago, whose triggers are still worth something
SETTLE_MS = WITHIN_MS + 70 * SECOND_MS  # the wait, its lateness, and a minute
GROWTH_MB_MAX = 48.0  # between a quarter of the backlog and its end
PATIENCE_S = 3_600.0
PORTION = 5_000  # records that are published at once
MANY = 200_000  # events that make a tick each second of log time no burden
RULE = {
    "rules/left.yaml": """
rule: cart-left
title: {en: Cart left alone, zh: 购物车闲置}
owner: load@shop.example
status: live
when:
  - event: cart.updated
  - {not: order.placed, within: 10m}
do:
  - case: cart-left
    channels: [desk]
tests:
  - {name: left alone, events: [{at: 0m, cart.updated: {value: 9.0, cart_id: a}}],
     expect: [{at: 10m, case: cart-left}]}
"""
}
_json = msgspec.json.Encoder().encode
_trigger = msgspec.json.Decoder(Trigger).decode


@dataclass(slots=True)
class Result:
    """What came of it; `problems` is empty if all is well."""

    events: int
    seconds: float
    rss_mb_first: float
    rss_mb_quarter: float
    rss_mb_peak: float
    repairs: dict[str, float]
    session_lost: bool
    absences: int
    absences_false: int
    absences_missing: int
    expired: int
    sent: int
    problems: list[str]


class Carts:
    """The customers of the load: who left a cart alone, who ordered, who is fresh."""

    def __init__(self, events: int, settings: Settings) -> None:
        self._settings = settings
        self.count = max(20, events // EVENTS_PER_CART)
        self.ids = [self._id(n) for n in range(self.count + FRESH)]
        self.left = set(self.ids[1 : self.count : 2])
        self.fresh = set(self.ids[self.count :])

    def _id(self, number: int) -> str:
        settings = self._settings
        name = f"u{number}"
        return birth_id("user_id", name, tenant=settings.tenant, secret=settings.secret_key)

    def record(self, number: int, type: str, at: int, name: str, data: dict[str, Any]) -> Outgoing:
        """Return a record of the event log, as the door would have written it."""
        who = self.ids[number]
        event = Event(
            id=sha256(name.encode()).hexdigest()[:32], tenant=self._settings.tenant,
            source="demo", type=type, at=at, original_at=at, received_at=at, ids=[who], data=data,
        )  # fmt: skip
        where = partition_of(who, self._settings.partitions)
        return Outgoing(topics.EVENTS, where, who.encode(), _json(event))

    def cart(self, number: int, at: int) -> Outgoing:
        """Return a cart of a customer."""
        data = {"value": 900, "currency": "CNY", "cart_id": "a"}
        return self.record(number, "cart.updated", at, f"c{number:x}", data)

    def order(self, number: int, at: int) -> Outgoing:
        """Return the order of a customer's cart."""
        data = {"value": 900, "currency": "CNY"}
        return self.record(number, "order.placed", at, f"d{number:x}", data)


def waiting(
    events: int, carts: Carts, settings: Settings, *, began: int, tick_s: int
) -> Iterator[list[Outgoing]]:
    """Yield the backlog, a second of log time after the other, with a tick every `tick_s`."""
    random = Random(7)
    at_second: dict[int, list[Outgoing]] = {}
    for number in range(carts.count):
        second = random.randrange(CARTS_S)
        at = began + second * SECOND_MS
        at_second.setdefault(second, []).append(carts.cart(number, at))
        if number % 2 == 0:
            later = second + random.randrange(1, WITHIN_MS // SECOND_MS)
            order = carts.order(number, began + later * SECOND_MS)
            at_second.setdefault(later, []).append(order)
    views = max(0, events - carts.count - (carts.count + 1) // 2)
    for second in range(SPAN_S):
        now = began + second * SECOND_MS
        records = at_second.get(second, [])
        if second % tick_s == 0:
            records += tick_records(now, now, settings.partitions, settings.secret_key)
        for n in range(views * second // SPAN_S, views * (second + 1) // SPAN_S):
            who, data = random.randrange(carts.count), {"page": f"/p/{n % 400}"}
            records.append(carts.record(who, "web.page_viewed", now, f"f{n:x}", data))
        yield records


async def fill(settings: Settings, events: int, carts: Carts) -> int:
    """Write the rule, the backlog, and behind it what is fresh; return how many events."""
    publisher = KafkaPublisher(settings.kafka_bootstrap, timeout_s=120.0)
    await publish_rules(settings, publisher, "v1", rules=RULE)
    now = int(time() * 1000)
    tick_s = 1 if events >= MANY else 10
    held: list[Outgoing] = []
    count = FRESH
    for records in waiting(events, carts, settings, began=now - AGO_MS, tick_s=tick_s):
        count += sum(record.key != b"tick" for record in records)
        held += records
        if len(held) > PORTION:
            await publisher.publish(held)
            held = []
    fresh = now - SETTLE_MS
    held += tick_records(fresh, fresh, settings.partitions, settings.secret_key)
    held += [carts.cart(number, fresh) for number in range(carts.count, carts.count + FRESH)]
    held += tick_records(now, now, settings.partitions, settings.secret_key)
    await publisher.publish(held)
    await publisher.close()
    return count


@contextmanager
def role(name: str, settings: Settings) -> Iterator[int]:
    """Run one role in a process of its own; yields its process id."""
    env = {name.upper(): str(value) for name, value in asdict(settings).items()}
    with tempfile.TemporaryDirectory() as folder:
        command = ["engine.cli.main", "run", name]
        process = Process(name, command, env=env, folder=Path(folder))
        process.start()
        try:
            yield process.pid
            assert process.exit_code is None, f"{name} ended: {process.last_words()}"
        finally:
            process.ask_to_stop()
            process.wait()


async def watched(settings: Settings, pid: int, count: int, *, pause_s: float) -> dict[str, Any]:
    """Follow the worker until all is applied; stop Redis altogether once, in the middle."""
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    group = f"{settings.generation}-engage"
    members: set[str] = set()
    rss: list[tuple[int, float]] = []
    paused, began = False, monotonic()
    try:
        while True:
            done = summed([await store.meta(p) for p in range(settings.partitions)])["applied"]
            vital = look(pid)
            assert vital is not None, "the worker died"
            if done:
                rss.append((done, vital.rss_mb))
            if done and not members:
                members = await asyncio.to_thread(member_ids, settings.kafka_bootstrap, group)
            if done >= count // 2 and not paused:
                paused = True
                with Redis.from_url(settings.redis_url) as client:
                    client.client_pause(int(pause_s * 1000))
            if done >= count:
                break
            assert monotonic() - began < PATIENCE_S, f"{done} of {count} applied"
            await asyncio.sleep(0.2)
    finally:
        await store.close()
    after = await asyncio.to_thread(member_ids, settings.kafka_bootstrap, group)
    quarter = max(count // 4, rss[0][0])
    return {
        "seconds": round(monotonic() - began, 1),
        "rss_mb_first": round(rss[0][1], 1),
        "rss_mb_quarter": round(max(mb for done, mb in rss if done <= quarter), 1),
        "rss_mb_peak": round(max(mb for _, mb in rss), 1),
        "session_lost": members != after,
    }


def repairs(port: int) -> dict[str, float]:
    """Return how often the worker had to take a partition over again, by reason."""
    found = {}
    for line in urlopen(f"http://127.0.0.1:{port}/metrics").read().decode().splitlines():
        if line.startswith("engine_work_repairs_total{"):
            found[line.split('reason="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
    return found


async def absences(settings: Settings) -> Counter[str]:
    """Return how many triggers each customer has, each number of a partition once."""
    reader = KafkaReader(settings.kafka_bootstrap)
    found: dict[str, str] = {}
    for partition in range(settings.partitions):
        offset, _ = await reader.bounds(topics.TRIGGERS, partition)
        while records := await reader.read(topics.TRIGGERS, partition, offset, count_max=1_000):
            offset = records[-1].offset + 1
            for trigger in (_trigger(r.value) for r in records if b'"rule":"cart-left"' in r.value):
                found[trigger.id] = trigger.customer
    await reader.close()
    return Counter(found.values())


async def settled(settings: Settings, count: int) -> Counter[str]:
    """Wait until so many triggers are settled; return the ledger's counts."""
    space = Space(settings.generation, settings.partitions)
    ledger = RedisLedger(settings.redis_url, space)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                counts = Counter(await ledger.counts(range(settings.partitions)))
                if counts["expired"] + counts["sent"] + counts["failed"] >= count:
                    return counts
                await asyncio.sleep(0.2)
    finally:
        await ledger.close()


async def play(
    settings: Settings, *, events: int, trip_ms: int, pause_s: float, url: str
) -> Result:
    """Fill the log, let a worker and a sender work it off, and judge."""
    carts = Carts(events, settings)
    endpoint = {"name": "sample", "url": url, "secret": SECRET, "private": True}
    settings = replace(
        settings, endpoints=orjson.dumps([endpoint]).decode(), metrics_port=free_port()
    )
    count = await fill(settings, events, carts)
    expected = carts.left | carts.fresh
    async with SlowProxy(urlsplit(settings.redis_url).port or 0, trip_s=trip_ms / 1000) as proxy:
        far = replace(settings, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        with role("work", far) as pid:
            found = await watched(settings, pid, count, pause_s=pause_s)
            with role("deliver", replace(settings, metrics_port=0)):
                counts = await settled(settings, len(expected))
            found["repairs"] = repairs(settings.metrics_port)
    fired = await absences(settings)
    result = Result(
        events=count,
        absences=sum(fired.values()),
        absences_false=sum(n for who, n in fired.items() if who not in expected),
        absences_missing=len(expected - fired.keys()),
        expired=counts["expired"],
        sent=counts["sent"],
        problems=[],
        **found,
    )
    result.problems = problems(result, carts)
    return result


def problems(result: Result, carts: Carts) -> list[str]:
    """Return what is not as it must be."""
    checks = {
        "absences that had been cancelled": result.absences_false,
        "absences that did not come": result.absences_missing,
        "absences more than once": result.absences - len(carts.left | carts.fresh),
        "sent though expired, or not sent though fresh": result.sent - FRESH,
        "expired, but not recorded so": result.expired - len(carts.left),
        "the group took the worker for dead": int(result.session_lost),
    }
    found = [f"{what}: {n}" for what, n in checks.items() if n]
    grown = result.rss_mb_peak - result.rss_mb_quarter
    if grown > GROWTH_MB_MAX:
        found.append(f"memory grew by {grown:.0f} MB over the last three quarters")
    return found


def run(*, events: int, apache: bool = True, trip_ms: int = 50, pause_s: float = 3.0) -> Result:
    """Play it on servers of its own."""
    with ExitStack() as stack:
        broker = ApacheKafka() if apache else EmbeddedBroker()
        server = EmbeddedRedis()
        stack.callback(broker.stop)
        stack.callback(server.stop)
        settings = Settings(redis_url=server.start(), kafka_bootstrap=broker.start())
        create_topics(settings.kafka_bootstrap, topic_specs(settings))
        desk, url = stack.enter_context(receiver())
        result = asyncio.run(
            play(settings, events=events, trip_ms=trip_ms, pause_s=pause_s, url=url)
        )
        if desk.delivered != FRESH:
            result.problems.append(f"the channel system got {desk.delivered} of {FRESH}")
        return result


def main() -> int:
    """Print one JSON object; 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--embedded", action="store_true", help="the broker is the memory one")
    parser.add_argument("--trip-ms", type=int, default=50, help="to Redis and back, added")
    parser.add_argument("--pause-s", type=float, default=3.0, help="Redis answers nothing, once")
    given = parser.parse_args()
    result = run(
        events=given.events,
        apache=not given.embedded,
        trip_ms=given.trip_ms,
        pause_s=given.pause_s,
    )
    print(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2).decode())
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
