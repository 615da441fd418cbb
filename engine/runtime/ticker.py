"""The clock of the log: writes tick(now, T) into every partition; T is what all have passed.

An event that is forwarded from another partition may still be under way, so T counts rounds of
h = 2 forwards (WIRE.md, Time; IDENTITY.md, Time): T_i becomes what T_(i-1) was at tick j, once
every partition has committed from a state that had seen tick j.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from engine.errors import EngineError
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity import mac
from engine.identity.messages import Tick
from engine.outcome import Meta
from engine.ports import Clock, Publisher, Store

ROUNDS = 2  # forwards that an event can still be under way
LEFT_OUT_S = 300.0  # a partition without progress for so long is left out, and reported
WAITING_MAX = 10_000
log = logging.getLogger(__name__)
_json = msgspec.json.Encoder().encode


class Passed:
    """T from the progress of all partitions; a pure counter, never falling."""

    def __init__(self, floor: int = 0) -> None:
        self._rounds = [floor] * (ROUNDS + 1)
        self._written: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=WAITING_MAX)

    def note(self, progress: int) -> int:
        """Take in the least progress of all partitions (UTC ms); return T."""
        rounds = self._rounds
        while self._written and self._written[0][0] <= progress:
            now, then = self._written.popleft()
            for i in range(1, ROUNDS + 1):
                rounds[i] = max(rounds[i], now if i == 1 else then[i - 1])
        return rounds[ROUNDS]

    def wrote(self, now: int) -> None:
        """Note that tick `now` went out into every partition."""
        self._written.append((now, tuple(self._rounds)))


def tick_records(now: int, passed: int, partition_count: int, secret: bytes) -> list[Outgoing]:
    """Return one sealed tick for every partition."""
    value = _json(Tick(now=now, passed=passed))
    seal = mac.sign("tick", b"tick", value, secret)
    headers = (("kind", b"tick"), ("mac", seal))
    return [
        Outgoing(topics.EVENTS, partition, b"tick", value, headers)
        for partition in range(partition_count)
    ]


class Ticker:
    """Writes a tick every `interval_s`; any number of tickers may run, the highest wins."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        clock: Clock,
        partition_count: int,
        secret: bytes,
        interval_s: float,
        ticked: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._count = partition_count
        self._secret = secret
        self._interval_s = interval_s
        self._ticked = ticked
        self._passed: Passed | None = None
        self._moved_at: dict[int, tuple[int, float]] = {}  # partition -> (prg, monotonic seconds)
        self.left_out: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until told to stop; an error is logged and the next tick tries again."""
        while not stop.is_set():
            try:
                await self.tick()
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("no tick: %s", error)
            try:
                await asyncio.wait_for(stop.wait(), self._interval_s)
            except TimeoutError:
                continue

    async def tick(self) -> int:
        """Write one tick into every partition; return its T."""
        metas = await asyncio.gather(*(self._store.meta(p) for p in range(self._count)))
        now = max(self._clock.now(), *(meta.now for meta in metas))
        if self._passed is None:
            self._passed = Passed(max(meta.clk for meta in metas))
        passed = self._passed.note(self._progress(metas, now))
        await self._publisher.publish(tick_records(now, passed, self._count, self._secret))
        self._passed.wrote(now)
        self._ticked()
        return passed

    def _progress(self, metas: Sequence[Meta], now: int) -> int:
        least, real = now, monotonic()
        for partition, meta in enumerate(metas):
            prg, since = self._moved_at.get(partition, (-1, real))
            if meta.prg != prg:
                self._moved_at[partition] = (meta.prg, real)
                self.left_out.discard(partition)
            elif real - since > LEFT_OUT_S and partition not in self.left_out:
                self.left_out.add(partition)
                log.error(
                    "partition %d makes no progress: absence is decided without it", partition
                )
            if partition not in self.left_out:
                least = min(least, meta.prg)
        return least
