"""docs/restore.md on real parts: Redis is gone, the log lost its beginning, a backup helps.

The commands are those of the page: `redis-cli --rdb` for the backup, and a start without AOF for
the way back, since Redis with an AOF reads no RDB file.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from engine.config import Settings
from engine.events import topics
from engine.runtime.local.stack import Plan, Stack
from tests.apache.broker import ApacheKafka, missing_tools
from tests.clusters import Node, until
from tests.crowd import check_people, check_triggers, send, the_load, until_settled
from tests.servers import unavailable

pytestmark = [pytest.mark.apache, pytest.mark.redis]
P = 4
STANDS_S = 60.0


@pytest.fixture
def broker() -> Iterator[ApacheKafka]:
    """A broker whose log only this test cuts."""
    if missing := missing_tools():
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    server = ApacheKafka()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Node]:
    """A Redis of our own, with a disk."""
    node = Node(tmp_path / "redis")
    node.start()
    yield node
    node.kill()


def test_a_backup_and_the_rest_of_the_log_bring_everything_back(
    broker: ApacheKafka, redis: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis.url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP", broker.bootstrap)
    backup = tmp_path / "backup.rdb"

    async def scenario() -> None:
        settings = Settings(any_key="demo", port=0, partitions=P)
        async with Stack(Plan(settings)) as stack:
            batches = the_load(24)
            await send(stack, batches[:10])
            await until_settled(stack, sum(map(len, batches[:10])))
            stood_at = [(await stack.store.meta(p)).off for p in range(P)]
            await asyncio.to_thread(_save, redis, backup)
            await send(stack, batches[10:20])
            await until_settled(stack, sum(map(len, batches[:20])))

            await asyncio.to_thread(_lose_everything, redis)
            _cut_beginning(broker, stood_at)
            await asyncio.to_thread(redis.start)
            await send(stack, batches[20:])  # the door stays open meanwhile
            stack.kill_role("work")
            await _until_all_stand_still(stack)
            assert [(await stack.store.meta(p)).off for p in range(P)] == [-1] * P, "not a step"

            await asyncio.to_thread(_restore, redis, backup)
            at = [(await stack.store.meta(p)).off for p in range(P)]
            assert all(old <= now for old, now in zip(stood_at, at, strict=True))
            stack.kill_role("work")
            await until_settled(stack, sum(map(len, batches)))
            await check_people(stack, batches)
            await check_triggers(stack)
            totals = await stack.totals(final=True)
            assert (totals.lost, totals.duplicates) == (0, 0)
            assert totals.delivered == totals.triggers > 0

            await asyncio.to_thread(redis.kill)  # the file that it now keeps has all of it
            await asyncio.to_thread(redis.start)
            await check_people(stack, batches)

    asyncio.run(scenario())


def _save(redis: Node, backup: Path) -> None:
    command = ["redis-cli", "-u", redis.url, "--rdb", str(backup)]
    subprocess.run(command, check=True, capture_output=True)


def _lose_everything(redis: Node) -> None:
    redis.kill()
    shutil.rmtree(redis.folder)
    redis.folder.mkdir()


def _restore(redis: Node, backup: Path) -> None:
    """Do what docs/restore.md says, in its order."""
    redis.kill()
    shutil.rmtree(redis.folder)
    redis.folder.mkdir()
    shutil.copy(backup, redis.folder / "dump.rdb")
    redis.start(appendonly="no")
    redis.client.config_set("appendonly", "yes")
    until(lambda: redis.client.info("persistence")["aof_rewrite_in_progress"] == 0, "the AOF")


def _cut_beginning(broker: ApacheKafka, offsets: list[int]) -> None:
    """Delete what retention would have deleted: all before the backup."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    cut = [TopicPartition(topics.EVENTS, p, off) for p, off in enumerate(offsets)]
    futures = admin.delete_records(cut)
    for future in futures.values():
        future.result(timeout=20)


async def _until_all_stand_still(stack: Stack) -> None:
    deadline = monotonic() + STANDS_S
    while stack.last_words().count("stands still: channel.events/") < P:
        assert monotonic() < deadline, stack.last_words()
        await asyncio.sleep(0.2)
    assert "nothing of it was ever applied; restore a backup of Redis" in stack.last_words()
