"""One suite for publisher, reader and group: in memory, on the embedded broker, on Apache Kafka."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from time import monotonic
from typing import NamedTuple

import pytest
from apache.broker import ApacheKafka
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from engine.adapters.kafka import FaustGroup
from engine.adapters.kafka_client import (
    KafkaPublisher,
    KafkaReader,
    TopicSpec,
    create_topics,
    partition_count,
)
from engine.adapters.memory import MemoryLog
from engine.adapters.seats import BATCH_MAX
from engine.errors import ConfigError, CoverageError, LogError
from engine.events.record import Outgoing, Record
from engine.ports import Group, Handler, Publisher, Reader

PARTITIONS = 3
SESSION_S = 2.0  # the embedded broker waits for half of it at each join
PATIENCE_S = 60.0
_names = count()


class Log(NamedTuple):
    """A log with one empty topic, behind the three ports."""

    topic: str
    publisher: Publisher
    reader: Reader
    group: Callable[[], Group]


Journal = list[tuple[str, str, int]]  # (handler, what it was told, partition)
Scenario = Callable[[Log], Awaitable[None]]
Play = Callable[[Scenario], None]


async def on_kafka(bootstrap: str, scenario: Scenario) -> None:
    topic = f"log-{next(_names)}"
    await asyncio.to_thread(create_topics, bootstrap, [TopicSpec(topic, PARTITIONS)])
    publisher, reader = KafkaPublisher(bootstrap), KafkaReader(bootstrap)

    def group() -> FaustGroup:
        return FaustGroup(bootstrap, f"group-{topic}", session_s=SESSION_S)

    try:
        await scenario(Log(topic, publisher, reader, group))
    finally:
        await publisher.close()
        await reader.close()


async def in_memory(scenario: Scenario) -> None:
    log = MemoryLog({"log": PARTITIONS})
    await scenario(Log("log", log, log, log.group))


def played(request: pytest.FixtureRequest, where: str) -> Play:
    def play(scenario: Scenario) -> None:
        if where == "memory":
            run = in_memory(scenario)
        elif where == "embedded":
            run = on_kafka(request.getfixturevalue("embedded_broker"), scenario)
        else:
            run = on_kafka(request.getfixturevalue("apache_kafka").bootstrap, scenario)
        asyncio.run(run)

    return play


BROKERS = [
    pytest.param("embedded", marks=pytest.mark.broker),
    pytest.param("apache", marks=pytest.mark.apache),
]


@pytest.fixture(params=["memory", *BROKERS])
def play(request: pytest.FixtureRequest) -> Play:
    """Run a scenario on every log there is."""
    return played(request, request.param)


@pytest.fixture(params=BROKERS)
def play_on_kafka(request: pytest.FixtureRequest) -> Play:
    """Run a scenario on every broker: what one member alone in memory cannot show."""
    return played(request, request.param)


@pytest.fixture
def kafka(apache_kafka: ApacheKafka) -> Callable[[Scenario], None]:
    """Run a scenario on Apache Kafka only."""
    return lambda scenario: asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))


def records(topic: str, partition: int, first: int, after: int) -> list[Outgoing]:
    return [
        Outgoing(topic, partition, b"k%d" % n, b"v%d" % n, (("kind", b"event"), ("n", b"%d" % n)))
        for n in range(first, after)
    ]


class Witness:
    """A handler that notes what it is told, and checks that it is told it in sequence."""

    def __init__(
        self, name: str = "one", journal: list[tuple[str, str, int]] | None = None
    ) -> None:
        self.name = name
        self.journal = [] if journal is None else journal
        self.values: dict[int, list[bytes]] = defaultdict(list)
        self.next: dict[int, int] = defaultdict(int)  # where to read from: stands for the store
        self.sizes: list[int] = []
        self.out_of_sequence: list[tuple[int, int, int]] = []
        self._changed = asyncio.Condition()

    async def assigned(self, partition: int) -> int | None:
        await self.note("assigned", partition)
        return self.next[partition]

    async def batch(self, partition: int, batch: Sequence[Record]) -> int:
        for record in batch:
            if record.offset != self.next[partition]:
                self.out_of_sequence.append((partition, self.next[partition], record.offset))
            self.values[partition].append(record.value)
            self.next[partition] = record.offset + 1
        self.sizes.append(len(batch))
        await self.note("batch", partition)
        return self.next[partition]

    async def revoked(self, partition: int) -> None:
        await self.note("revoked", partition)

    async def note(self, what: str, partition: int) -> None:
        self.journal.append((self.name, what, partition))
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(holds)

    async def until_counted(self, total: int) -> None:
        await self.until(lambda: sum(map(len, self.values.values())) >= total)

    def told(self, what: str) -> list[int]:
        return sorted(p for name, told, p in self.journal if (name, told) == (self.name, what))


class Running:
    """A member that serves a handler until the block ends; an error of it ends the test."""

    def __init__(self, log: Log, handler: Handler) -> None:
        self._group = log.group()
        self._run = asyncio.create_task(self._group.run(log.topic, handler))

    async def __aenter__(self) -> "Running":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        await self._group.stop()
        await self._run


def test_what_is_published_is_read_back_in_order_with_key_headers_and_offset(play: Play) -> None:
    async def scenario(log: Log) -> None:
        sent = records(log.topic, 1, 0, 500)
        await log.publisher.publish(sent[:300])
        await log.publisher.publish(sent[300:])
        found = await log.reader.read(log.topic, 1, 0, count_max=1_000)
        assert [record.offset for record in found] == list(range(500))
        assert [Outgoing(r.topic, r.partition, r.key, r.value, r.headers) for r in found] == sent
        assert [r.offset for r in await log.reader.read(log.topic, 1, 120, count_max=7)] == list(
            range(120, 127)
        )

    play(scenario)


def test_the_end_is_behind_the_last_record_of_a_batch(play: Play) -> None:
    async def scenario(log: Log) -> None:
        assert await log.reader.bounds(log.topic, 2) == (0, 0)
        await log.publisher.publish(records(log.topic, 2, 0, 50))
        assert await log.reader.bounds(log.topic, 2) == (0, 50)
        await log.publisher.publish(records(log.topic, 2, 50, 51))
        assert await log.reader.bounds(log.topic, 2) == (0, 51)

    play(scenario)


def test_at_the_end_there_is_nothing_and_beyond_it_an_error(play: Play) -> None:
    async def scenario(log: Log) -> None:
        assert await log.reader.read(log.topic, 0, 0, count_max=10) == []
        await log.publisher.publish(records(log.topic, 0, 0, 5))
        assert await log.reader.read(log.topic, 0, 5, count_max=10) == []
        with pytest.raises(CoverageError):
            await log.reader.read(log.topic, 0, 6, count_max=10)

    play(scenario)


def test_an_empty_value_comes_back_empty(play: Play) -> None:
    async def scenario(log: Log) -> None:
        await log.publisher.publish([Outgoing(log.topic, 0, b"k", b"")])
        (found,) = await log.reader.read(log.topic, 0, 0, count_max=10)
        assert (found.key, found.value, found.headers) == (b"k", b"", ())

    play(scenario)


def test_a_group_gets_every_record_of_every_partition_in_sequence(play: Play) -> None:
    async def scenario(log: Log) -> None:
        for partition in range(PARTITIONS):
            await log.publisher.publish(records(log.topic, partition, 0, 1_500))
        witness = Witness()
        async with Running(log, witness):
            await witness.until_counted(PARTITIONS * 1_500)
            await log.publisher.publish(records(log.topic, 1, 1_500, 1_501))
            await witness.until_counted(PARTITIONS * 1_500 + 1)
        assert witness.out_of_sequence == []
        assert witness.values[1] == [b"v%d" % n for n in range(1_501)]
        assert max(witness.sizes) <= BATCH_MAX
        assert witness.told("assigned") == witness.told("revoked") == list(range(PARTITIONS))

    play(scenario)


def test_a_handler_that_asks_for_a_rewind_gets_it(play: Play) -> None:
    class Rewinding(Witness):
        async def batch(self, partition: int, batch: Sequence[Record]) -> int:
            await super().batch(partition, batch)
            if partition == 1 and self.next[1] > 250 and b"again" not in self.values[1]:
                self.values[1].append(b"again")
                self.next[1] = 100
            return self.next[partition]

    async def scenario(log: Log) -> None:
        for partition in range(PARTITIONS):
            await log.publisher.publish(records(log.topic, partition, 0, 600))
        witness = Rewinding()
        async with Running(log, witness):
            await witness.until(
                lambda: (
                    witness.next == dict.fromkeys(range(PARTITIONS), 600)
                    and b"again" in witness.values[1]
                )
            )
        assert witness.out_of_sequence == []
        turn = witness.values[1].index(b"again")
        assert witness.values[1][:turn] == [b"v%d" % n for n in range(turn)]
        assert witness.values[1][turn + 1 :] == [b"v%d" % n for n in range(100, 600)]

    play(scenario)


def test_a_partition_that_the_handler_leaves_standing_is_not_read(play: Play) -> None:
    class Still(Witness):
        async def assigned(self, partition: int) -> int | None:
            await super().assigned(partition)
            return None if partition == 1 else 0

    async def scenario(log: Log) -> None:
        for partition in range(PARTITIONS):
            await log.publisher.publish(records(log.topic, partition, 0, 10))
        witness = Still()
        async with Running(log, witness):
            await witness.until_counted((PARTITIONS - 1) * 10)
        assert sorted(witness.values) == [0, 2]

    play(scenario)


def test_a_handler_that_raises_takes_over_again_and_misses_nothing(play_on_kafka: Play) -> None:
    class Raising(Witness):
        failures = 2

        async def batch(self, partition: int, batch: Sequence[Record]) -> int:
            if partition == 2 and self.next[2] >= 200 and self.failures:
                self.failures -= 1
                raise RuntimeError("a handler with a bug")
            return await super().batch(partition, batch)

    async def scenario(log: Log) -> None:
        await log.publisher.publish(records(log.topic, 2, 0, 900))
        witness = Raising()
        async with Running(log, witness):
            await witness.until_counted(900)
        assert witness.values[2] == [b"v%d" % n for n in range(900)]
        assert witness.told("assigned") == [0, 1, 2, 2, 2]

    play_on_kafka(scenario)


def test_a_slow_partition_does_not_hold_up_the_others(play_on_kafka: Play) -> None:
    class Slow(Witness):
        def __init__(self) -> None:
            super().__init__()
            self.gate = asyncio.Event()

        async def batch(self, partition: int, batch: Sequence[Record]) -> int:
            if partition == 0:
                await self.gate.wait()
            return await super().batch(partition, batch)

    async def scenario(log: Log) -> None:
        for partition in range(PARTITIONS):
            await log.publisher.publish(records(log.topic, partition, 0, 5_000))
        witness = Slow()
        async with Running(log, witness):
            await witness.until_counted((PARTITIONS - 1) * 5_000)
            assert witness.values[0] == []
            witness.gate.set()
            await witness.until_counted(PARTITIONS * 5_000)
        assert witness.out_of_sequence == []

    play_on_kafka(scenario)


def test_when_a_member_leaves_another_goes_on_where_it_ended(play_on_kafka: Play) -> None:
    async def scenario(log: Log) -> None:
        journal: Journal = []
        one, two = Witness("one", journal), Witness("two", journal)
        two.next = one.next  # the store that both would ask
        for partition in range(PARTITIONS):
            await log.publisher.publish(records(log.topic, partition, 0, 400))
        async with Running(log, one) as first:
            await one.until_counted(PARTITIONS * 400)
            async with Running(log, two):
                await two.until(lambda: bool(two.told("assigned")))
                for partition in range(PARTITIONS):
                    await log.publisher.publish(records(log.topic, partition, 400, 800))
                await first.leave()
                for partition in range(PARTITIONS):
                    await log.publisher.publish(records(log.topic, partition, 800, 1_000))
                await two.until(lambda: two.next == dict.fromkeys(range(PARTITIONS), 1_000))
        assert one.out_of_sequence == two.out_of_sequence == []
        for partition in range(PARTITIONS):
            assert len(one.values[partition]) + len(two.values[partition]) == 1_000
        owner: dict[int, str] = {}
        for name, what, partition in journal:
            if what == "assigned":
                assert owner.setdefault(partition, name) == name, "two owners at once"
            elif what == "revoked":
                assert owner.pop(partition) == name
        assert owner == {}

    play_on_kafka(scenario)


def test_a_member_leaves_within_two_seconds(play_on_kafka: Play) -> None:
    async def scenario(log: Log) -> None:
        witness = Witness()
        member = Running(log, witness)
        await witness.until(lambda: len(witness.told("assigned")) == PARTITIONS)
        began = monotonic()
        await member.leave()
        assert monotonic() - began < 2.0

    play_on_kafka(scenario)


def test_each_single_record_gets_its_own_ack(play_on_kafka: Play) -> None:
    async def scenario(log: Log) -> None:
        assert isinstance(log.publisher, KafkaPublisher)
        acks: asyncio.Queue[LogError | None] = asyncio.Queue()
        for record in records(log.topic, 0, 0, 100):
            log.publisher.produce_nowait(record, acks.put_nowait)
        assert [await acks.get() for _ in range(100)] == [None] * 100
        assert await log.reader.bounds(log.topic, 0) == (0, 100)

    play_on_kafka(scenario)


def test_a_record_too_large_for_the_producer_is_refused_at_once(play_on_kafka: Play) -> None:
    async def scenario(log: Log) -> None:
        small, large = records(log.topic, 0, 0, 3), Outgoing(log.topic, 0, b"k", b"x" * 2_000_000)
        with pytest.raises(LogError, match="did not take a record of 2000000 bytes"):
            await log.publisher.publish([*small, large, *small])
        found = await log.reader.read(log.topic, 0, 0, count_max=10)
        assert [record.value for record in found] == [b"v0", b"v1", b"v2"]

    play_on_kafka(scenario)


@pytest.mark.broker
def test_a_topic_is_created_once_and_never_with_another_partition_count(
    embedded_broker: str,
) -> None:
    spec = TopicSpec(f"made-{next(_names)}", 4, {"cleanup.policy": "compact"})
    create_topics(embedded_broker, [spec])
    create_topics(embedded_broker, [spec])
    assert partition_count(embedded_broker, spec.name) == 4
    with pytest.raises(ConfigError, match="has 4 partitions, want 5"):
        create_topics(embedded_broker, [TopicSpec(spec.name, 5)])


@pytest.mark.apache
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


@pytest.mark.apache
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


@pytest.mark.apache
def test_a_record_that_the_broker_refuses_takes_all_behind_it_with_it(
    apache_kafka: ApacheKafka,
) -> None:
    topic = f"narrow-{next(_names)}"
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


@pytest.mark.apache
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


@pytest.mark.apache
def test_offsets_are_committed_for_the_lag_when_a_member_leaves(
    kafka: Callable[[Scenario], None], apache_kafka: ApacheKafka
) -> None:
    async def scenario(log: Log) -> None:
        await log.publisher.publish(records(log.topic, 0, 0, 321))
        witness = Witness()
        async with Running(log, witness):
            await witness.until_counted(321)
        found = await asyncio.to_thread(committed, apache_kafka.bootstrap, log.topic)
        assert found[0] == 321

    kafka(scenario)


def committed(bootstrap: str, topic: str) -> dict[int, int]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(f"group-{topic}")]
    ).values()
    return {tp.partition: tp.offset for tp in future.result(timeout=10).topic_partitions}
