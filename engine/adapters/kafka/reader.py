"""Kafka as the Reader: any place of the log, by single fetch requests without a consumer.

A consumer prefetches and believes the end offset that the broker reports. Take-over needs to know
where a partition *really* ends, and the embedded broker reports its end too low inside a batch
(KAFKA.md 4). So every answer here is one request, and only an empty fetch is the end.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from engine.errors import CoverageError, LogError
from engine.events.record import Record

TIMEOUT_S = 8.0
RETRY_S = 0.1
WAIT_MS = 2  # with 0 the embedded broker gives nothing even where there is something
FETCH_SIZE_MAX = 4 * 1024 * 1024  # bytes of one partition in one answer
EARLIEST, LATEST = -2, -1  # Kafka's names for the two ends, in place of a time


class KafkaReader:
    """Reads any place of any partition (ports.Reader); connects at its first use.

    `names`: what the broker calls a topic, where it is not what we call it.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        names: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._names = names or {}
        self._bootstrap = bootstrap
        self._timeout_s = timeout_s
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return (first offset, offset after the last) of a partition (ports.Reader)."""
        tp = TopicPartition(self._names.get(topic, topic), partition)
        start = await self._edge(tp, EARLIEST)
        end = await self._edge(tp, LATEST)
        if end > start:
            _, after = await self._fetch(tp, end - 1)
            end = max(end, after)
        return start, end

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        """Return up to `count_max` records from `offset` (ports.Reader); fewer only at the end.

        Raises
        ------
        CoverageError
            If the log begins behind `offset`, or ends before it.
        LogError
            If the broker gives no answer in time.
        """
        tp = TopicPartition(self._names.get(topic, topic), partition)
        found: list[Record] = []
        at = offset
        while len(found) < count_max:
            records, after = await self._fetch(tp, at)
            if after == at:
                break
            found += records
            at = after
        if at == offset:
            start, end = await self.bounds(topic, partition)
            if not start <= offset <= end:
                raise _uncovered(tp, offset, start, end)
        return found[:count_max]

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _edge(self, tp: TopicPartition, which: int) -> int:
        request = OffsetRequest(-1, READ_COMMITTED, [(tp.topic, [(tp.partition, which)])])
        answer = await self._ask(tp, request)
        return int(answer[-1])

    async def _fetch(self, tp: TopicPartition, offset: int) -> tuple[list[Record], int]:
        """Return the records of one answer and the offset after them: the same at the end."""
        request = FetchRequest(
            WAIT_MS,
            0,
            FETCH_SIZE_MAX,
            READ_COMMITTED,
            [(tp.topic, [(tp.partition, offset, FETCH_SIZE_MAX)])],
        )
        try:
            answer = await self._ask(tp, request)
        except OffsetOutOfRangeError as error:
            start, end = await self._edge(tp, EARLIEST), await self._edge(tp, LATEST)
            raise _uncovered(tp, offset, start, end) from error
        aborted = answer[-2] if isinstance(answer[-2], list) else answer[-3]  # v11 has one more
        unpacked = PartitionRecords(
            tp, MemoryRecords(answer[-1] or b""), aborted, offset, None, None, True, READ_COMMITTED
        )
        return [as_record(found) for found in unpacked], unpacked.next_fetch_offset

    async def _ask(self, tp: TopicPartition, request: Any) -> tuple[Any, ...]:
        """Send to the partition's leader; return its answer after the error code."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    try:
                        return await self._ask_once(tp, request)
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        await asyncio.sleep(RETRY_S)
                        if error.invalid_metadata and self._client is not None:
                            await self._client.force_metadata_update()
        except OffsetOutOfRangeError:
            raise
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogError(
                f"the broker at {self._bootstrap} gave no answer: {error!r}",
                code="log/unreachable",
                where=f"{tp.topic}/{tp.partition}",
            ) from error

    async def _ask_once(self, tp: TopicPartition, request: Any) -> tuple[Any, ...]:
        client = await self._connected()
        if client.cluster.leader_for_partition(tp) in (None, -1):
            await client._wait_on_metadata(tp.topic)
        node = client.cluster.leader_for_partition(tp)
        if node in (None, -1):
            raise LeaderNotAvailableError(tp)
        response = await client.send(node, request)
        if not response.topics:  # the embedded broker, when its time for an answer was over
            raise RequestTimedOutError(f"{tp}: an answer without the partition")
        ((_, ((_, error_code, *answer),)),) = response.topics
        if error_code:
            raise for_code(error_code)(tp)
        if response.API_KEY == FetchRequest.API_KEY and not answer[-1]:
            offset = request.topics[0][1][0][1]
            if offset < answer[1]:  # the last stable offset: there is more, so this is no end
                raise RequestTimedOutError(f"{tp}: nothing at {offset}, but the end is {answer[1]}")
        return tuple(answer)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(
                    bootstrap_servers=self._bootstrap,
                    request_timeout_ms=int(self._timeout_s * 1000),
                )
                try:
                    await client.bootstrap()
                except BaseException:
                    await client.close()
                    raise
                self._client = client
        return self._client


def _uncovered(tp: TopicPartition, offset: int, start: int, end: int) -> CoverageError:
    return CoverageError(
        f"the log holds {start} to {end}, asked for {offset}", where=f"{tp.topic}/{tp.partition}"
    )


def as_record(found: Any) -> Record:
    """Return a fetched record in our form; a tombstone (null) has an empty value."""
    return Record(
        found.topic,
        found.partition,
        found.offset,
        found.key or b"",
        found.value or b"",
        found.headers,
        found.timestamp,
    )
