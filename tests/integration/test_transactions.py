"""Transactions on Apache Kafka: the newest writer alone is read; a group goes on over markers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import KafkaException

from engine.adapters.kafka.transactions import KafkaTransactions
from engine.errors import Fenced
from engine.events.record import Record
from tests.apache.broker import ApacheKafka
from tests.logs import PATIENCE_S, Log, Running, Witness, on_kafka, records

pytestmark = pytest.mark.apache


@asynccontextmanager
async def writer(kafka: ApacheKafka, name: str) -> AsyncIterator[KafkaTransactions]:
    transactions = KafkaTransactions(kafka.bootstrap, name)
    try:
        yield transactions
    finally:
        await transactions.close()


def left_open(transactions: KafkaTransactions, log: Log, first: int, after: int) -> None:
    """Write what is never committed, as one does that is frozen or killed at that moment."""
    producer = transactions._producers[0]
    producer.begin_transaction()
    for record in records(log.topic, 0, first, after):
        producer.produce(record.topic, value=record.value, key=record.key, partition=0)
    assert producer.flush(PATIENCE_S) == 0


def test_whoever_claims_last_is_the_only_one_that_is_read(apache_kafka: ApacheKafka) -> None:
    async def scenario(log: Log) -> None:
        async with writer(apache_kafka, log.topic) as old, writer(apache_kafka, log.topic) as new:
            await old.claim(0)
            await old.publish(0, records(log.topic, 0, 0, 3))
            left_open(old, log, 3, 6)
            found = await log.reader.read(log.topic, 0, 0, count_max=100)
            assert len(found) == 3, "what is not committed is not read"
            await new.claim(0)
            with pytest.raises(KafkaException, match="fenced"):
                await asyncio.to_thread(old._producers[0].commit_transaction, PATIENCE_S)
            with pytest.raises(Fenced):
                await old.publish(0, records(log.topic, 0, 3, 6))
            await new.publish(0, records(log.topic, 0, 3, 5))
            async with asyncio.timeout(PATIENCE_S):  # the marker is written behind the answer
                while len(found) < 5:
                    found = await log.reader.read(log.topic, 0, 0, count_max=100)
            assert [record.value for record in found] == [b"v%d" % n for n in range(5)]

    asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))


class Reading(Witness):
    """Goes on where it was told to, over what is no record."""

    async def batch(self, partition: int, batch: Sequence[Record]) -> int:
        self.next[partition] = batch[0].offset
        return await super().batch(partition, batch)


def test_a_group_reads_on_over_markers_and_what_was_given_up_and_asks_nothing_twice(
    apache_kafka: ApacheKafka, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(log: Log) -> None:
        witness = Reading()
        async with (
            writer(apache_kafka, log.topic) as first,
            writer(apache_kafka, log.topic) as second,
            Running(log, witness),
        ):
            await first.claim(0)
            for n in range(30):
                await first.publish(0, records(log.topic, 0, 2 * n, 2 * n + 2))
            await witness.until_counted(60)
            left_open(first, log, 0, 20)
            await second.claim(0)  # the last offsets of the log are no records now
            for n in range(30, 40):
                await second.publish(0, records(log.topic, 0, 2 * n, 2 * n + 2))
            await witness.until_counted(80)
        assert witness.values[0] == [b"v%d" % n for n in range(80)]
        assert witness.told("assigned").count(0) == 1

    with caplog.at_level(logging.WARNING, "engine.adapters.kafka.seats"):
        asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))
    assert not [each for each in caplog.messages if "hole" in each]
