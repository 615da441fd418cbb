"""The partitions that a member of a group holds: each is taken over, fed and given up on its own.

One task per partition, so that a slow one never holds up the others. Answers of the broker are let
through in sequence only: a fetch that spans a rebalance can skip records without a word
(PROTOCOL.md 1.12). Offsets that an answer itself leaves out were never a reader's: markers of
transactions, and what was written in one that was given up.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from engine.errors import EngineError
from engine.events.record import Record
from engine.ports import Handler

BATCH_MAX = 200
QUEUE_MAX = 1_000  # records; one answer of the broker may still come on top of them
REPAIR_S = 0.2
REPAIR_S_MAX = 5.0
STILL_S = 30.0  # a partition that the handler left standing is tried again after so long
CANCEL_S = 1.0
log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What the broker has from offset `begin` on; `after`: where it goes on."""

    begin: int
    records: Sequence[Record]
    after: int


class Feed(Protocol):
    """Where a member's records come from."""

    async def seek(self, partition: int, offset: int) -> None:
        """Give the records from `offset` on."""

    async def log_start(self, partition: int) -> int:
        """Return the first offset that the log still holds."""


class Seat:
    """One partition in this member's hands.

    `done`: the offset after the last record that the handler has dealt with, None before the first.
    `arrived_at`, `looked_at`: monotonic seconds, for the watchdog.
    """

    def __init__(
        self,
        partition: int,
        handler: Handler,
        feed: Feed,
        *,
        topic: str,
        on_room: Callable[[], None],
    ) -> None:
        self.partition = partition
        self._name = f"{topic}/{partition}"
        self.done: int | None = None
        self.arrived_at = monotonic()
        self.looked_at = 0.0
        self._handler = handler
        self._feed = feed
        self._on_room = on_room
        self._queue: list[Record] = []
        self._expected: int | None = None  # None: whatever comes is of an earlier time
        self._missing: int | None = None  # where a hole begins
        self._again = False  # only a new take-over helps
        self._repair_s = REPAIR_S
        self._wake = asyncio.Event()
        self._left = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"partition-{partition}")

    @property
    def is_hungry(self) -> bool:
        """Whether records may come: the place is known, and the queue has room."""
        return self._expected is not None and len(self._queue) < QUEUE_MAX

    @property
    def is_full(self) -> bool:
        """Whether records would come if there were room."""
        return len(self._queue) >= QUEUE_MAX

    @property
    def awaited(self) -> int | None:
        """The offset that this partition waits for with an empty queue, None if it has work."""
        return None if self._queue else self._expected

    def take(self, answer: Answer) -> None:
        """Queue what continues the sequence; note a hole, drop what was there before."""
        expected = self._expected
        if expected is None or answer.after <= expected:
            return
        if answer.begin > expected:
            self._missing = expected
            self._expected = None
        else:
            self._queue += [record for record in answer.records if record.offset >= expected]
            self._expected = answer.after
            self.arrived_at = monotonic()
        self._wake.set()

    def out_of_range(self) -> None:
        """The log does not hold the offset that comes next: only a take-over can tell why."""
        self._expected = None
        self._again = True
        self._wake.set()

    async def leave(self, timeout_s: float) -> None:
        """Let the batch under way end, for `timeout_s` at most; no other begins."""
        self._left.set()
        self._wake.set()
        _, running = await asyncio.wait({self._task}, timeout=timeout_s)
        if running:
            log.warning("%s: a batch outlasts the rebalance: cancelled", self._name)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CANCEL_S)

    async def _run(self) -> None:
        while not self._left.is_set():
            try:
                offset = await self._handler.assigned(self.partition)
                if offset is None:
                    await self._pause(STILL_S)
                else:
                    await self._read_from(offset)
                    await self._serve()
            except (EngineError, OSError, TimeoutError) as error:  # of the world: it says where
                log.warning("%s: %s; again in %.1f s", self._name, error, self._repair_s)
                await self._begin_again()
            except Exception:
                log.exception("%s: again in %.1f s", self._name, self._repair_s)
                await self._begin_again()

    async def _begin_again(self) -> None:
        self._stop_reading()
        await self._pause(self._repair_s)
        self._repair_s = min(self._repair_s * 2, REPAIR_S_MAX)

    async def _serve(self) -> None:
        """Hand over batch after batch, until it is time to leave or to take over again."""
        while not self._left.is_set() and not self._again:
            if self._queue:
                await self._hand_over()
            elif self._missing is not None:
                await self._mend(self._missing)
            else:
                if self._expected is not None:
                    self.done = self._expected  # a marker behind the last record is done too
                self._wake.clear()
                await self._wake.wait()

    async def _hand_over(self) -> None:
        batch = self._queue[:BATCH_MAX]
        was_full = self.is_full
        del self._queue[:BATCH_MAX]
        if was_full and not self.is_full:
            self._on_room()
        after = await self._handler.batch(self.partition, batch)
        self.done = after
        self._repair_s = REPAIR_S
        if after != batch[-1].offset + 1:
            await self._read_from(after)

    async def _mend(self, missing: int) -> None:
        start = await self._feed.log_start(self.partition)
        if start > missing:
            self._again = True  # retention was faster than we
            return
        log.warning("%s: a hole at offset %d, reading again", self._name, missing)
        await self._pause(self._repair_s)
        self._repair_s = min(self._repair_s * 2, REPAIR_S_MAX)
        await self._read_from(missing)

    async def _read_from(self, offset: int) -> None:
        self._stop_reading()
        await self._feed.seek(self.partition, offset)
        self._expected = offset
        self.done = offset
        self.arrived_at = monotonic()
        self._on_room()

    def _stop_reading(self) -> None:
        self._queue.clear()
        self._expected = None
        self._missing = None
        self._again = False

    async def _pause(self, wait_s: float) -> None:
        try:
            await asyncio.wait_for(self._left.wait(), wait_s)
        except TimeoutError:
            return


class Seats:
    """All partitions of `topic` that this member holds; `room` is set when one may be fed again."""

    def __init__(self, topic: str, handler: Handler, feed: Feed) -> None:
        self.room = asyncio.Event()
        self.held: dict[int, Seat] = {}
        self._topic = topic
        self._handler = handler
        self._feed = feed

    def open(self, partitions: Iterable[int]) -> None:
        """Begin to take partitions over; each is fed once it is ready."""
        for partition in partitions:
            assert partition not in self.held
            self.held[partition] = Seat(
                partition, self._handler, self._feed, topic=self._topic, on_room=self.room.set
            )

    async def drain(self, partitions: Iterable[int], *, timeout_s: float) -> None:
        """End the batches under way; the partitions stay held, for their offsets."""
        seats = [self.held[partition] for partition in partitions if partition in self.held]
        await asyncio.gather(*(seat.leave(timeout_s) for seat in seats))

    async def give_up(self, partitions: Iterable[int]) -> None:
        """Tell the handler that others may own these partitions now."""
        left = [partition for partition in partitions if self.held.pop(partition, None)]
        told = await asyncio.gather(*map(self._handler.revoked, left), return_exceptions=True)
        for partition, error in zip(left, told, strict=True):
            if isinstance(error, BaseException):
                log.error("%s/%d: on giving it up: %r", self._topic, partition, error)
