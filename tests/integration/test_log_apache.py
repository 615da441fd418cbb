"""What only a real broker can show: kill, freeze, refusal, retention, the pace of its answers."""

import asyncio
from collections.abc import Callable, Sequence
from statistics import median
from time import monotonic
from typing import Any

import pytest
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from engine.adapters.kafka.fetch import PACE_S, PacedConsumer
from engine.adapters.kafka.group import FaustGroup
from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.shell import Thread
from engine.adapters.kafka.topics import TopicSpec, create_topics
from engine.errors import CoverageError, LogError
from engine.events.record import Outgoing, Record
from tests.apache.broker import ApacheKafka
from tests.logs import (
    PARTITIONS,
    PATIENCE_S,
    SESSION_S,
    Log,
    Running,
    Scenario,
    Witness,
    fresh_name,
    on_kafka,
    records,
)

pytestmark = pytest.mark.apache


@pytest.fixture
def kafka(apache_kafka: ApacheKafka) -> Callable[[Scenario], None]:
    """Run a scenario on Apache Kafka only."""
    return lambda scenario: asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))


def test_a_killed_broker_that_comes_back_has_lost_nothing_and_nothing_is_skipped(
    kafka: Callable[[Scenario], None], apache_kafka: ApacheKafka
) -> None:
    async def scenario(log: Log) -> None:
        witness = Witness()
        async with Running(log, witness):
            for partition in range(PARTITIONS):
                await log.publisher.publish(records(log.topic, partition, 0, 700))
            await witness.until_counted(PARTITIONS * 300)
            await asyncio.to_thread(apache_kafka.restart)
            for partition in range(PARTITIONS):
                await until_published(log, records(log.topic, partition, 700, 900))
            await witness.until(lambda: all(witness.next[p] >= 900 for p in range(PARTITIONS)))
        assert witness.out_of_sequence == []
        for partition in range(PARTITIONS):
            assert witness.values[partition][:900] == [b"v%d" % n for n in range(900)]

    kafka(scenario)


def test_a_broker_frozen_for_longer_than_the_session_thaws_and_nothing_is_skipped(
    kafka: Callable[[Scenario], None], apache_kafka: ApacheKafka
) -> None:
    async def scenario(log: Log) -> None:
        witness = Witness()
        async with Running(log, witness):
            for partition in range(PARTITIONS):
                await log.publisher.publish(records(log.topic, partition, 0, 700))
            await witness.until_counted(PARTITIONS * 300)
            apache_kafka.freeze()
            try:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(witness.until(lambda: False), 1.5 * SESSION_S)
            finally:
                apache_kafka.thaw()
            for partition in range(PARTITIONS):
                await until_published(log, records(log.topic, partition, 700, 900))
            await witness.until(lambda: all(witness.next[p] >= 900 for p in range(PARTITIONS)))
        assert witness.out_of_sequence == []

    kafka(scenario)


async def until_published(log: Log, batch: Sequence[Outgoing]) -> None:
    """Publish as an owner does: after an error, what the log lacks is published again."""
    topic, partition = batch[0].topic, batch[0].partition
    start = int(batch[0].value[1:])
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, end = await log.reader.bounds(topic, partition)
                await log.publisher.publish(batch[end - start :])
                return
            except LogError:
                continue


def test_a_frozen_broker_fails_the_publish_and_only_a_suffix_is_missing(
    apache_kafka: ApacheKafka,
) -> None:
    async def scenario(log: Log) -> None:
        publisher = KafkaPublisher(apache_kafka.bootstrap, timeout_s=2.0)
        sent = records(log.topic, 0, 0, 2_000)
        await publisher.publish(sent[:10])
        apache_kafka.freeze()
        try:
            with pytest.raises(LogError) as caught:
                await publisher.publish(sent[10:])
        finally:
            apache_kafka.thaw()
        assert caught.value.code == "log/timeout"
        await until_published(log, sent)
        found = await log.reader.read(log.topic, 0, 0, count_max=5_000)
        assert [record.value for record in found] == [out.value for out in sent]
        await publisher.close()

    asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))


def test_a_record_that_the_broker_refuses_takes_all_behind_it_with_it(
    apache_kafka: ApacheKafka,
) -> None:
    topic = fresh_name()
    create_topics(apache_kafka.bootstrap, [TopicSpec(topic, 1, {"max.message.bytes": "950000"})])

    async def scenario(log: Log) -> None:
        # So large that it travels alone, between a batch before it and a batch behind it.
        large = Outgoing(topic, 0, b"k", b"y" * 990_000)
        small = [Outgoing(topic, 0, b"k", b"%06d" % n + b"x" * 1_000) for n in range(1_600)]
        with pytest.raises(LogError) as caught:
            await log.publisher.publish([*small[:800], large, *small[800:]])
        assert caught.value.code == "log/refused"
        found = await log.reader.read(topic, 0, 0, count_max=5_000)
        assert [record.value for record in found] == [out.value for out in small[: len(found)]]
        assert len(found) <= 800
        await log.publisher.publish(small[:1])

    asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))


def test_what_retention_took_is_an_error_and_a_new_take_over(
    kafka: Callable[[Scenario], None], apache_kafka: ApacheKafka
) -> None:
    class Behind(Witness):
        async def assigned(self, partition: int) -> int | None:
            await self.note("assigned", partition)
            return 300 if self.told("assigned").count(partition) > 1 else 0

    async def scenario(log: Log) -> None:
        await log.publisher.publish(records(log.topic, 0, 0, 500))
        await asyncio.to_thread(delete_before, apache_kafka.bootstrap, log.topic, 300)
        assert await log.reader.bounds(log.topic, 0) == (300, 500)
        with pytest.raises(CoverageError, match="holds 300 to 500, asked for 0"):
            await log.reader.read(log.topic, 0, 0, count_max=10)
        witness = Behind()
        async with Running(log, witness):
            await witness.until_counted(200)
        assert witness.values[0] == [b"v%d" % n for n in range(300, 500)]

    kafka(scenario)


def delete_before(bootstrap: str, topic: str, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        future.result(timeout=10)


def test_a_poll_that_never_ends_is_seen_from_outside(
    apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging(self: Thread, *_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Thread, "fetch", hanging)

    async def scenario(log: Log) -> None:
        await log.publisher.publish(records(log.topic, 0, 0, 1))
        group = FaustGroup(
            apache_kafka.bootstrap, f"group-{log.topic}", session_s=SESSION_S, stall_s=1.0
        )
        with pytest.raises(LogError) as caught:
            async with asyncio.timeout(PATIENCE_S):
                await group.run(log.topic, Witness())
        assert caught.value.code == "log/stalled"

    asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))


def test_small_records_at_a_steady_rate_come_in_few_answers(
    kafka: Callable[[Scenario], None],
) -> None:
    async def scenario(log: Log) -> None:
        witness = Witness()
        async with Running(log, witness):
            await witness.until(lambda: len(witness.told("assigned")) == PARTITIONS)
            began = monotonic()
            for n in range(300):
                await log.publisher.publish(records(log.topic, 0, n, n + 1))
            await witness.until_counted(300)
            answers = (monotonic() - began) / PACE_S
        assert len(witness.sizes) <= answers + 2

    kafka(scenario)


def test_all_partitions_are_asked_for_together(
    kafka: Callable[[Scenario], None], apache_kafka: ApacheKafka
) -> None:
    """aiokafka leaves those out whose last answer has not been taken when it is there."""
    asked: list[int] = []

    class Counting(PacedConsumer):
        async def start(self) -> None:
            await super().start()
            ask = self._ask

            async def counted(assignment: Any, broker: int, request: Any) -> bool:
                asked.append(sum(len(partitions) for _, partitions in request.topics))
                return bool(await ask(assignment, broker, request))

            self._ask = counted

    async def scenario(log: Log) -> None:
        places = [AioPartition(log.topic, partition) for partition in range(PARTITIONS)]
        consumer = Counting(bootstrap_servers=apache_kafka.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(places)
            for place in places:
                consumer.go_on_at(place, 0)
            sending = asyncio.create_task(send_in_turn(log, 100))
            async with asyncio.timeout(PATIENCE_S):
                found = 0
                while found < 100 * PARTITIONS:
                    answers = await consumer.answers(places, 0.1)
                    found += sum(len(records) for _, records, _ in answers.values())
            await sending
        finally:
            await consumer.stop()
        assert asked.count(PARTITIONS) > len(asked) / 2, asked

    kafka(scenario)


async def send_in_turn(log: Log, rounds: int) -> None:
    """Send a record to each partition, one after the other, again and again."""
    for n in range(rounds):
        for partition in range(PARTITIONS):
            await log.publisher.publish(records(log.topic, partition, n, n + 1))


def test_a_partition_that_is_behind_holds_up_no_other(
    kafka: Callable[[Scenario], None],
) -> None:
    """aiokafka asks for nothing while an answer waits to be taken: 100 ms for all the others."""

    class Behind(Witness):
        async def batch(self, partition: int, batch: Sequence[Record]) -> int:
            if partition == 0:
                await asyncio.sleep(0.02)
            return await super().batch(partition, batch)

    async def scenario(log: Log) -> None:
        witness = Behind()
        async with Running(log, witness):
            await witness.until(lambda: len(witness.told("assigned")) == PARTITIONS)
            alone = await trips(log, witness, 0)
            late = [replaced(r, b"x" * 300) for r in records(log.topic, 0, 0, 30_000)]
            await log.publisher.publish(late)
            await witness.until(lambda: witness.next[0] > 0)
            beside = await trips(log, witness, TRIPS)
            assert witness.next[0] < len(late), "the other one was behind all the time"
        assert median(beside) < 2 * median(alone)

    kafka(scenario)


TRIPS = 30


async def trips(log: Log, witness: Witness, first: int) -> list[float]:
    """Return how long each of some records takes through partition 1, one after the other."""
    took = []
    for n in range(first, first + TRIPS):
        began = monotonic()
        await log.publisher.publish(records(log.topic, 1, n, n + 1))
        await witness.until(lambda n=n: witness.next[1] > n)  # type: ignore[misc]
        took.append(monotonic() - began)
    return took


def replaced(record: Outgoing, value: bytes) -> Outgoing:
    return Outgoing(record.topic, record.partition, record.key, value)
