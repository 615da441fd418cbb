"""Faust as the shell of a consumer group: an app whose consumer feeds seats (D7).

Faust never sees single events. Its aiokafka driver is subclassed so that whole answers of the
broker go to the seat of their partition (seats.py), and from there in batches to the Handler. No
agents, no tables, no web server, no producer of Faust's. PROTOCOL.md 1.12 has the reasons.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any, TypeVar

import faust
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver

from engine.adapters.kafka.fetch import PacedConsumer
from engine.adapters.kafka.seats import Answer, Seats
from engine.events.record import Record
from engine.ports import Handler

COMMIT_S = 1.0
IDLE_S = 0.1
FULL_S = 0.01  # a partition whose queue has room again waits for so long at most
STOP_DRAIN_S = 2.0  # a batch that outlasts it waits for who is away; the next owner has it again
LEAVE_S = 2.0  # a broker that is away would keep who leaves for as long as a join may take
T = TypeVar("T")
log = logging.getLogger(__name__)


class _Boot(BootStrategy):  # type: ignore[misc]
    """The services of Faust that we use: the consumer in its thread, and the fetcher."""

    def server(self) -> Iterable[Any]:
        """Return them in order of start."""
        return [self.app.consumer, self.app._fetcher]


class App(faust.App):  # type: ignore[misc]
    """A Faust app with seats instead of agents and tables.

    `options`: of aiokafka's consumer. `drain_s`: for the batches under way at a rebalance.
    """

    BootStrategy = _Boot
    mundane_level = "debug"

    def __init__(
        self,
        bootstrap: str,
        group_id: str,
        topic: str,
        handler: Handler,
        *,
        options: Mapping[str, Any],
        drain_s: float,
    ) -> None:
        super().__init__(
            id=group_id,
            broker=f"kafka://{bootstrap.replace(',', ';kafka://')}",
            autodiscover=False,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            broker_commit_interval=COMMIT_S,
        )
        self.topic_name = topic
        self.seats = Seats(topic, handler, _Feed(self))
        self.joining_since: float | None = monotonic()
        self.consumer_options = options
        self.drain_s = drain_s

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Faust would make a folder for tables here; there are none."""

    async def on_started(self) -> None:
        """Faust would wait for the recovery of tables here."""

    def on_rebalance_start(self) -> None:
        """Called in the consumer's thread; Faust would reset tables and sensors here."""
        self.joining_since = monotonic()

    async def _stop_consumer(self) -> None:
        self.drain_s = min(self.drain_s, STOP_DRAIN_S)
        await self.consumer.give_up(list(self.seats.held))


class _Feed:
    """Seeks in the consumer's thread (seats.Feed)."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def seek(self, partition: int, offset: int) -> None:
        thread = self._app.consumer._thread
        await _across(thread.thread_loop, thread.resume_at, self._tp(partition), offset)

    async def log_start(self, partition: int) -> int:
        thread = self._app.consumer._thread
        return await _across(thread.thread_loop, thread.start_of, self._tp(partition))

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._app.topic_name, partition)


class Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread in which aiokafka fetches and beats its heart; methods below run inside it."""

    mundane_level = "debug"

    def _create_worker_consumer(self, transport: Any) -> PacedConsumer:
        return PacedConsumer(**self.app.consumer_options)

    async def on_thread_stop(self) -> None:
        """Leave the group and close the connections, with a broker that is away as well.

        Faust waits for a minute where this raises, and aiokafka's `stop` does: it cancels a fetch
        that pauses behind an error, and takes that for its own end (aiokafka issue 647).
        """
        try:
            async with asyncio.timeout(LEAVE_S):
                await super().on_thread_stop()
        except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
            log.info("the broker may not know yet that this member has left: %r", error)
        if self._consumer is not None:
            await self._consumer._client.close()

    async def fetch(
        self, wanted: Iterable[TopicPartition], timeout_s: float
    ) -> Mapping[TopicPartition, tuple[int, list[Any], int]]:
        """Return whole answers of the broker for partitions that have room."""
        consumer: PacedConsumer = self._ensure_consumer()
        return await consumer.answers(wanted, timeout_s)

    async def resume_at(self, tp: TopicPartition, offset: int) -> None:
        """Seek; a partition is paused from its assignment until here."""
        self._ensure_consumer().go_on_at(tp, offset)

    async def start_of(self, tp: TopicPartition) -> int:
        """Return the first offset that the log still holds."""
        return int((await self._ensure_consumer().beginning_offsets([tp]))[tp])

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Keep aiokafka from fetching at the committed offsets, which are for the lag only."""
        self._ensure_consumer().pause(*(TopicPartition(*tp) for tp in assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        consumer = self._ensure_consumer()
        ours = consumer.assignment()
        wanted = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items()}
        try:
            # Without a deadline a commit waits for a broker that is away, and a revoke for it.
            async with asyncio.timeout(COMMIT_S):
                await consumer.commit({tp: at for tp, at in wanted.items() if tp in ours})
        except (KafkaError, TimeoutError) as error:
            log.info("offsets not committed (they only show the lag): %r", error)
            return False
        return True


class _Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer in the main thread: feeds the seats, opens and closes them, commits."""

    app: App
    mundane_level = "debug"

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        seats = self.app.seats
        topic = self.app.topic_name
        while not (self.should_stop or fetcher.should_stop):
            seats.room.clear()
            hungry = [TopicPartition(topic, p) for p, seat in seats.held.items() if seat.is_hungry]
            if not hungry:
                await _wait(seats.room, IDLE_S)
                continue
            full = any(seat.is_full for seat in seats.held.values())
            try:
                found = await self._fetch(hungry, FULL_S if full else IDLE_S)
            except ConsumerStoppedError:
                return
            for tp, (begin, records, after) in found.items():
                seat = seats.held.get(tp.partition)
                if seat is not None:
                    seat.take(Answer(begin, _records(tp, records), after))

    async def _fetch(
        self, wanted: list[TopicPartition], timeout_s: float
    ) -> Mapping[TopicPartition, tuple[int, list[Any], int]]:
        thread = self._thread
        try:
            return await _across(thread.thread_loop, thread.fetch, wanted, timeout_s)
        except ConsumerStoppedError:
            raise
        except OffsetOutOfRangeError as error:
            for tp in error.args[0]:
                if tp.partition in self.app.seats.held:
                    self.app.seats.held[tp.partition].out_of_range()
        except KafkaError as error:
            log.warning("the group will try again: %r", error)
            await asyncio.sleep(IDLE_S)
        return {}

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Drain, commit, give up; others may take the partitions over when this returns."""
        await self.give_up([tp.partition for tp in revoked])

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Begin the take-overs; the group goes on meanwhile."""
        self.app.joining_since = None
        self._committed_offset.clear()
        await self.give_up(list(self.app.seats.held))  # nothing, unless a revoke was cut short
        if not self.app.should_stop:  # who leaves would give these up no more
            self.app.seats.open(tp.partition for tp in assigned)

    async def give_up(self, partitions: list[int]) -> None:
        """Drain, commit and tell the handler."""
        if not partitions:
            return
        await self.app.seats.drain(partitions, timeout_s=self.app.drain_s)
        await self.wait_empty()
        await self.app.seats.give_up(partitions)

    async def wait_empty(self) -> None:
        """Commit twice: the first call may only wait for a commit that began before the drain."""
        await self.commit()
        await self.commit()

    async def perform_seek(self) -> None:
        """Seats seek for themselves, to where the store is; never to a committed offset."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        return (faust.types.TP(self.app.topic_name, p) for p in list(self.app.seats.held))

    def _new_offset(self, tp: Any) -> int | None:
        seat = self.app.seats.held.get(tp.partition)
        return seat.done if seat is not None else None

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Faust would look for slow streams here; the watchdog looks for more."""

    # Faust's queue between the threads ends before its callbacks do, and a stop would hang.
    async def threadsafe_partitions_revoked(self, receiver_loop: Any, revoked: set[Any]) -> None:
        await _across(self.loop, self.on_partitions_revoked, revoked)

    async def threadsafe_partitions_assigned(
        self, receiver_loop: Any, assigned: set[Any], generation_id: int = 0
    ) -> None:
        await _across(self.loop, self.on_partitions_assigned, assigned, generation_id)


class _Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka driver with our consumer."""

    Consumer = _Consumer


def _records(tp: TopicPartition, found: list[Any]) -> list[Record]:
    topic, partition = tp
    return [
        Record(topic, partition, r.offset, r.key or b"", r.value or b"", r.headers, r.timestamp)
        for r in found
    ]


async def _across(
    loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[T]], *args: Any
) -> T:
    """Call a coroutine function in the event loop of another thread and wait for its result."""

    async def call() -> T:
        return await function(*args)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
