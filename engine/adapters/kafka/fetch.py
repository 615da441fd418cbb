"""aiokafka's consumer at a steady pace: few large answers of a broker instead of many small ones.

Kafka answers a fetch at the first byte. At ten thousand records a second that is an answer, a
wake-up of two threads and a commit of each partition for every few records, and these cost more
than the records. So a broker is asked again only `pace_s` after it was asked last; an answer that
was full is followed at once, and whoever comes after a silence finds the request waiting for it.

What comes over another connection than the last answer is not believed: the log behind it may have
lost its tail meanwhile, and grown again, so that an offset names another record now. Newer clients
compare leader epochs, which aiokafka does not. Here the place counts as out of range, and whoever
reads there has to prove it again.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

PACE_S = 0.025  # half of it is added to the median latency, whose goal is 50 ms
FULL_SIZE = 128 * 1024  # bytes of an answer behind which more is likely to wait


class PacedConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """An AIOKafkaConsumer whose fetcher keeps a pace, and lets no partition hold up another.

    After a reconnect it raises OffsetOutOfRangeError once for each partition.
    """

    def __init__(self, *, pace_s: float = PACE_S, **options: Any) -> None:
        super().__init__(**options)
        self._pace_s = pace_s
        self._next_at: dict[int, float] = {}  # broker -> monotonic seconds
        self._over: dict[TopicPartition, AIOKafkaConnection] = {}  # what the last answer came by
        # aiokafka's state of a partition, another in each assignment; where its next answer begins.
        self._told: dict[TopicPartition, tuple[Any, int]] = {}

    async def start(self) -> None:
        """Connect; the fetcher that aiokafka makes here gets our pace."""
        await super().start()
        fetcher = self._fetcher
        # aiokafka asks a broker for nothing, for up to so many seconds, while one partition's last
        # answer waits to be taken: one that is behind would slow its neighbours down.
        fetcher._prefetch_backoff = 0.0
        self._ask = fetcher._proc_fetch_request
        fetcher._proc_fetch_request = self._ask_in_pace

    def go_on_at(self, tp: TopicPartition, offset: int) -> None:
        """Seek, and fetch there; a partition is paused from its assignment until here."""
        self.seek(tp, offset)
        self._told[tp] = (self._state(tp), offset)
        self.resume(tp)

    async def answers(
        self, wanted: Iterable[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, tuple[int, list[Any], int]]:
        """Return (where it begins, records, where it goes on) of each partition that went on.

        aiokafka moves its position over what it hands out and over what is no record, so between
        the two ends there is nothing else, and an answer may have no records at all. Only an error
        may hide a record that it has passed over: behind one, the next answer begins further on.
        """
        places = list(wanted)
        try:
            found = await self.getmany(*places, timeout_ms=int(timeout_s * 1000))
        except KafkaError:
            for tp in places:
                self._since(tp)
            raise
        answers = {}
        for tp in places:
            if isinstance(self._fetcher._records.get(tp), FetchError):
                continue  # raised by the next call
            since = self._since(tp)
            if since is not None:
                answers[tp] = (since[0], found.get(tp, []), since[1])
        return answers

    def _since(self, tp: TopicPartition) -> tuple[int, int] | None:
        """Return from where to where aiokafka has gone on in one assignment since the last call."""
        state = self._state(tp)
        told, begin = self._told.get(tp, (None, 0))
        if state is None or state is not told or not state.has_valid_position:
            return None
        after = int(state.position)
        self._told[tp] = (state, after)
        return (begin, after) if after > begin else None

    def _state(self, tp: TopicPartition) -> Any:
        subscription = self._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        return None if assignment is None else assignment.state_value(tp)

    async def _ask_in_pace(self, assignment: Any, broker: int, request: Any) -> bool:
        wait_s = self._next_at.get(broker, 0.0) - monotonic()
        if wait_s > 0:
            try:
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:
                return False  # closed, or its partitions went: as aiokafka answers that itself
            request = self._renewed(assignment, broker, request)
        self._next_at[broker] = monotonic() + self._pace_s
        has_found: bool = await self._ask(assignment, broker, request)
        has_found = self._doubt(broker, request) or has_found
        if has_found and self._size(request) >= FULL_SIZE:
            self._next_at[broker] = 0.0
        return has_found

    def _renewed(self, assignment: Any, broker: int, request: Any) -> Any:
        """Return the request as it would be made now, with all partitions that have been taken.

        aiokafka makes the next one as soon as an answer is there, without the partitions that are
        not taken yet. They would wait for a whole request more: two groups of partitions, each
        asked at every second turn.
        """
        fetcher = self._fetcher
        fetcher._in_flight.discard(broker)  # by this very request, which has not left
        requests, *_ = fetcher._get_actions_per_node(assignment)
        fetcher._in_flight.add(broker)
        return dict(requests).get(broker, request)

    def _doubt(self, broker: int, request: Any) -> bool:
        """Put an error in place of what came by a new connection; tell whether there was any."""
        way = self._client._conns.get((broker, ConnectionGroup.DEFAULT))
        doubted = False
        if way is None:
            return False
        for topic, partitions in request.topics:
            for partition, offset, *_ in partitions:
                place = TopicPartition(topic, partition)
                if self._over.setdefault(place, way) is not way:
                    self._over[place] = way
                    error = OffsetOutOfRangeError({place: offset})
                    self._fetcher._records[place] = FetchError(error=error, backoff=0)
                    doubted = True
        return doubted

    def _size(self, request: Any) -> int:
        """Return the bytes of an answer that nobody has taken yet."""
        size = 0
        for topic, partitions in request.topics:
            for partition, *_ in partitions:
                found = self._fetcher._records.get((topic, partition))
                records = getattr(found, "_partition_records", None)
                size += records._records.size_in_bytes() if records is not None else 0
        return size
