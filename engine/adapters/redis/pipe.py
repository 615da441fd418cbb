"""Connections to the nodes of Redis, each shared by the partitions that live there.

What the partitions of a worker ask in one turn of the event loop leaves in one write, and the
answers come back in one read: at live rates, where batches are small, each write and each wake-up
costs more than what it carries. Redis answers in order, so nobody waits for anything that it would
not have done first anyway.
"""

import asyncio
from collections import defaultdict, deque
from typing import Any

import hiredis

from engine.adapters.redis.slots import Address, SlotMap

Reply = Any
_NOTHING = object()  # a whole reply is not there yet


class Lost(OSError):
    """The connection ended: what was under way may have been done or not."""


class Pipes:
    """The connections of one process to the nodes of one Redis, opened when first asked for."""

    def __init__(self, slots: SlotMap) -> None:
        self._slots = slots
        self._open: dict[Address | None, Pipe] = {}
        self._opening: dict[Address | None, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def to(self, node: Address | None) -> "Pipe":
        """Return the connection to a node; what the client library raises if there is none."""
        async with self._opening[node]:  # one that does not answer keeps nobody else waiting
            pipe = self._open.get(node)
            if pipe is None or pipe.is_lost:
                pipe = Pipe(self._slots.timeout_s)
                await pipe.open(self._slots.connection(node))
                self._open[node] = pipe
        return pipe

    def close(self) -> None:
        """Close all of them."""
        for pipe in self._open.values():
            pipe.close()
        self._open.clear()


class Pipe(asyncio.Protocol):
    """One connection; `is_lost` tells that nothing more comes of it.

    The client library connects, authenticates and chooses the database; from then on its transport
    talks to us.
    """

    def __init__(self, timeout_s: float) -> None:
        self.is_lost = False
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()  # since when, for whom
        self._out: list[bytes] = []
        self._check: asyncio.TimerHandle | None = None
        self._transport: asyncio.WriteTransport
        self._writer: asyncio.StreamWriter  # closes the transport when it is collected

    async def open(self, connection: Any) -> None:
        """Connect, and take the transport over."""
        await connection.connect()
        self._writer, connection._writer = connection._writer, None
        self._transport = self._writer.transport
        self._transport.set_protocol(self)

    def ask(self, command: bytes) -> "asyncio.Future[Reply]":
        """Return the reply to come: what Redis refuses is set as an error of hiredis, or Lost."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self.is_lost:
            future.set_exception(Lost("the connection is closed"))
            return future
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        self._waiting.append((self._loop.time(), future))
        if self._check is None:
            self._check = self._loop.call_later(self._timeout_s, self._look)
        return future

    def close(self, why: str = "we closed the connection") -> None:
        """Close it; whoever waits is told that nobody knows."""
        self.is_lost = True
        self._out.clear()
        self._transport.abort()
        if self._check is not None:
            self._check.cancel()
            self._check = None
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Lost(why))

    def data_received(self, data: bytes) -> None:
        """Hand out the replies, in the order of asking; nobody may wait any more for some."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                _, future = self._waiting.popleft()
                if future.done():
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self.close(f"no Redis protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed it, or the network did."""
        self.close(f"the connection was closed: {exc or 'by Redis'}")

    def _flush(self) -> None:
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _look(self) -> None:
        """Give up when the oldest call has waited for too long."""
        self._check = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] + self._timeout_s - self._loop.time()
        if left_s <= 0:
            self.close(f"no answer within {self._timeout_s:g} s")
        else:
            self._check = self._loop.call_later(left_s, self._look)
