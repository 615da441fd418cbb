"""The past, through the log in event time: checked events and the ticks of the data's own time."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engine.clock import AHEAD_MS_MAX, HOUR_MS, SECOND_MS
from engine.config import Settings
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.ingest.accept import Accepted
from engine.ports import Publisher, Store
from engine.runtime.ticker import Passed, tick_records

BATCH_RECORDS = 4_000
AHEAD_TICKS_MAX = 400  # how far the log may run ahead of the workers
POLL_S = 0.02
LAST_TICKS = 6  # behind the last event, so that T reaches it through two forwards


@dataclass(slots=True)
class History:
    """Writes accepted events, in the order of their time, with one tick every `tick_ms`.

    `alone`: every event names one identifier only, so nothing is ever forwarded and T is the
    tick's own time, exactly. Otherwise T follows the progress of all partitions, as live.
    """

    publisher: Publisher
    store: Store
    settings: Settings
    tick_ms: int = HOUR_MS
    alone: bool = False
    progressed: Callable[[int], None] = lambda count: None

    async def load(self, events: Iterable[Accepted], *, until: int | None = None) -> int:
        """Write all events and wait until they are applied; return how many.

        `until`: log time to tick on to behind the last event, UTC ms.
        """
        count, tick, told = 0, 0, 0
        passed = Passed()
        out: list[Outgoing] = []
        for found in events:
            at = found.event.at
            tick = tick or at // self.tick_ms * self.tick_ms
            while tick <= at:
                out += self._ticks(tick, passed)
                told, tick = tick, tick + self.tick_ms
                if len(out) >= BATCH_RECORDS:
                    await self._write(out, passed, told)
            if at > told + AHEAD_MS_MAX:  # else the fold would clamp it to what log time allows
                out += self._ticks(at, passed)
                told = at
            partition = partition_of(found.key, self.settings.partitions)
            out.append(Outgoing(topics.EVENTS, partition, found.key.encode(), found.value))
            count += 1
        while until is not None and tick <= until:
            out += self._ticks(tick, passed)
            told, tick = tick, tick + self.tick_ms
            if len(out) >= BATCH_RECORDS:
                await self._write(out, passed, told)
        await self._write(out, passed, told)
        for _ in range(LAST_TICKS):
            await self._until_applied(told, passed)
            told += SECOND_MS
            out += self._ticks(told, passed)
            await self._write(out, passed, told)
        await self._until_applied(told, passed)
        self.progressed(count)
        return count

    def _ticks(self, now: int, passed: Passed) -> list[Outgoing]:
        settings = self.settings
        done = now if self.alone else passed.note(0)
        passed.wrote(now)
        return tick_records(now, done, settings.partitions, settings.secret_key)

    async def _write(self, out: list[Outgoing], passed: Passed, tick: int) -> None:
        if out:
            await self.publisher.publish(out)
            out.clear()
        await self._until_applied(tick - AHEAD_TICKS_MAX * self.tick_ms, passed)

    async def _until_applied(self, now: int, passed: Passed) -> None:
        """Wait until every partition has committed a batch that began at or behind `now`."""
        while True:
            every = range(self.settings.partitions)
            metas = await asyncio.gather(*(self.store.meta(p) for p in every))
            progress = min(meta.now for meta in metas)
            passed.note(min(meta.prg for meta in metas))
            if progress >= now:
                return
            await asyncio.sleep(POLL_S)
