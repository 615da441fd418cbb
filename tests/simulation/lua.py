"""Redis' side of a storm as it really is: the adapters' own commands and the shipped Functions.

The server is `fakeredis` with Lua by `lupa`. It answers at once, so a seed must leave the very same
trace as with the store in memory.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import fakeredis
import msgspec
from redis.exceptions import RedisError

from engine.adapters.redis import ledger as redis_ledger
from engine.adapters.redis import store as redis_store
from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.store import RedisStore, decode_meta, pairs
from engine.adapters.redis.wire import Wire
from engine.delivery.model import Job
from engine.errors import StoreError
from engine.keys import Space
from engine.outcome import Meta
from tests.simulation.faults import Slots

_job = msgspec.msgpack.Decoder(Job).decode


class LuaWire(Wire):
    """A connection to the server in this process."""

    def __init__(self, client: Any, functions: str) -> None:
        self._client = client
        self._functions = functions
        self._loaded = False

    async def _call(self, parts: Sequence[bytes]) -> Any:
        try:
            return self._client.execute_command(*parts)
        except RedisError as error:
            raise StoreError(f"Redis refused: {error}", code="store/refused") from error

    async def close(self) -> None:
        """Nothing to close."""


class LuaSlots(Slots):
    """The same as in memory, in Redis (simulation.faults.Slots)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        super().__init__(loop, count)
        self._space = Space("storm", count)
        self._client = fakeredis.FakeRedis()
        self._client.response_callbacks.clear()  # replies as they come over the wire
        store = RedisStore("redis://simulated", self._space)
        one = LuaWire(self._client, redis_store._FUNCTIONS)
        store._wire = lambda partition: one
        self.store = store  # type: ignore[assignment]
        ledger = RedisLedger("redis://simulated", self._space)
        other = LuaWire(self._client, redis_ledger._FUNCTIONS)
        ledger._wire = lambda partition: other
        self.ledger = ledger  # type: ignore[assignment]

    def ledger_state(self, partition: int) -> tuple[int, list[int]]:
        """Return the ledger's offset, and when its jobs are due (UTC ms)."""
        off = self._do("HGET", self._space.ledger_key(partition, "l"), "off")
        return int(off or -1), list(self._scores(self._space.ledger_key(partition, "due")).values())

    def jobs(self) -> dict[str, str]:
        """Return the state of every job, by member."""
        found = {}
        for partition in range(self._space.partition_count):
            start = self._space.ledger_key(partition, "d:")
            for name, value in self._strings(start).items():
                found[name] = _job(value).state
        return found

    def states(self, partition: int) -> dict[str, bytes]:
        """Return the nodes and entries of a partition, by key name."""
        return self._strings(self._space.key(partition, ""))

    def timers(self, partition: int) -> dict[str, int]:
        """Return the timers of a partition: member -> score."""
        return self._scores(self._space.key(partition, "tm"))

    def metas(self, partition: int) -> Meta:
        """Return what else is stored of a partition."""
        return decode_meta(pairs(self._do("HGETALL", self._space.key(partition, "m"))))

    def _do(self, *parts: Any) -> Any:
        return self._client.execute_command(*parts)

    def _scores(self, key: str) -> dict[str, int]:
        found = pairs(self._do("ZRANGE", key, 0, -1, "WITHSCORES"))
        return {bytes(member).decode(): int(float(score)) for member, score in found}

    def _strings(self, start: str) -> dict[str, bytes]:
        return {
            key.decode().removeprefix(start): self._do("GET", key)
            for key in self._keys(start)
            if self._do("TYPE", key) == b"string"
        }

    def _keys(self, start: str) -> list[bytes]:
        return sorted(key for key in self._do("KEYS", "*") if key.startswith(start.encode()))

    def fall_back(self, seconds: float, *, kind: str = "", partition: int = -1) -> bool:
        """Become what it was some seconds ago, and forget the Functions, as an empty replica."""
        changed = super().fall_back(seconds, kind=kind, partition=partition)
        if changed:
            self._do("FUNCTION", "FLUSH")
        return changed

    def _copy(self, kind: str, partition: int) -> Any:
        if kind == "offsets":
            return super()._copy(kind, partition)
        return {key: (self._do("TYPE", key), self._read(key)) for key in self._own(kind, partition)}

    def _own(self, kind: str, partition: int) -> list[bytes]:
        key = self._space.ledger_key if kind == "ledger" else self._space.key
        return self._keys(key(partition, ""))

    def _read(self, key: bytes) -> Any:
        kind = self._do("TYPE", key)
        if kind == b"string":
            return self._do("GET", key)
        if kind == b"hash":
            return pairs(self._do("HGETALL", key))
        return pairs(self._do("ZRANGE", key, 0, -1, "WITHSCORES"))

    def _restore(self, kind: str, partition: int, copy: Any) -> None:
        if kind == "offsets":
            super()._restore(kind, partition, copy)
            return
        for key in self._own(kind, partition):
            self._do("DEL", key)
        for key, (type_, value) in copy.items():
            if type_ == b"string":
                self._do("SET", key, value)
            elif type_ == b"hash":
                self._do("HSET", key, *(part for pair in value for part in pair))
            else:
                self._do(
                    "ZADD", key, *(part for member, score in value for part in (score, member))
                )
