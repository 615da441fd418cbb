"""A member that leaves: in order, with its offsets, and in time whoever is away."""

import asyncio
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from engine.adapters.kafka.shell import Thread
from engine.runtime.local.processes import STOP_S
from tests import logs
from tests.apache.broker import ApacheKafka
from tests.logs import PARTITIONS, PATIENCE_S, Log, Running, Scenario, Witness, on_kafka, records

pytestmark = pytest.mark.apache
LONG_S = 30.0  # of a session
SEEN_S = 0.5  # after so long a member has met errors of a broker that is dead


def play(broker: ApacheKafka, scenario: Scenario) -> None:
    """Run a scenario."""
    asyncio.run(on_kafka(broker.bootstrap, scenario))


def test_offsets_are_committed_for_the_lag_when_a_member_leaves(
    apache_kafka: ApacheKafka,
) -> None:
    async def scenario(log: Log) -> None:
        await log.publisher.publish(records(log.topic, 0, 0, 321))
        witness = Witness()
        async with Running(log, witness):
            await witness.until_counted(321)
        found = await asyncio.to_thread(committed, apache_kafka.bootstrap, log.topic)
        assert found[0] == 321

    play(apache_kafka, scenario)


def test_who_comes_after_one_that_left_does_not_wait_for_its_session_to_end(
    apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that is gone without a word keeps its partitions for as long as that."""
    monkeypatch.setattr(logs, "SESSION_S", LONG_S)

    async def scenario(log: Log) -> None:
        first, second = Witness(), Witness()
        async with Running(log, first):
            await first.until(lambda: len(first.told("assigned")) == PARTITIONS)
        began = monotonic()
        async with Running(log, second):
            await second.until(lambda: len(second.told("assigned")) == PARTITIONS)
            # The session began at the last heartbeat, which was before.
            assert monotonic() - began < LONG_S / 2

    play(apache_kafka, scenario)


@pytest.mark.parametrize("away", ["killed", "frozen"])
def test_who_leaves_does_not_wait_for_a_broker_that_is_away(
    apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """aiokafka waits for an answer to its leave, Faust a minute for what breaks off in it."""
    monkeypatch.setattr(logs, "SESSION_S", LONG_S)

    async def scenario(log: Log) -> None:
        witness = Witness()
        member = Running(log, witness)
        await witness.until(lambda: len(witness.told("assigned")) == PARTITIONS)
        await asyncio.to_thread(apache_kafka.kill if away == "killed" else apache_kafka.freeze)
        try:
            await asyncio.sleep(SEEN_S)
            began = monotonic()
            await member.leave()
            assert monotonic() - began < STOP_S
        finally:
            await asyncio.to_thread(apache_kafka.restart if away == "killed" else apache_kafka.thaw)
        assert witness.told("revoked") == list(range(PARTITIONS))

    play(apache_kafka, scenario)


def test_a_commit_under_way_does_not_stand_for_the_one_before_leaving(
    apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's commit only waits while another is under way, whose offsets are of before."""
    begun, gate = threading.Event(), threading.Event()
    commit = Thread._commit

    async def held(self: Thread, offsets: Mapping[Any, int]) -> bool:
        if any(offsets.values()) and not begun.is_set():
            begun.set()
            await asyncio.to_thread(gate.wait, PATIENCE_S)
        return bool(await commit(self, offsets))

    monkeypatch.setattr(Thread, "_commit", held)

    async def scenario(log: Log) -> None:
        await log.publisher.publish(records(log.topic, 0, 0, 100))
        witness = Witness()
        member = Running(log, witness)
        await witness.until_counted(100)
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        await log.publisher.publish(records(log.topic, 0, 100, 321))
        await witness.until_counted(321)
        leaving = asyncio.create_task(member.leave())
        await asyncio.wait({leaving}, timeout=0.5)  # by now it waits for the commit under way
        gate.set()
        await leaving
        found = await asyncio.to_thread(committed, apache_kafka.bootstrap, log.topic)
        assert found[0] == 321

    play(apache_kafka, scenario)


def committed(bootstrap: str, topic: str) -> dict[int, int]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(f"group-{topic}")]
    ).values()
    return {tp.partition: tp.offset for tp in future.result(timeout=10).topic_partitions}
