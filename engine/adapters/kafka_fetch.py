"""aiokafka's consumer at a steady pace: few large answers of a broker instead of many small ones.

Kafka answers a fetch at the first byte. At ten thousand records a second that is an answer, a
wake-up of two threads and a commit of each partition for every few records, and these cost more
than the records. So a broker is asked again only `pace_s` after it was asked last; an answer that
was full is followed at once, and whoever comes after a silence finds the request waiting for it.
"""

import asyncio
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer

PACE_S = 0.025  # half of it is added to the median latency, whose goal is 50 ms
FULL_SIZE = 128 * 1024  # bytes of an answer behind which more is likely to wait


class PacedConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """An AIOKafkaConsumer whose fetcher keeps a pace, and lets no partition hold up another."""

    def __init__(self, *, pace_s: float = PACE_S, **options: Any) -> None:
        super().__init__(**options)
        self._pace_s = pace_s
        self._next_at: dict[int, float] = {}  # broker -> monotonic seconds

    async def start(self) -> None:
        """Connect; the fetcher that aiokafka makes here gets our pace."""
        await super().start()
        fetcher = self._fetcher
        # aiokafka asks a broker for nothing, for up to so many seconds, while one partition's last
        # answer waits to be taken: one that is behind would slow its neighbours down.
        fetcher._prefetch_backoff = 0.0
        self._ask = fetcher._proc_fetch_request
        fetcher._proc_fetch_request = self._ask_in_pace

    async def _ask_in_pace(self, assignment: Any, broker: int, request: Any) -> bool:
        wait_s = self._next_at.get(broker, 0.0) - monotonic()
        if wait_s > 0:
            try:
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:
                return False  # closed, or its partitions went: as aiokafka answers that itself
        self._next_at[broker] = monotonic() + self._pace_s
        has_found: bool = await self._ask(assignment, broker, request)
        if has_found and self._size(request) >= FULL_SIZE:
            self._next_at[broker] = 0.0
        return has_found

    def _size(self, request: Any) -> int:
        """Return the bytes of an answer that nobody has taken yet."""
        size = 0
        for topic, partitions in request.topics:
            for partition, *_ in partitions:
                found = self._fetcher._records.get((topic, partition))
                records = getattr(found, "_partition_records", None)
                size += records._records.size_in_bytes() if records is not None else 0
        return size
