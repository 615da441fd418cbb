"""CPU of the whole worker per event, beside a plain Faust agent that counts: one broker, one run.

    python -m tests.bench.pipeline [--events 60000] [--customers 2000] [--runs 3] [--apache]

A worker process folds a log that is there already (catching up), with the shipped rules and the
churn model; its CPU is counted from a quarter of the events on, so neither imports nor the join are
in it. The events are page views, carts, orders and reviews of known customers; 15 % of them are
scored. Prints one JSON object with medians.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import orjson

from engine.adapters.kafka_client import KafkaPublisher, create_topics
from engine.adapters.redis import RedisStore
from engine.churn.model import initial_model
from engine.clock import SECOND_MS
from engine.config import Settings
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.ingest.accept import accept
from engine.keys import Space
from engine.runtime.embedded import EmbeddedBroker, EmbeddedRedis
from engine.runtime.learner import version_records
from engine.runtime.setup import contracts_of, publish_rules, sources_of, topic_specs
from engine.runtime.ticker import tick_records
from engine.runtime.totals import summed
from tests.apache.broker import ApacheKafka
from tests.bench import shell

START_MS = 1_773_100_000_000
HERTZ = os.sysconf("SC_CLK_TCK")
MIX = (
    (0.70, "web.page_viewed", {"page": "/p/1", "category": "food"}),
    (0.82, "app.screen_viewed", {"screen": "home"}),
    (0.85, "cart.updated", {"value": 150.0, "cart_id": "c", "category": "food", "items": 1}),
    (0.97, "order.placed", {"value": 42.5, "category": "food"}),
    (1.00, "review.posted", {"sentiment": 0.4, "stars": 4, "product_id": "p"}),
)


def messages(count: int, customers: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (time, message): two hundred events a second of log time."""
    random = Random(1)
    for number in range(count):
        at = START_MS + number * 5
        chance = random.random()
        name, properties = next((n, p) for share, n, p in MIX if chance < share)
        yield at, {
            "type": "track", "event": name, "messageId": f"b{number}", "timestamp": at,
            "userId": f"u{random.randrange(customers)}", "properties": dict(properties),
        }  # fmt: skip


async def fill(settings: Settings, count: int, customers: int) -> None:
    """Write rules, model, events and one tick a second into the log."""
    publisher = KafkaPublisher(settings.kafka_bootstrap, timeout_s=60.0)
    await publish_rules(settings, publisher, "v1")
    artefact = Outgoing(topics.MODELS, 0, b"churn@m0", initial_model().to_json())
    records = version_records("model", "m0", settings.partitions, settings.secret_key)
    await publisher.publish([artefact, *records])
    source, contracts = sources_of(settings).by_name["history"], contracts_of(settings)
    out: list[Outgoing] = []
    tick = START_MS
    for at, message in messages(count, customers):
        while tick <= at:
            out += tick_records(tick, tick, settings.partitions, settings.secret_key)
            tick += SECOND_MS
        found = accept(
            message, raw=orjson.dumps(message), source=source, received_at=at, sent_at=None,
            contracts=contracts, secret=settings.secret_key,
        )  # fmt: skip
        partition = partition_of(found.key, settings.partitions)
        out.append(Outgoing(topics.EVENTS, partition, found.key.encode(), found.value))
        if len(out) > 2_000:
            await publisher.publish(out)
            out.clear()
    await publisher.publish(out)
    await publisher.close()


def cpu_s(pid: int) -> float:
    """Return user and system CPU seconds of a process (all threads)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


async def worker(settings: Settings, count: int) -> tuple[float, float]:
    """Return (CPU us, wall us) per event of one worker that catches up."""
    env = {**os.environ, **{n.upper(): str(v) for n, v in asdict(settings).items()}}
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", "run", "work"],
            env=env,
            stdout=output,
            stderr=output,
        )
        try:
            first: tuple[int, float, float] | None = None
            loop = asyncio.get_running_loop()
            while True:
                metas = [await store.meta(p) for p in range(settings.partitions)]
                applied = summed(metas)["applied"]
                if first is None and applied >= count // 4:
                    first = (applied, cpu_s(child.pid), loop.time())
                if applied >= count:
                    break
                assert child.poll() is None, "the worker died"
                await asyncio.sleep(0.05)
            assert first is not None
            share = 1e6 / (applied - first[0])
            return (cpu_s(child.pid) - first[1]) * share, (loop.time() - first[2]) * share
        finally:
            child.terminate()
            child.wait()
            await store.close()


def main() -> None:
    """Fill the log once, let a new worker (and a plain agent) read it each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--apache", action="store_true")
    arguments = parser.parse_args()
    broker = ApacheKafka() if arguments.apache else EmbeddedBroker()
    redis = EmbeddedRedis()
    try:
        bootstrap, redis_url = broker.start(), redis.start()
        settings = Settings(redis_url=redis_url, kafka_bootstrap=bootstrap, log="ERROR")
        create_topics(bootstrap, topic_specs(settings))
        asyncio.run(fill(settings, arguments.events, arguments.customers))
        create_topics(bootstrap, [shell.TopicSpec(shell.TOPIC, shell.PARTITIONS)])
        few = max(10_000, arguments.events // 5)
        asyncio.run(shell.fill(bootstrap, few))
        ours, plain, wall = [], [], []
        for run in range(arguments.runs):
            of_run = replace(settings, generation=f"bench{run}")
            cpu, real = asyncio.run(worker(of_run, arguments.events))
            ours.append(cpu)
            wall.append(real)
            plain.append(shell.measure("faust agent", bootstrap, f"plain-{run}", few)[0])
    finally:
        broker.stop()
        redis.stop()
    total, baseline = statistics.median(ours), statistics.median(plain)
    print(
        orjson.dumps(
            {
                "cpu_us_per_event": {"total": round(total, 1), "runs": [round(v, 1) for v in ours]},
                "wall_us_per_event": round(statistics.median(wall), 1),
                "plain_faust_cpu_us": round(baseline, 1),
                "ratio_to_plain_faust": round(baseline / total, 2),
                "broker": "apache" if arguments.apache else "embedded",
            }
        ).decode()
    )


if __name__ == "__main__":
    main()
