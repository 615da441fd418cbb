"""The live feed: what the trigger topic says, to every open page, as server-sent events."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import orjson

from engine.errors import EngineError
from engine.events import topics
from engine.ports import Reader

POLL_S = 0.25
KEPT_MAX = 50  # triggers that a page gets when it opens
QUEUE_MAX = 500  # a page that reads slower loses the oldest
READ_MAX = 500
HEARTBEAT_S = 15.0
log = logging.getLogger(__name__)


class Feed:
    """Follows topic `triggers` and tells all listeners; keeps the last few for newcomers."""

    def __init__(self, reader: Reader, *, partition_count: int) -> None:
        self._reader = reader
        self._offsets: dict[int, int] = {}
        self._count = partition_count
        self._kept: deque[bytes] = deque(maxlen=KEPT_MAX)
        self._listeners: set[asyncio.Queue[bytes]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until told to stop; an error of the log is waited out."""
        while not stop.is_set():
            try:
                await self._poll()
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("feed: %s", error)
            try:
                await asyncio.wait_for(stop.wait(), POLL_S)
            except TimeoutError:
                continue

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield server-sent events: what is kept, then what comes; a comment as heartbeat."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_MAX)
        self._listeners.add(queue)
        try:
            for body in list(self._kept):
                yield _sse(body)
            while True:
                try:
                    yield _sse(await asyncio.wait_for(queue.get(), HEARTBEAT_S))
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._listeners.discard(queue)

    async def _poll(self) -> None:
        for partition in range(self._count):
            if partition not in self._offsets:
                start, end = await self._reader.bounds(topics.TRIGGERS, partition)
                self._offsets[partition] = max(start, end - KEPT_MAX)
            found = await self._reader.read(
                topics.TRIGGERS, partition, self._offsets[partition], count_max=READ_MAX
            )
            for record in found:
                self._offsets[partition] = record.offset + 1
                self._tell(record.value)

    def _tell(self, value: bytes) -> None:
        item: dict[str, Any] = orjson.loads(value)
        if item.get("type") != "trigger":
            return
        item.pop("keys", None)  # a feed that many can see shows no addresses
        body = orjson.dumps(item)
        self._kept.append(body)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(body)


def _sse(body: bytes) -> bytes:
    return b"event: trigger\ndata: " + body + b"\n\n"
