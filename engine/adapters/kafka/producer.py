"""Kafka outside of consumer groups: writing records.

All output of the engine goes through here: an idempotent producer, every replica's ack, and a
partition that we name ourselves (WIRE.md, Tests by what they need; Ids).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from threading import Lock, Thread
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from engine.errors import LogError
from engine.events.record import Outgoing

TIMEOUT_S = 8.0  # a record without an ack for so long is given up, and all behind it
CLOSE_S = 1.0  # for acks, when no more records come
LINGER_MS = 5  # 0 is one request per event, and the broker falls behind at 5,000 events/s
KNOWN_S = 3_600.0  # then it is asked again: a broker forgets a silent producer after a day
POLL_S = 0.1  # how late a timeout may be seen; acks wake the poll at once
RECORDS_MAX = 200_000  # in the producer's queue
QUEUE_KB_MAX = 262_144
OnAck = Callable[[LogError | None], None]
Place = tuple[str, int]  # topic, partition
log = logging.getLogger(__name__)


class KafkaPublisher:
    """Writes records in order per destination and knows when the broker has them (ports.Publisher).

    The first record that fails, or waits longer than `timeout_s`, takes all that are under way
    with it: the producer is emptied and thrown away. So what is missing of a `publish` is a suffix
    per destination, never a middle, also when a record behind the failed one could still have been
    sent. An empty value is written as a tombstone (null). `names`: what the broker calls a topic,
    where it is not what we call it.

    Others are taken along once: destinations that gave no ack in time are sick, and what goes there
    has a producer of its own until it arrives again.

    The first record that a producer sends to a place goes alone (A45).
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        names: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        linger_ms: int = LINGER_MS,
    ) -> None:
        self._names = names or {}
        self._timeout_s = timeout_s
        self._lines: dict[bool, _Line] = {}  # is it for what is sick?
        self._sick: set[Place] = set()
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            # Broker errors that would leave a hole stop the producer instead.
            "enable.gapless.guarantee": True,
            "acks": "all",
            "linger.ms": linger_ms,
            "request.timeout.ms": int(timeout_s * 1000),
            # Ours comes first: the client's own timeout drops single records out of the middle.
            "message.timeout.ms": 0,
            "socket.connection.setup.timeout.ms": 5_000,
            "reconnect.backoff.max.ms": 500,  # the default of 10 s outlasts a broker's restart
            "topic.metadata.propagation.max.ms": int(timeout_s * 500),
            "queue.buffering.max.messages": RECORDS_MAX,
            "queue.buffering.max.kbytes": QUEUE_KB_MAX,
            "log_level": 3,  # errors; it would warn of the guarantee above at each start
        }

    async def connect(self) -> None:
        """Begin now: a new producer waits half a second for its id, before its first record."""
        self._held(sick=False).let_go()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Produce in order per destination; return when all are acknowledged (ports.Publisher)."""
        if not records:
            return
        places = {(record.topic, record.partition) for record in records}
        line = await self._free_line(places)
        if fresh := line.fresh(places):
            firsts, rest = _parted(records, fresh)
            await self._send(line, fresh, firsts, begun=line.begin(fresh))
            await self.publish(rest)
        else:
            await self._send(line, places, records)

    async def _free_line(self, places: Set[Place]) -> "_Line":
        """Return the producer for these places, held, once no first record is under way to them."""
        while True:
            line = self._held(sick=not self._sick.isdisjoint(places))
            begun = [line.beginning[place] for place in places if place in line.beginning]
            if not begun:
                return line
            line.let_go()
            await asyncio.wait(begun)

    async def _send(
        self,
        line: "_Line",
        places: Set[Place],
        records: Sequence[Outgoing],
        *,
        begun: "asyncio.Future[None] | None" = None,
    ) -> None:
        """Produce with a line that is held, and let it go; `begun`: these are first records."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refusal: LogError | None = None

        def on_end(error: LogError | None) -> None:
            _resolve(answer, error)
            if begun is not None:
                line.end_begin(places, begun, arrived=error is None and refusal is None)

        waiting = _Waiting(line, len(records), on_end)
        try:
            for index, record in enumerate(records):
                try:
                    line.produce(record, waiting)
                except (KafkaException, BufferError, ValueError) as error:
                    refusal = _refused(record, error)
                    line.cut(waiting, index)
                    break
        finally:
            line.let_go()
        try:
            if refusal is None or waiting.expected > 0:
                await answer
        finally:
            self._sick |= waiting.overdue
        if refusal is not None:
            raise refusal
        self._sick -= places

    async def close(self) -> None:
        """Wait for the acks under way, at most CLOSE_S, and let the connections go."""
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            line.closing = True
        for line in lines:
            await asyncio.to_thread(line.thread.join, CLOSE_S)
            line.broken = True  # who waits still is told that nobody knows
            await asyncio.to_thread(line.thread.join)

    def _held(self, *, sick: bool) -> "_Line":
        """Return a line that takes records and serves until it is let go."""
        line = self._lines.get(sick)
        if line is None or not line.holds():
            loop = asyncio.get_running_loop()
            line = _Line(self._config, self._names, self._timeout_s, loop)
            self._lines[sick] = line
        return line


class _Waiting:
    """Records of one call that are not acknowledged yet; counted in the poll's thread only.

    `overdue`: where those went that had waited for long when the producer was thrown away.
    """

    __slots__ = ("acked", "ended", "error", "expected", "line", "on_end", "overdue", "since")

    def __init__(self, line: "_Line", expected: int, on_end: OnAck) -> None:
        self.line = line
        self.expected = expected
        self.acked = 0
        self.error: LogError | None = None
        self.ended = False
        self.on_end = on_end
        self.overdue: set[Place] = set()
        self.since = monotonic()

    def on_delivery(self, error: Any, message: Any) -> None:
        """Count one answer of the broker; an ack without an offset is a guess of the library's."""
        self.acked += 1
        if error is None and message.offset() is None:
            error = KafkaError(KafkaError._FAIL, "an ack without an offset")
        if error is not None and self.line.blames(self):
            self.overdue.add((message.topic(), message.partition()))
        if error is not None and self.error is None:
            self.error = self.line.lost(message, error)
            self.line.broken = True
        if self.acked == self.expected:
            self.line.end(self)


class _Line:
    """One producer and the thread that collects its acks; `broken`: let go of all, take no more.

    Who produces holds it meanwhile, so that its thread does not end between their look at `broken`
    and their last record: nobody would ever tell what became of that. A new one is held.
    `beginning`: where a first record is on its way, and when that has ended.
    """

    def __init__(
        self,
        config: dict[str, Any],
        names: Mapping[str, str],
        timeout_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._names = names
        self.broken = False
        self.closing = False
        self.beginning: dict[Place, asyncio.Future[None]] = {}
        self._known: set[Place] = set()  # where the broker has our sequence numbers
        self._known_since = monotonic()
        self._timeout_s = timeout_s
        self._loop = loop
        self._waiting: deque[_Waiting] = deque()
        self._cut: deque[_Waiting] = deque()
        self._ended: list[_Waiting] = []
        self._overdue = False
        self._holding = Lock()
        self._holding.acquire()
        self._producer = Producer(config, logger=log)
        self.thread = Thread(target=self._serve, name="kafka-acks", daemon=True)
        self.thread.start()

    def holds(self) -> bool:
        """Tell whether it takes records; if so its thread goes on at least until `let_go`."""
        self._holding.acquire()
        if self.broken:
            self._holding.release()
            return False
        return True

    def let_go(self) -> None:
        """Let its thread end when all is answered."""
        self._holding.release()

    def fresh(self, places: Set[Place]) -> Set[Place]:
        """Return where the broker may know nothing of this producer."""
        if monotonic() - self._known_since > KNOWN_S:
            self._known_since = monotonic()
            self._known.clear()
        return places - self._known

    def begin(self, places: Set[Place]) -> "asyncio.Future[None]":
        """Let nothing else be sent to these places until `end_begin`."""
        begun: asyncio.Future[None] = self._loop.create_future()
        self.beginning |= dict.fromkeys(places, begun)
        return begun

    def end_begin(
        self, places: Set[Place], begun: "asyncio.Future[None]", *, arrived: bool
    ) -> None:
        """The broker has the first records (or not): what waits behind them may go."""
        for place in places:
            del self.beginning[place]
        if arrived:
            self._known |= places
        begun.set_result(None)

    def produce(self, record: Outgoing, waiting: _Waiting) -> None:
        """Queue one record; its answer goes to `waiting`."""
        self._producer.produce(
            self._names.get(record.topic, record.topic),
            value=record.value or None,
            key=record.key,
            partition=record.partition,
            headers=list(record.headers) or None,
            on_delivery=waiting.on_delivery,
        )
        if not self._waiting or self._waiting[-1] is not waiting:
            self._waiting.append(waiting)

    def cut(self, waiting: _Waiting, expected: int) -> None:
        """Expect fewer answers, since the rest could not even be queued."""
        waiting.expected = expected
        self._cut.append(waiting)

    def end(self, waiting: _Waiting) -> None:
        """All answers are in: tell the event loop after this poll."""
        if not waiting.ended:
            waiting.ended = True
            self._ended.append(waiting)

    def blames(self, waiting: _Waiting) -> bool:
        """Tell whether it is for the likes of these that all must go: they waited for long."""
        return self._overdue and monotonic() - waiting.since > self._timeout_s / 2

    def lost(self, message: Any, error: Any) -> LogError:
        """Return the error of a record without an ack."""
        why = f"no ack within {self._timeout_s:g} s" if self._overdue else error.str()
        return LogError(
            f"the broker did not take the record: {why}",
            code="log/timeout" if self._overdue else "log/refused",
            where=f"{message.topic()}/{message.partition()}",
        )

    def _serve(self) -> None:
        while not self._is_done():
            try:
                self._producer.poll(POLL_S)
            except KafkaException as error:  # fatal errors are raised here, once
                log.warning("the producer gives up what is under way: %s", error)
                self.broken = True
            while self._cut:
                waiting = self._cut.popleft()
                if waiting.acked == waiting.expected:
                    self.end(waiting)
            self._tell()
            if not self.broken and self._is_overdue():
                self.broken = self._overdue = True
            if self.broken:
                self._producer.purge(in_queue=True, in_flight=True)
        self._tell()

    def _is_done(self) -> bool:
        if not (self.closing or self.broken):
            return False
        with self._holding:
            return not len(self._producer) and not self._cut

    def _tell(self) -> None:
        ended, self._ended = self._ended, []
        if ended and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, ended)

    def _is_overdue(self) -> bool:
        waiting = self._waiting
        while waiting and waiting[0].ended:
            waiting.popleft()
        return bool(waiting) and monotonic() - waiting[0].since > self._timeout_s


def _settle(ended: Sequence[_Waiting]) -> None:
    for waiting in ended:
        waiting.on_end(waiting.error)


def _parted(
    records: Sequence[Outgoing], places: Set[Place]
) -> tuple[list[Outgoing], list[Outgoing]]:
    """Return the first record for each of these places, and the rest."""
    firsts: dict[Place, Outgoing] = {}
    rest = []
    for record in records:
        place = (record.topic, record.partition)
        if place in places and place not in firsts:
            firsts[place] = record
        else:
            rest.append(record)
    return list(firsts.values()), rest


def _resolve(answer: "asyncio.Future[None]", error: LogError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)


def _refused(record: Outgoing, error: Exception) -> LogError:
    full = isinstance(error, BufferError)
    return LogError(
        f"the producer did not take a record of {len(record.value)} bytes: {error}",
        code="log/full" if full else "log/refused",
        where=f"{record.topic}/{record.partition}",
    )
