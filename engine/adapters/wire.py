"""One connection to Redis: commands packed by hand, replies by hiredis, nothing tried again.

A command is one join of ready parts: packing by the client library costs three times as much, and
it would retry by itself, which only the protocol may do (PROTOCOL.md 1.3, cache rule).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from engine.adapters.redis_slots import SlotMap, View
from engine.errors import StoreError

Reply = Any
HEADS_MAX = 8_192  # sizes of a part whose header lies ready: nearly all keys and states
_HEADS = [b"\r\n$%d\r\n" % size for size in range(HEADS_MAX)]
# Of a slot that moves or has moved (MovedError is an AskError), of a master that is none any more.
_ELSEWHERE = (AskError, TryAgainError, ClusterDownError, MasterDownError, ReadOnlyError)


def pack(*parts: bytes) -> bytes:
    """Return a command in RESP: an array of bulk strings.

    >>> pack(b"GET", b"k")
    b'*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nk\\r\\n'
    """
    out = [b"*%d" % len(parts)]
    for part in parts:
        size = len(part)
        out += (_HEADS[size] if size < HEADS_MAX else b"\r\n$%d\r\n" % size, part)
    out.append(b"\r\n")
    return b"".join(out)


class Wire:
    """A connection to the node that has `key`, which never retries and says what went wrong.

    Whatever goes wrong with the node or the slot, the connection is given up and the slot map is
    read again before the next call: an answer of MOVED, ASK, TRYAGAIN or CLUSTERDOWN is an unknown
    outcome like any other, and the caller takes over again.
    """

    def __init__(self, slots: SlotMap | str, key: bytes = b"", *, functions: str = "") -> None:
        self._slots = SlotMap(slots) if isinstance(slots, str) else slots
        self._key = key
        self._functions = functions
        self._connection: Any = None
        self._view: View
        self._busy = asyncio.Lock()
        self._loaded = False

    async def call(self, *parts: bytes) -> Reply:
        """Send one command and return its reply; StoreError when the outcome is not known."""
        async with self._busy:
            return await self._call(parts)

    async def ask(self, *parts: bytes) -> Reply:
        """Send a command that only reads, once more if its node is not the slot's any more.

        Not for an owner: what it remembers is not to be believed across a new connection.
        """
        try:
            return await self.call(*parts)
        except StoreError as error:
            if error.code == "store/refused":
                raise
            return await self.call(*parts)

    async def function(self, *parts: bytes) -> Reply:
        """Call a Function of ours; loads the library first, and again where a node has it not.

        A node that has just joined has none, nor has a replica that was promoted too early.
        """
        async with self._busy:
            if not self._loaded:
                await self._load()
            try:
                return await self._call((b"FCALL", *parts))
            except StoreError as error:
                if "Function not found" not in str(error):
                    raise
                await self._load()
                return await self._call((b"FCALL", *parts))

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
            self._connection = None

    async def _load(self) -> None:
        await self._call((b"FUNCTION", b"LOAD", b"REPLACE", self._functions.encode()))
        self._loaded = True

    async def _call(self, parts: Sequence[bytes]) -> Reply:
        connection = self._connection
        if connection is None:
            connection, self._view = await self._slots.open(self._key)
            self._connection = connection
        try:
            # One deadline for all: the client's own is a task for each command that it sends.
            async with asyncio.timeout(self._slots.timeout_s):
                await connection.connect()
                await connection.send_packed_command(pack(*parts), check_health=False)
                return await connection.read_response()
        except asyncio.CancelledError:
            await self.close()  # a reply may still come: never reuse
            raise
        except _ELSEWHERE as error:
            await self._lose()
            raise StoreError(f"Redis sends us elsewhere: {error}", code="store/moved") from error
        except ResponseError as error:
            raise StoreError(f"Redis refused: {error}", code="store/refused") from error
        except (RedisError, OSError, TimeoutError) as error:
            place = self._slots.name(self._view, self._key)
            await self._lose()
            raise StoreError(
                f"Redis at {place} did not answer: {error}", code="store/unreachable"
            ) from error

    async def _lose(self) -> None:
        self._slots.forget(self._view)
        await self.close()


class Wires:
    """A wire to each partition's node, opened when it is first asked for.

    `key`: any key of a partition; all of them have its hash tag, and so one slot.
    """

    def __init__(self, url: str, key: Callable[[int], bytes], *, functions: str = "") -> None:
        self.slots = SlotMap(url)
        self._key = key
        self._functions = functions
        self._wires: dict[int, Wire] = {}

    def of(self, partition: int) -> Wire:
        """Return the wire of a partition."""
        wire = self._wires.get(partition)
        if wire is None:
            key = self._key(partition)
            wire = self._wires[partition] = Wire(self.slots, key, functions=self._functions)
        return wire

    async def close(self) -> None:
        """Close all connections."""
        for wire in self._wires.values():
            await wire.close()
        self._wires.clear()
