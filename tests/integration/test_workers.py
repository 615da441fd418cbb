"""`engine run work --workers 2` on Apache Kafka: both share the log, a killed one comes back."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic, sleep

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from engine.adapters.kafka_client import KafkaPublisher, create_topics
from engine.adapters.redis import RedisStore
from engine.cli.main import main
from engine.config import Settings
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
    found = {}
    listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
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


async def until_applied(settings: Settings, count: int) -> None:
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    async with asyncio.timeout(PATIENCE_S):
        while summed([await store.meta(p) for p in range(PARTITIONS)])["applied"] != count:
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


@pytest.mark.parametrize(
    ("roles", "count", "message"),
    [("work,deliver", "2", "for role work alone"), ("work", "9", "there are 8")],
)
def test_what_cannot_be_shared_is_refused(
    roles: str, count: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", roles, "--workers", count]) == 1
    assert message in capsys.readouterr().err
