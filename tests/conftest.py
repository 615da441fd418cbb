"""Servers that tests share: Redis, the embedded broker, Apache Kafka; one of each per session."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from engine.runtime.local.embedded import EmbeddedBroker, EmbeddedRedis
from tests.apache.broker import ApacheKafka, missing_tools
from tests.beside import COMPUTING, Beside, computes
from tests.clusters import RedisCluster
from tests.servers import started, unavailable

# No clocks: a loaded machine is no finding. In CI the same examples on every machine.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("here")
if os.environ.get("CI"):
    settings.load_profile("ci")

SERVERS = frozenset({"redis_url", "redis_cluster", "embedded_broker", "apache_kafka"})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Beside:
    """Return how tests are shared out to several processes, whatever `--dist` says."""
    return Beside(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test that asks for a server where another process may have one already."""
    asked = SERVERS.intersection(getattr(item, "fixturenames", ()))
    if asked and computes(item.nodeid):
        pytest.fail(f"{min(asked)} is for tests outside {', '.join(COMPUTING)}", pytrace=False)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis server; tests share it, so each takes a key space of its own or flushes."""
    server = EmbeddedRedis()
    yield started(server)
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three masters with a replica each; whole again after each test, its slots anywhere."""
    cluster = RedisCluster(3, replicas=1)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[str]:
    """Address of the memory broker; tests share it, so each takes topics of its own."""
    server = EmbeddedBroker()
    yield started(server)
    server.stop()


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """A running Apache Kafka; a test that kills or freezes it leaves it running again."""
    missing = missing_tools()
    if missing:
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    broker = ApacheKafka()
    broker.start()
    yield broker
    broker.stop()
