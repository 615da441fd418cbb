"""CPU of the consumer's shell per record: ours, raw aiokafka, and a plain Faust agent that counts.

    python -m tests.bench.shell [embedded|apache] [--records 200000] [--runs 3]

One broker, one run; each contender reads the same records in a process of its own, and in turn.
Counted is CPU of the whole process (user and system, all threads) from a quarter of the records on,
so that neither imports nor the join are in it.
"""

import argparse
import asyncio
import logging
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from time import perf_counter, process_time

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.topics import TopicSpec, create_topics
from engine.events.record import Outgoing, Record
from engine.runtime.local.embedded import EmbeddedBroker
from tests.apache.broker import ApacheKafka

TOPIC = "bench-shell"
PARTITIONS = 8
VALUE = b'{"id":"8f2c61d07a554e6b","type":"product.viewed","at":1767294245678,"data":{' + b"x" * 270
HEADERS = (("kind", b"event"), ("src", b"3"), ("mseq", b"4711"))


class Meter:
    """Counts records; CPU and wall clock run from a quarter of them to the last."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.count = 0
        self.done = asyncio.Event()
        self._from = (0, 0.0, 0.0)

    def add(self, count: int) -> None:
        """Count records that arrived."""
        before, self.count = self.count, self.count + count
        if before < self.total // 4 <= self.count:
            self._from = (self.count, process_time(), perf_counter())
        if self.count >= self.total and not self.done.is_set():
            self.done.set()
            counted, cpu, wall = self._from
            share = 1e6 / (self.total - counted)
            print((process_time() - cpu) * share, (perf_counter() - wall) * share, flush=True)


async def ours(bootstrap: str, group_id: str, total: int) -> None:
    """Read through FaustGroup into a handler that counts."""
    from engine.adapters.kafka.group import FaustGroup

    meter = Meter(total)

    class Counting:
        async def assigned(self, partition: int) -> int | None:
            return 0

        async def batch(self, partition: int, records: Sequence[Record]) -> int:
            meter.add(len(records))
            return records[-1].offset + 1

        async def revoked(self, partition: int) -> None: ...

    group = FaustGroup(bootstrap, group_id, session_s=2.0)
    running = asyncio.create_task(group.run(TOPIC, Counting()))
    await meter.done.wait()
    await group.stop()
    await running


async def raw(bootstrap: str, group_id: str, total: int) -> None:
    """Read through an aiokafka consumer, batch by batch."""
    from aiokafka import AIOKafkaConsumer

    meter = Meter(total)
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        group_id=group_id,
        session_timeout_ms=2_000,
        heartbeat_interval_ms=600,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while not meter.done.is_set():
        found = await consumer.getmany(timeout_ms=200)
        for records in found.values():
            meter.add(len(records))
    await consumer.stop()


async def faust_agent(bootstrap: str, group_id: str, total: int) -> None:
    """Read through an agent of plain Faust that only counts."""
    import faust

    meter = Meter(total)
    app = faust.App(
        group_id,
        broker=f"kafka://{bootstrap}",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_session_timeout=2.0,
        broker_heartbeat_interval=0.6,
        datadir=tempfile.mkdtemp(),
    )
    topic = app.topic(TOPIC, key_serializer="raw", value_serializer="raw")

    @app.agent(topic)
    async def counting(stream):  # type: ignore[no-untyped-def]
        async for _ in stream:
            meter.add(1)

    await app.start()
    await meter.done.wait()
    await app.stop()


CONTENDERS: dict[str, Callable[..., object]] = {
    "aiokafka": raw,
    "shell": ours,
    "faust agent": faust_agent,
}


async def fill(bootstrap: str, total: int) -> None:
    """Write the records that all contenders read."""
    publisher = KafkaPublisher(bootstrap, timeout_s=60.0)
    for first in range(0, total, 1_000):
        await publisher.publish(
            [
                Outgoing(TOPIC, n % PARTITIONS, b"1u%022d" % n, VALUE, HEADERS)
                for n in range(first, min(first + 1_000, total))
            ]
        )
    await publisher.close()


def measure(name: str, bootstrap: str, group_id: str, total: int) -> tuple[float, float]:
    """Return (CPU us, wall us) per record of one contender in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.shell", "--as", name, bootstrap, group_id, str(total)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    cpu, wall = done.stdout.split()[-2:]
    return float(cpu), float(wall)


def compare(bootstrap: str, total: int, runs: int) -> None:
    """Print the median of each contender, and what ours costs over raw aiokafka."""
    create_topics(bootstrap, [TopicSpec(TOPIC, PARTITIONS)])
    asyncio.run(fill(bootstrap, total))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for run in range(runs):
        for name, results in found.items():
            few = total // 10 if name == "faust agent" else total
            results.append(measure(name, bootstrap, f"{name.replace(' ', '-')}-{run}", few))
    print(f"{'':12} CPU us/record (min median max)   wall us/record (median)")
    for name, results in found.items():
        cpu = sorted(result[0] for result in results)
        wall = statistics.median(result[1] for result in results)
        print(
            f"{name:12} {cpu[0]:8.2f} {statistics.median(cpu):8.2f} {cpu[-1]:8.2f}   {wall:12.2f}"
        )


def main() -> None:
    """Read the command line."""
    if sys.argv[1:2] == ["--as"]:
        logging.basicConfig(level=logging.ERROR)
        name, bootstrap, group_id, total = sys.argv[2:]
        asyncio.run(CONTENDERS[name](bootstrap, group_id, int(total)))  # type: ignore[arg-type]
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("broker", nargs="?", choices=["embedded", "apache"], default="embedded")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    broker = EmbeddedBroker() if arguments.broker == "embedded" else ApacheKafka()
    try:
        compare(broker.start(), arguments.records, arguments.runs)
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
