"""Commands to Redis, packed by hand, for one partition's node; nothing is tried again.

A command is one join of ready parts: packing by the client library costs three times as much, and
it would retry by itself, which only the protocol may do (PROTOCOL.md 1.3, cache rule).
"""

import asyncio
from collections.abc import Callable, Sequence

from hiredis import ReplyError
from redis.exceptions import RedisError

from engine.adapters.redis.pipe import Pipe, Pipes, Reply
from engine.adapters.redis.slots import NOWHERE, SlotMap
from engine.errors import StoreError

HEADS_MAX = 8_192  # sizes of a part whose header lies ready: nearly all keys and states
_HEADS = [b"\r\n$%d\r\n" % size for size in range(HEADS_MAX)]
# Of a slot that moves or has moved, of a master that is none any more.
_NO_MASTER = ("MASTERDOWN", "READONLY")  # by a name, another may be at the same address by now
_ELSEWHERE = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", *_NO_MASTER)
_NOT_READY = ("LOADING", "NOAUTH", "WRONGPASS")


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
    """The way to the node that has `key`, which never retries and says what went wrong.

    Whatever goes wrong with the node or the slot, the slot map is read again before the next call:
    an answer of MOVED, ASK, TRYAGAIN or CLUSTERDOWN is an unknown outcome like any other, and the
    caller takes over again. A connection that was lost is an error once, to each that had it: what
    an owner remembers is not to be believed across a new one.
    """

    def __init__(
        self,
        slots: SlotMap | str,
        key: bytes = b"",
        *,
        functions: str = "",
        pipes: Pipes | None = None,
    ) -> None:
        self._slots = SlotMap(slots) if isinstance(slots, str) else slots
        self._key = key
        self._functions = functions
        self._pipes = pipes or Pipes(self._slots)
        self._pipe: Pipe | None = None
        self._view = NOWHERE
        self._loaded = False

    async def call(self, *parts: bytes) -> Reply:
        """Send one command and return its reply; StoreError when the outcome is not known."""
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
        """Close the connections, those of others on the same node too."""
        self._pipe = None
        self._pipes.close()

    async def _load(self) -> None:
        await self._call((b"FUNCTION", b"LOAD", b"REPLACE", self._functions.encode()))
        self._loaded = True

    async def _call(self, parts: Sequence[bytes]) -> Reply:
        try:
            pipe = self._pipe
            if pipe is None:
                pipe = await self._open()
            return await pipe.ask(pack(*parts))
        except ReplyError as error:
            raise self._refused(str(error)) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def _open(self) -> Pipe:
        async with asyncio.timeout(self._slots.timeout_s):
            self._view = await self._slots.view()
            self._pipe = await self._pipes.to(self._slots.node(self._view, self._key))
            return self._pipe

    def _refused(self, reply: str) -> StoreError:
        word = reply.partition(" ")[0]
        if word in _NO_MASTER and self._pipe is not None:
            self._pipe.close("it is no master any more")
        if word in _ELSEWHERE:
            self._lose()
            return StoreError(f"Redis sends us elsewhere: {reply}", code="store/moved")
        if word in _NOT_READY:
            return self._unreachable(reply)
        return StoreError(f"Redis refused: {reply}", code="store/refused")

    def _unreachable(self, error: object) -> StoreError:
        place = self._slots.name(self._view, self._key)
        self._lose()
        return StoreError(f"Redis at {place} did not answer: {error}", code="store/unreachable")

    def _lose(self) -> None:
        self._slots.forget(self._view)
        self._pipe = None


class Wires:
    """A wire to each partition's node, made when it is first asked for.

    `key`: any key of a partition; all of them have its hash tag, and so one slot.
    """

    def __init__(self, url: str, key: Callable[[int], bytes], *, functions: str = "") -> None:
        self.slots = SlotMap(url)
        self._pipes = Pipes(self.slots)
        self._key = key
        self._functions = functions
        self._wires: dict[int, Wire] = {}

    def of(self, partition: int) -> Wire:
        """Return the wire of a partition."""
        wire = self._wires.get(partition)
        if wire is None:
            key = self._key(partition)
            wire = self._wires[partition] = Wire(
                self.slots, key, functions=self._functions, pipes=self._pipes
            )
        return wire

    async def close(self) -> None:
        """Close all connections."""
        self._pipes.close()
        self._wires.clear()
