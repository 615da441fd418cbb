"""`engine run work` on Apache Kafka: two share the log, a killed one comes back, one stops well."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic, sleep

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import create_topics
from engine.adapters.redis.store import RedisStore
from engine.cli.main import main
from engine.config import Settings
from engine.events import topics
from engine.events.record import Outgoing
from engine.keys import Space
from engine.runtime.local.supervisor import BACKOFF_S_MAX
from engine.runtime.setup import topic_specs
from engine.runtime.totals import summed
from tests.apache.broker import ApacheKafka
from tests.bench.load import events, fill

PARTITIONS = 8
PATIENCE_S = 90.0
Members = dict[str, tuple[int, ...]]  # instance id -> the partitions that it holds


@contextmanager
def supervised(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run two workers; at the end all of them have to be gone."""
    env = {**os.environ, **{n.upper(): str(v) for n, v in asdict(settings).items()}}
    command = [sys.executable, "-m", "engine.cli.main", "run", "work", "--workers", "2"]
    parent = subprocess.Popen(command, env=env)
    try:
        yield parent
        workers = children(parent)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(PATIENCE_S) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers.values())
    finally:
        parent.kill()


def children(parent: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return instance id -> process id of the workers that run."""
    found: dict[str, int] = {}
    listing = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    listed = listing.read_text(encoding="utf-8").split()
    for pid in map(int, listed):
        with suppress(ProcessLookupError):  # it ended just now
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found |= {v[12:].decode(): pid for v in environment if v.startswith(b"INSTANCE_ID=")}
    return found


def members(settings: Settings) -> Members:
    """Return what the broker says of the consumer group; nothing while it gives no answer."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    group = f"{settings.generation}-engage"
    (future,) = admin.describe_consumer_groups([group], request_timeout=10).values()
    try:
        found = future.result(timeout=15)
    except (KafkaException, TimeoutError):
        return {}
    return {
        member.group_instance_id: tuple(
            sorted(tp.partition for tp in member.assignment.topic_partitions)
        )
        for member in found.members
    }


def until_shared(settings: Settings) -> Members:
    """Wait until each of two members holds half; return who holds what."""
    deadline = monotonic() + PATIENCE_S
    while True:
        found = members(settings)
        if sorted(map(len, found.values())) == [PARTITIONS // 2] * 2:
            return found
        assert monotonic() < deadline, found
        sleep(0.2)


async def until_applied(settings: Settings, count: int, *, or_more: bool = False) -> None:
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = summed([await store.meta(p) for p in range(PARTITIONS)])["applied"]
            if found == count or (or_more and found > count):
                break
            await asyncio.sleep(0.1)
    await store.close()


async def send_first(settings: Settings, count: int) -> None:
    publisher = KafkaPublisher(settings.kafka_bootstrap)
    await fill(settings, publisher, count, customers=200)
    await publisher.close()


async def send_more(settings: Settings, count: int) -> None:
    publisher = KafkaPublisher(settings.kafka_bootstrap)
    await publisher.publish([record for _, record in events(settings, count, 200, seed=2)])
    await publisher.close()


@pytest.mark.apache
def test_two_workers_share_the_partitions_and_a_killed_one_gets_its_own_back(
    apache_kafka: ApacheKafka, redis_url: str
) -> None:
    settings = Settings(
        redis_url=redis_url, kafka_bootstrap=apache_kafka.bootstrap, instance_id="box",
        generation=f"workers-{os.getpid()}", partitions=PARTITIONS,
    )  # fmt: skip
    create_topics(settings.kafka_bootstrap, topic_specs(settings))
    with supervised(settings) as parent:
        shared = until_shared(settings)
        assert sorted(shared) == ["box-0-engage", "box-1-engage"]
        asyncio.run(send_first(settings, 1_000))
        asyncio.run(until_applied(settings, 1_000))
        before = children(parent)
        os.kill(before["box-1"], signal.SIGKILL)
        deadline = monotonic() + BACKOFF_S_MAX + PATIENCE_S
        while children(parent).get("box-1", before["box-1"]) == before["box-1"]:
            assert monotonic() < deadline, "the supervisor did not start it again"
            sleep(0.1)
        assert children(parent)["box-0"] == before["box-0"]
        asyncio.run(send_more(settings, 1_000))
        asyncio.run(until_applied(settings, 2_000))
        assert until_shared(settings) == shared, "each has what it had"


@pytest.mark.apache
def test_a_worker_that_is_told_to_stop_under_load_commits_all_that_it_has_taken(
    apache_kafka: ApacheKafka, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        redis_url=redis_url, kafka_bootstrap=apache_kafka.bootstrap, log="INFO",
        generation=f"stopped-{os.getpid()}", partitions=PARTITIONS,
    )  # fmt: skip
    create_topics(settings.kafka_bootstrap, topic_specs(settings))
    sent = [record for _, record in events(settings, 6_000, 200, seed=3)]
    asyncio.run(send_first(settings, 1_000))

    async def scenario() -> None:
        with worker(settings, tmp_path / "first") as first:
            before = await until_settled(settings)
            sending = asyncio.create_task(send_steadily(settings, sent))
            await until_applied(settings, before["applied"] + 1_000, or_more=True)
            first.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.wait, PATIENCE_S) == 0
            assert not sending.done(), "it was not under load"
        assert committed(settings) == {p: off + 1 for p, off in (await offsets(settings)).items()}
        assert "cancelled" not in (tmp_path / "first").read_text(), "each batch has ended by itself"
        with worker(settings, tmp_path / "second") as second:
            await sending
            after = await until_settled(settings)
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, PATIENCE_S) == 0
        assert after["applied"] == before["applied"] + len(sent)
        assert after["duplicate"] == before["duplicate"], "nothing was seen twice"

    asyncio.run(scenario())


@contextmanager
def worker(settings: Settings, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one worker, which writes its log to a file."""
    env = {**os.environ, **{n.upper(): str(v) for n, v in asdict(settings).items()}}
    with output.open("wb") as log:
        command = [sys.executable, "-m", "engine.cli.main", "run", "work"]
        child = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            yield child
        finally:
            child.kill()
            child.wait()


async def send_steadily(settings: Settings, sent: list[Outgoing]) -> None:
    """Send 2,000 records a second."""
    publisher = KafkaPublisher(settings.kafka_bootstrap)
    for first in range(0, len(sent), 100):
        await publisher.publish(sent[first : first + 100])
        await asyncio.sleep(0.05)
    await publisher.close()


async def offsets(settings: Settings) -> dict[int, int]:
    """Return the last applied offset of each partition."""
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    found = {p: (await store.meta(p)).off for p in range(PARTITIONS)}
    await store.close()
    return found


def committed(settings: Settings) -> dict[int, int]:
    """Return the offsets that the worker's group has committed."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    group = ConsumerGroupTopicPartitions(f"{settings.generation}-engage")
    (future,) = admin.list_consumer_group_offsets([group]).values()
    return {tp.partition: tp.offset for tp in future.result(timeout=15).topic_partitions}


async def until_settled(settings: Settings) -> Counter[str]:
    """Wait until all that the log holds is applied; return the counts."""
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    reader = KafkaReader(settings.kafka_bootstrap)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            ends = [(await reader.bounds(topics.EVENTS, p))[1] for p in range(PARTITIONS)]
            metas = [await store.meta(p) for p in range(PARTITIONS)]
            if [meta.off + 1 for meta in metas] == ends:
                break
            await asyncio.sleep(0.1)
    await store.close()
    await reader.close()
    return summed(metas)


@pytest.mark.parametrize(
    ("roles", "count", "message"),
    [("work,deliver", "2", "for role work alone"), ("work", "9", "there are 8")],
)
def test_what_cannot_be_shared_is_refused(
    roles: str, count: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", roles, "--workers", count]) == 1
    assert message in capsys.readouterr().err
