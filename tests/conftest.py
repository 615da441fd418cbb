"""Servers that tests share: Redis, the embedded broker, Apache Kafka; one of each per session.

A missing tool is a skip that names it; where CI asked for the tests that need it, an error.
"""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest
from apache.broker import ApacheKafka, missing_tools

from engine.errors import ConfigError
from engine.runtime.embedded import EmbeddedBroker, EmbeddedRedis


def unavailable(why: str) -> NoReturn:
    """Skip, or fail in CI: there only what was asked for is selected, so it must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed in CI: {why}", pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis server; tests share it, so each takes a key space of its own or flushes."""
    server = EmbeddedRedis()
    try:
        url = server.start()
    except ConfigError as error:
        unavailable(str(error))
    yield url
    server.stop()


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[str]:
    """Address of the memory broker; tests share it, so each takes topics of its own."""
    server = EmbeddedBroker()
    try:
        address = server.start()
    except ConfigError as error:
        unavailable(str(error))
    yield address
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
