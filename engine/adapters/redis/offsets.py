"""How far the inbox has been re-keyed, in Redis (ports.Offsets); or another topic, under `key`."""

from collections.abc import Callable

from engine.adapters.redis.store import pairs
from engine.adapters.redis.wire import Wires
from engine.keys import Space


class RedisOffsets:
    """Next offset and counts per inbox partition: one hash each."""

    def __init__(self, url: str, space: Space, *, key: Callable[[int], str] | None = None) -> None:
        self._space = space
        self._name = key or space.inbox_key
        self._wires = Wires(url, self._key)
        self._wire = self._wires.of

    async def get(self, partition: int) -> int:
        """Return the offset to read next."""
        reply = await self._wire(partition).call(b"HGET", self._key(partition), b"next")
        return int(reply or 0)

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None:
        """Note the offset to read next, and what was taken and refused on the way there."""
        key, wire = self._key(partition), self._wire(partition)
        await wire.call(b"HINCRBY", key, b"accepted", b"%d" % accepted)
        await wire.call(b"HINCRBY", key, b"dead", b"%d" % dead)
        await wire.call(b"HSET", key, b"next", b"%d" % offset)

    async def begin_with(self, other: "RedisOffsets", partition_count: int) -> None:
        """Begin where another key space stands; what is known here already stays."""
        for partition in range(partition_count):
            held = await other._wire(partition).ask(b"HGETALL", other._key(partition))
            for field, value in pairs(held):
                key = self._key(partition)
                await self._wire(partition).call(b"HSETNX", key, field, value)

    async def note(self, *, accepted: int, dead: int) -> None:
        """Note what came in by a door that keeps no offset, such as a file."""
        key, wire = self._key(0), self._wire(0)
        await wire.call(b"HINCRBY", key, b"accepted", b"%d" % accepted)
        await wire.call(b"HINCRBY", key, b"dead", b"%d" % dead)

    async def counts(self) -> tuple[int, int]:
        """Return (accepted, dead) over all partitions."""
        accepted = dead = 0
        for partition in range(self._space.partition_count):
            reply = await self._wire(partition).ask(b"HGETALL", self._key(partition))
            held = {bytes(k): int(v) for k, v in pairs(reply)}
            accepted += held.get(b"accepted", 0)
            dead += held.get(b"dead", 0)
        return accepted, dead

    async def close(self) -> None:
        """Close all connections."""
        await self._wires.close()

    def _key(self, partition: int) -> bytes:
        return self._name(partition).encode()
