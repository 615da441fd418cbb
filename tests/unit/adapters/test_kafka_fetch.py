"""An answer goes from where the last one ended to where aiokafka goes on, in one assignment."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import CorruptRecordException, KafkaError

from engine.adapters.kafka.fetch import PacedConsumer

PLACE = TopicPartition("t", 0)


class Consumer(PacedConsumer):
    """With positions and answers by hand, in place of a broker's."""

    def __init__(self) -> None:
        self._told: dict[TopicPartition, tuple[Any, int]] = {}
        self._fetcher = SimpleNamespace(_records={})
        self.found: dict[TopicPartition, list[Any]] | KafkaError = {}
        self.assign(0)

    def __del__(self) -> None:
        """There is nothing to close."""

    def assign(self, position: int) -> None:
        """Begin a new assignment, at a committed offset."""
        self.state = SimpleNamespace(position=position, has_valid_position=True)
        assignment = SimpleNamespace(state_value=lambda tp: self.state)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.state.position = offset

    def resume(self, tp: TopicPartition) -> None:
        pass

    async def getmany(self, *tps: TopicPartition, timeout_ms: int) -> Any:
        if isinstance(self.found, KafkaError):
            raise self.found
        return self.found

    def answer(self, position: int, *records: str) -> Any:
        """Return what comes of aiokafka handing these out, and going on at `position`."""
        self.state.position = position
        self.found = {PLACE: list(records)} if records else {}
        return asyncio.run(self.answers([PLACE], 0.0)).get(PLACE)


@pytest.fixture
def consumer() -> Consumer:
    found = Consumer()
    found.go_on_at(PLACE, 5)
    return found


def test_answers_follow_each_other_also_where_they_have_no_records(consumer: Consumer) -> None:
    assert consumer.answer(8, "a", "b") == (5, ["a", "b"], 8)
    assert consumer.answer(8) is None
    assert consumer.answer(9) == (8, [], 9)
    assert consumer.answer(11, "c") == (9, ["c"], 11)


def test_a_new_assignment_begins_nowhere_until_it_is_told_where(consumer: Consumer) -> None:
    consumer.assign(70)
    assert consumer.answer(70) is None, "the committed offset is no progress"
    consumer.go_on_at(PLACE, 40)
    assert consumer.answer(42, "a") == (40, ["a"], 42)


def test_what_an_error_has_passed_over_is_a_hole(consumer: Consumer) -> None:
    consumer._fetcher._records[PLACE] = FetchError(error=CorruptRecordException(), backoff=0)
    assert consumer.answer(6) is None, "it may hide a record"
    consumer.found = CorruptRecordException()
    with pytest.raises(CorruptRecordException):
        asyncio.run(consumer.answers([PLACE], 0.0))
    del consumer._fetcher._records[PLACE]
    assert consumer.answer(8, "a") == (6, ["a"], 8), "and 5 is missing"
