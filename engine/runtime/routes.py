"""Where persons live by now: both doors write their events there instead of at an old id.

An event of somebody with several identifiers goes to the node of its smallest, which often is a
signpost by now, and from there once more through the log. `customer.aliases` says where each
signpost leads. Its newest records are kept here, so nothing is asked while a request waits. A route
that is missing or wrong costs a hop and nothing else: the fold believes none (IDENTITY.md, E3).
"""

import asyncio
import logging
from contextlib import suppress

import msgspec

from engine.errors import CoverageError, EngineError
from engine.events import topics
from engine.identity.messages import Alias
from engine.ports import Reader

ROUTES_MAX = 200_000  # some 50 MB; the least lately told go first
POLL_S = 10.0
READ_MAX = 1_000
LEGS_MAX = 4  # signposts in a row that are followed
log = logging.getLogger(__name__)
_alias = msgspec.json.Decoder(Alias).decode


class Routes:
    """The newest of `customer.aliases`, old id -> the id that it leads to."""

    def __init__(
        self, reader: Reader, *, partition_count: int, routes_max: int = ROUTES_MAX
    ) -> None:
        self._reader = reader
        self._count = partition_count
        self._max = routes_max
        self._offsets: dict[int, int] = {}
        self._routes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._routes)

    def of(self, home: str) -> str:
        """Return where the person of a home is believed to live: the home itself, as for most."""
        routes, at = self._routes, home
        for _ in range(LEGS_MAX):
            further = routes.get(at)
            if further is None:
                break
            at = further
        return at

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the topic until told to stop; an error of the log is waited out."""
        while not stop.is_set():
            try:
                await self.follow()
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("routes: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)

    async def follow(self) -> None:
        """Read what is new in every partition of the topic."""
        for partition in range(self._count):
            try:
                await self._read(partition)
            except CoverageError:  # the topic is another one now
                self._offsets.pop(partition, None)

    async def _read(self, partition: int) -> None:
        offset = self._offsets.get(partition)
        if offset is None:
            start, end = await self._reader.bounds(topics.ALIASES, partition)
            offset = max(start, end - self._max // self._count)
        while found := await self._reader.read(
            topics.ALIASES, partition, offset, count_max=READ_MAX
        ):
            for record in found:
                self._take(record.key.decode("ascii"), record.value)
            offset = found[-1].offset + 1
        self._offsets[partition] = offset

    def _take(self, old: str, value: bytes) -> None:
        routes = self._routes
        routes.pop(old, None)
        alias = _alias(value) if value else None
        if alias is None or alias.shared:  # only its own signpost says that its events are no one's
            return
        routes[old] = alias.customer
        if len(routes) > self._max:
            del routes[next(iter(routes))]
