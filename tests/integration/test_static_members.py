"""Static membership on Apache Kafka: who is back within its session takes nothing from anybody."""

import asyncio
from time import monotonic

import pytest

from engine.adapters.kafka.group import STATIC_SESSION_S, FaustGroup
from tests.apache.broker import ApacheKafka
from tests.logs import PARTITIONS, Journal, Log, Running, Witness, on_kafka, records

pytestmark = pytest.mark.apache


def held(journal: Journal) -> dict[int, str]:
    """Return who holds each partition by what was told."""
    owners: dict[int, str] = {}
    for name, what, partition in journal:
        if what == "assigned":
            owners[partition] = name
        elif what == "revoked":
            owners.pop(partition, None)
    return owners


def told_of(journal: Journal, name: str) -> Journal:
    """Return what one was told of its partitions, batches aside."""
    return [told for told in journal if told[0] == name and told[1] != "batch"]


async def publish_to_all(log: Log, first: int, after: int) -> None:
    """Write the same number of records to each partition."""
    for partition in range(PARTITIONS):
        await log.publisher.publish(records(log.topic, partition, first, after))


def test_a_worker_that_is_back_within_its_session_moves_nothing_and_one_that_is_not_gives_up_all(
    apache_kafka: ApacheKafka,
) -> None:
    async def scenario(log: Log) -> None:
        journal: Journal = []
        stays, comes = Witness("stays", journal), Witness("comes", journal)
        comes.next = stays.next  # the store that both would ask
        comes._changed = stays._changed  # whoever waits, waits for both

        def named(instance_id: str) -> Log:
            return log._replace(
                group=lambda: FaustGroup(
                    apache_kafka.bootstrap, f"static-{log.topic}", instance_id=instance_id
                )
            )

        async with Running(named("a"), stays):
            await stays.until(lambda: len(stays.told("assigned")) == PARTITIONS)
            async with Running(named("b"), comes):
                await stays.until(lambda: bool(stays.told("revoked")))  # to share with b
                await stays.until(lambda: len(held(journal)) == PARTITIONS)
                theirs = sorted(p for p, name in held(journal).items() if name == "comes")
                mine = [p for p in range(PARTITIONS) if p not in theirs]
                assert mine and theirs, "each has some"
                await publish_to_all(log, 0, 100)
                await comes.until(lambda: all(comes.next[p] == 100 for p in theirs))
            await stays.until(lambda: all(stays.next[p] == 100 for p in mine))
            before = told_of(journal, "stays")

            await publish_to_all(log, 100, 200)  # b is away: its own waits, the rest goes on
            await stays.until(lambda: all(stays.next[p] == 200 for p in mine))
            assert all(stays.next[p] == 100 for p in theirs)
            since = len(journal)
            async with Running(named("b"), comes):
                await comes.until(lambda: all(comes.next[p] == 200 for p in theirs))
            left = monotonic()
            assert set(told_of(journal[since:], "comes")) == {
                ("comes", what, p) for p in theirs for what in ("assigned", "revoked")
            }, "the same ones again"
            assert told_of(journal, "stays") == before, "nobody else was told anything"

            await stays.until(lambda: told_of(journal, "stays") != before)  # now it stays away
            assert monotonic() - left > STATIC_SESSION_S / 2, "not before its session is over"
            await publish_to_all(log, 200, 300)
            await stays.until(lambda: stays.next == dict.fromkeys(range(PARTITIONS), 300))
        assert stays.out_of_sequence == comes.out_of_sequence == []

    asyncio.run(on_kafka(apache_kafka.bootstrap, scenario))
