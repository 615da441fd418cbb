"""A Redis that would lose state is refused at the start, with what would be right."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.adapters.redis.check import check_redis
from engine.errors import ConfigError
from tests.clusters import Node, RedisCluster

pytestmark = pytest.mark.redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Node]:
    """A Redis of our own, as the protocol needs it."""
    node = Node(tmp_path / "redis")
    node.start()
    yield node
    node.kill()


def test_a_redis_as_it_should_be_is_not_talked_about(
    server: Node, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(check_redis(server.url))
    assert not caplog.messages


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_is_refused(server: Node, policy: str) -> None:
    server.client.config_set("maxmemory-policy", policy)
    with pytest.raises(ConfigError) as caught:
        asyncio.run(check_redis(server.url))
    assert str(caught.value) == (
        f"Redis at 127.0.0.1:{server.port}/0 has maxmemory-policy {policy}, which throws state "
        "away when memory is short; want `maxmemory-policy noeviction` in its configuration "
        "[config/redis-eviction]"
    )


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [("appendonly", "no", "`appendonly no`"), ("appendfsync", "no", "`appendfsync no`")],
)
def test_a_redis_that_forgets_at_a_crash_is_warned_of(
    server: Node, caplog: pytest.LogCaptureFixture, setting: str, value: str, told: str
) -> None:
    server.client.config_set(setting, value)
    asyncio.run(check_redis(server.url))
    assert len(caplog.messages) == 1 and told in caplog.messages[0]
    assert "`appendfsync everysec`" in caplog.messages[0]


def test_every_master_of_a_cluster_is_looked_at(redis_cluster: RedisCluster) -> None:
    last = next(node for node in reversed(redis_cluster.nodes) if node.has_slots)
    last.client.config_set("maxmemory-policy", "allkeys-random")
    try:
        with pytest.raises(ConfigError, match=str(last.port)):
            asyncio.run(check_redis(redis_cluster.url))
    finally:
        last.client.config_set("maxmemory-policy", "noeviction")
    asyncio.run(check_redis(redis_cluster.url))
