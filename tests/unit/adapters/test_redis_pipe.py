"""One connection for all partitions: what leaves together, who gets which reply, how it ends."""

import asyncio
from collections.abc import Awaitable, Callable

import hiredis
import pytest

from engine.adapters.redis.slots import SlotMap
from engine.adapters.redis.wire import Wire, Wires, pack
from engine.errors import StoreError

OURS = (b"GET", b"SET")


class Redis:
    """A server that answers GET with the key, and SET when it is told to; knows what came when."""

    def __init__(self) -> None:
        self.reads: list[list[bytes]] = []  # keys of our commands, by what came at once
        self.connections = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.append(writer)
        commands = hiredis.Reader()
        counted = False
        while data := await reader.read(1 << 20):
            commands.feed(data)
            some = []
            while command := commands.gets():
                some.append(command)
            mine = [command for command in some if command[0] in OURS]
            if mine:
                self.reads.append([command[1] for command in mine])
                self.connections += not counted
                counted = True
            for command in some:
                if command[0] == b"SET":
                    await self.answers.wait()
                writer.write(self._reply(command))

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()

    def _reply(self, command: list[bytes]) -> bytes:
        if command[0] == b"CLUSTER":
            return b"-ERR This instance has cluster support disabled\r\n"
        if command[1] == b"bad":
            return b"-ERR no\r\n"
        return pack(command[1]).partition(b"\r\n")[2] if command[0] == b"GET" else b"+OK\r\n"


class Written:
    """A transport that keeps what is written to it."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self.abort = transport.abort
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write, and keep."""
        self.parts.append(data)
        self._transport.write(data)


def with_redis(
    scenario: Callable[[Redis, Wires], Awaitable[None]], *, timeout_s: float = 30.0
) -> None:
    """Run a scenario on wires to such a server."""

    async def run() -> None:
        redis = Redis()
        server = await asyncio.start_server(redis.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        wires = Wires(f"redis://127.0.0.1:{port}/0", lambda p: b"{%d}" % p)
        wires.slots.timeout_s = timeout_s
        try:
            async with asyncio.timeout(60):
                await scenario(redis, wires)
        finally:
            await wires.close()
            redis.cut()
            server.close()

    asyncio.run(run())


def test_partitions_of_one_node_share_a_connection_and_a_write() -> None:
    async def scenario(redis: Redis, wires: Wires) -> None:
        await asyncio.gather(*(wires.of(p).call(b"GET", b"first") for p in range(8)))
        redis.reads.clear()
        (pipe,) = wires._pipes._open.values()
        written = Written(pipe._transport)
        pipe._transport = written  # type: ignore[assignment]
        keys = [b"%d" % p for p in range(8)]
        asked = (wires.of(p).call(b"GET", key) for p, key in enumerate(keys))
        assert await asyncio.gather(*asked) == keys, "each has its own reply"
        assert len(written.parts) == 1
        assert redis.connections == 1

    with_redis(scenario)


def test_one_that_is_refused_leaves_the_others_alone() -> None:
    async def scenario(redis: Redis, wires: Wires) -> None:
        bad, good = await asyncio.gather(
            wires.of(1).call(b"GET", b"bad"), wires.of(2).call(b"GET", b"2"), return_exceptions=True
        )
        assert isinstance(bad, StoreError) and bad.code == "store/refused"
        assert good == b"2"
        assert await wires.of(1).call(b"GET", b"1") == b"1"
        assert redis.connections == 1

    with_redis(scenario)


def test_the_reply_of_a_call_that_was_cancelled_is_nobodys() -> None:
    async def scenario(redis: Redis, wires: Wires) -> None:
        redis.answers.clear()
        given_up = asyncio.create_task(wires.of(1).call(b"SET", b"slow", b""))
        while [b"slow"] not in redis.reads:
            await asyncio.sleep(0.01)
        given_up.cancel()
        waiting = [asyncio.create_task(wires.of(p).call(b"GET", b"%d" % p)) for p in (1, 2)]
        await asyncio.sleep(0)
        redis.answers.set()
        assert await asyncio.gather(*waiting) == [b"1", b"2"]
        assert redis.connections == 1

    with_redis(scenario)


def test_a_lost_connection_is_told_once_to_each_that_had_it() -> None:
    async def scenario(redis: Redis, wires: Wires) -> None:
        await asyncio.gather(*(wires.of(p).call(b"GET", b"first") for p in (1, 2)))
        redis.answers.clear()
        under_way = asyncio.create_task(wires.of(1).call(b"SET", b"slow", b""))
        while [b"slow"] not in redis.reads:
            await asyncio.sleep(0.01)
        redis.cut()
        with pytest.raises(StoreError, match=r"did not answer.* closed: by Redis") as caught:
            await under_way
        assert caught.value.code == "store/unreachable"
        assert await wires.of(1).call(b"GET", b"1") == b"1", "by a new one"
        with pytest.raises(StoreError, match="closed"):  # it may remember what is so no more
            await wires.of(2).call(b"GET", b"2")
        assert await wires.of(2).call(b"GET", b"2") == b"2"

    with_redis(scenario)


def test_who_waits_too_long_does_not_know_and_the_next_has_a_new_connection() -> None:
    async def scenario(redis: Redis, wires: Wires) -> None:
        await wires.of(1).call(b"GET", b"first")
        redis.answers.clear()
        with pytest.raises(StoreError, match="no answer within 1 s"):
            await wires.of(1).call(b"SET", b"slow", b"")
        redis.answers.set()
        assert await wires.of(1).call(b"GET", b"1") == b"1"
        assert redis.connections == 2

    with_redis(scenario, timeout_s=1.0)


def test_nobody_there_is_said_with_the_address() -> None:
    async def ask() -> None:
        await Wire(SlotMap("redis://user:secret@127.0.0.1:1/0")).call(b"GET", b"k")

    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/0 did not answer") as caught:
        asyncio.run(ask())
    assert "secret" not in str(caught.value)
