"""The whole worker, in a process of its own: CPU per event beside a plain Faust agent that counts.

    python -m tests.bench.pipeline [--events 60000] [--customers 2000] [--runs 3] [--apache]

One broker, one run. `total`: a log that is there already, counted from a quarter of the events on,
so neither imports nor the join are in it. `paced`: ten thousand events a second arrive, under the
same rules. `latency`: at half the rate of catching up, from handing an event to the log until its
trigger is handed over to the log, with one live rule more that each order fires.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import time
from typing import Any

import msgspec
import orjson

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import TopicSpec, create_topics
from engine.adapters.redis.store import RedisStore
from engine.clock import SECOND_MS
from engine.config import Settings
from engine.decision.model import Trigger
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Outgoing
from engine.keys import Space
from engine.runtime.local.embedded import EmbeddedBroker, EmbeddedRedis
from engine.runtime.setup import topic_specs
from engine.runtime.ticker import tick_records
from engine.runtime.totals import percentile, summed
from tests.apache.broker import ApacheKafka
from tests.bench import shell
from tests.bench.load import START_MS, always, events, fill, rule_texts

HERTZ = os.sysconf("SC_CLK_TCK")
STEP_S = 0.02  # between two portions of a paced load
_event = msgspec.json.Decoder(Event).decode
_trigger = msgspec.json.Decoder(Trigger).decode


def cpu_s(pid: int) -> float:
    """Return user and system CPU seconds of a process (all threads)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


@contextmanager
def worker(settings: Settings) -> Iterator[int]:
    """Run `engine run work`; yields its process id."""
    env = {**os.environ, **{n.upper(): str(v) for n, v in asdict(settings).items()}}
    command = [sys.executable, "-m", "engine.cli.main", "run", "work"]
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, env=env, stdout=output, stderr=output)
        try:
            yield child.pid
            assert child.poll() is None, "the worker died"
        finally:
            child.terminate()
            child.wait()


async def applied(settings: Settings, least: int) -> int:
    """Wait until so many events are applied; return how many are."""
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    try:
        while True:
            metas = [await store.meta(p) for p in range(settings.partitions)]
            if (found := summed(metas)["applied"]) >= least:
                return found
            await asyncio.sleep(0.05)
    finally:
        await store.close()


async def catch_up(settings: Settings, count: int) -> tuple[float, float]:
    """Return (CPU us, wall us) per event of one worker that reads what is there."""
    loop = asyncio.get_running_loop()
    with worker(settings) as pid:
        first = await applied(settings, count // 4)
        cpu, wall = cpu_s(pid), loop.time()
        last = await applied(settings, count)
        share = 1e6 / (last - first)
        return (cpu_s(pid) - cpu) * share, (loop.time() - wall) * share


async def paced(
    settings: Settings, *, per_s: int, seconds: int, customers: int, rules: dict[str, str]
) -> dict[str, Any]:
    """Return CPU us an event, and latencies in ms, of one worker under a steady load.

    Without a live rule there are no latencies: then they are None.
    """
    publisher = KafkaPublisher(settings.kafka_bootstrap, timeout_s=60.0)
    reader = KafkaReader(settings.kafka_bootstrap)
    await fill(settings, publisher, 2_000, customers, rules=rules)
    count = per_s * seconds
    load = list(events(settings, count, customers, seed=2))
    ends = [await reader.bounds(topics.TRIGGERS, p) for p in range(settings.partitions)]
    with worker(settings) as pid:
        await applied(settings, 2_000)
        cpu = cpu_s(pid)
        sent = await _send(settings, publisher, load, per_s)
        await applied(settings, 2_000 + count)
        spent = cpu_s(pid) - cpu
    await publisher.close()
    took = [ms async for ms in _latencies(settings, reader, [end for _, end in ends], sent)]
    await reader.close()
    return {
        "cpu_us": spent * 1e6 / count,
        "p50": percentile(took, 0.50),
        "p99": percentile(took, 0.99),
        "triggers": len(took),
    }


async def _send(
    settings: Settings, publisher: KafkaPublisher, load: list[tuple[int, Outgoing]], per_s: int
) -> dict[str, float]:
    """Produce at a steady rate, with a tick each second of log time; return event id -> when."""
    loop = asyncio.get_running_loop()
    sent: dict[str, float] = {}
    portion, began = max(1, int(per_s * STEP_S)), loop.time()
    tick, waiting = START_MS + 20 * SECOND_MS, set()
    ids = [_event(record.value).id for _, record in load]
    for first in range(0, len(load), portion):
        records = [record for _, record in load[first : first + portion]]
        if first % per_s < portion:  # the broker's clock and ours tick together
            tick += SECOND_MS
            records += tick_records(tick, tick, settings.partitions, settings.secret_key)
        now = time()
        sent.update(dict.fromkeys(ids[first : first + portion], now))
        task = asyncio.create_task(publisher.publish(records))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        late = began + (first + portion) / per_s - loop.time()
        await asyncio.sleep(max(0.0, late))
    await asyncio.gather(*waiting)
    return sent


async def _latencies(
    settings: Settings, reader: KafkaReader, starts: list[int], sent: dict[str, float]
) -> Any:
    for partition, offset in enumerate(starts):
        while True:
            found = await reader.read(topics.TRIGGERS, partition, offset, count_max=1_000)
            if not found:
                break
            offset = found[-1].offset + 1
            for record in found:
                if b'"type":"trigger"' not in record.value[:24]:
                    continue
                began = sent.get(_trigger(record.value).cause)
                if began is not None:
                    yield record.timestamp - began * 1000


@contextmanager
def stack(*, apache: bool) -> Iterator[Settings]:
    """Yield the settings of a fresh broker with our topics and a fresh Redis."""
    broker = ApacheKafka() if apache else EmbeddedBroker()
    server = EmbeddedRedis()
    try:
        settings = Settings(redis_url=server.start(), kafka_bootstrap=broker.start(), log="ERROR")
        create_topics(settings.kafka_bootstrap, topic_specs(settings))
        yield settings
    finally:
        broker.stop()
        server.stop()


def measure(*, count: int, customers: int, runs: int, apache: bool, rate: int) -> dict[str, Any]:
    """Return all figures of the whole worker, medians of `runs`."""
    with stack(apache=apache) as settings:
        bootstrap = settings.kafka_bootstrap
        publisher = KafkaPublisher(bootstrap, timeout_s=60.0)
        asyncio.run(_fill(settings, publisher, count, customers))
        create_topics(bootstrap, [TopicSpec(shell.TOPIC, shell.PARTITIONS)])
        few = max(10_000, count // 5)
        asyncio.run(shell.fill(bootstrap, few))
        ours, wall, plain, batched = [], [], [], []
        for run in range(runs):
            cpu, real = asyncio.run(catch_up(replace(settings, generation=f"b{run}"), count))
            ours.append(cpu)
            wall.append(real)
            plain.append(shell.measure("faust agent", bootstrap, f"plain-{run}", few)[0])
            batched.append(shell.measure("shell", bootstrap, f"shell-{run}", few)[0])
    total, baseline = statistics.median(ours), statistics.median(plain)
    steady: list[dict[str, Any]] = []
    half: list[dict[str, Any]] = []
    shadow, half_rate = rule_texts(20), int(0.5e6 / statistics.median(wall))
    loads = ((steady, rate, shadow), (half, half_rate, {**shadow, **always()}))
    for _ in range(runs):
        for found, per_s, rules in loads:
            with stack(apache=apache) as settings:
                load = paced(settings, per_s=per_s, seconds=5, customers=customers, rules=rules)
                found.append(asyncio.run(load))
    return {
        "total": round(total, 1),
        "runs": [round(value, 1) for value in ours],
        "shell": round(statistics.median(batched), 2),
        "events_per_s": round(1e6 / statistics.median(wall)),
        "plain_faust_cpu_us": round(baseline, 1),
        "ratio_to_plain_faust": round(baseline / total, 2),
        f"cpu_us_at_{rate // 1000}k_per_s": round(_median(steady, "cpu_us"), 1),
        "latency_ms": {name: round(_median(half, name), 1) for name in ("p50", "p99")},
        "triggers_timed": sum(each["triggers"] for each in half),
        "broker": "apache" if apache else "embedded",
    }


def _median(found: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(each[name] for each in found))


async def _fill(settings: Settings, publisher: KafkaPublisher, count: int, customers: int) -> None:
    await fill(settings, publisher, count, customers, rules=rule_texts(20))
    await publisher.close()


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--apache", action="store_true")
    given = parser.parse_args()
    found = measure(
        count=given.events, customers=given.customers, runs=given.runs, apache=given.apache,
        rate=given.rate,
    )  # fmt: skip
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
