"""One suite for publisher, reader and group: in memory, on the embedded broker, on Apache Kafka."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest

from engine.adapters.kafka.group import FaustGroup
from engine.adapters.kafka.seats import BATCH_MAX
from engine.adapters.kafka.topics import TopicSpec, create_topics, partition_count
from engine.errors import ConfigError, CoverageError, LogError
from engine.events.record import Outgoing, Record
from engine.runtime.local.embedded import free_port
from tests import logs
from tests.logs import (
    PARTITIONS,
    Journal,
    Log,
    Play,
    Running,
    Scenario,
    Witness,
    fresh_name,
    in_memory,
    on_kafka,
    records,
)

LONG_S = 6.0  # of a session; the embedded broker waits for half of it at each join


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


def test_a_member_that_leaves_does_not_wait_for_its_session_to_end(
    play_on_kafka: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SESSION_S", LONG_S)

    async def scenario(log: Log) -> None:
        witness = Witness()
        member = Running(log, witness)
        await witness.until(lambda: len(witness.told("assigned")) == PARTITIONS)
        began = monotonic()
        await member.leave()
        assert monotonic() - began < LONG_S

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
    spec = TopicSpec(fresh_name(), 4, {"cleanup.policy": "compact"})
    create_topics(embedded_broker, [spec])
    create_topics(embedded_broker, [spec])
    assert partition_count(embedded_broker, spec.name) == 4
    with pytest.raises(ConfigError, match="has 4 partitions, want 5"):
        create_topics(embedded_broker, [TopicSpec(spec.name, 5)])


def test_without_a_broker_a_group_ends_with_a_named_error() -> None:
    async def run() -> None:
        group = FaustGroup(f"127.0.0.1:{free_port()}", "g", away_s=0.5)
        with pytest.raises(LogError) as caught:
            await group.run("t", Witness())
        assert caught.value.code == "log/unreachable"

    asyncio.run(run())


def test_a_group_that_waits_for_a_broker_can_be_stopped() -> None:
    async def run() -> None:
        group = FaustGroup(f"127.0.0.1:{free_port()}", "g")
        running = asyncio.create_task(group.run("t", Witness()))
        await group.stop()
        await asyncio.wait_for(running, 3.0)

    asyncio.run(run())
