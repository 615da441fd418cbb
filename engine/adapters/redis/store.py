"""Redis as the Store, alone or as a cluster: each partition by its slot's node."""

from collections.abc import AsyncIterator, Iterable, Sequence
from importlib.resources import files

import orjson

from engine.adapters.redis.pipe import Reply
from engine.adapters.redis.walk import walk
from engine.adapters.redis.wire import Wires
from engine.errors import Fenced, Stale
from engine.keys import Space
from engine.outcome import Meta
from engine.ports import Commit, Ready, Snapshot

META_VERSION = 1
_READY = b"ready"  # field of `m` that is no part of the state
_NO_STATES = frozenset({"m", "tm", "ob", "mv"})
_FUNCTIONS = files("engine.adapters.redis").joinpath("functions.lua").read_text("utf-8")


class RedisStore:
    """State of the partitions in Redis (ports.Store)."""

    def __init__(self, url: str, space: Space) -> None:
        self._space = space
        self._wires = Wires(url, lambda p: self._key(p, "m"), functions=_FUNCTIONS)
        self._wire = self._wires.of

    async def acquire(
        self, partition: int, token: str, *, previous: str = "", survived: int = 0
    ) -> Snapshot:
        """Take a partition over: from now on only `token` may commit."""
        arguments = (token.encode(), previous.encode(), b"%d" % survived)
        reply = await self._wire(partition).function(
            b"touchpoint2_acquire", b"4", *self._four(partition), *arguments
        )
        meta, timers, outbox, moves, tries, alone = reply
        return Snapshot(
            meta=decode_meta(pairs(meta)),
            timers=[(bytes(m).decode(), int(float(s))) for m, s in pairs(timers)],
            outbox=[(int(float(s)), _unseq(m)) for m, s in pairs(outbox)],
            moves=[(int(float(s)), _unseq(m)) for m, s in pairs(moves)],
            tries=tries,
            alone=alone,
        )

    async def alone(self, partition: int, token: str) -> None:
        """Note that what comes next is tried alone now."""
        reply = await self._wire(partition).function(
            b"touchpoint2_alone", b"1", self._key(partition, "m"), token.encode()
        )
        if reply == b"FENCED":
            raise Fenced(f"partition {partition} has another owner")

    async def load(self, partition: int, names: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys of one partition, None where absent."""
        if not names:
            return []
        keys = self._keys(partition, names)
        reply: list[bytes | None] = await self._wire(partition).call(b"MGET", *keys)
        return reply

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        """Commit a batch in one call, or raise and change nothing."""
        arguments = [
            token.encode(),
            b"%d.%d" % (commit.off_expected, commit.sub_expected),
            b"%d" % commit.trim_outbox,
            b"%d" % commit.trim_moves,
            *_counted(encode_meta(commit.meta), 2),
            *_counted([value or b"" for value in commit.states.values()], 1),
        ]
        armed: list[bytes] = []
        disarmed: list[bytes] = []
        for member, score in commit.timers.items():
            if score is None:
                disarmed.append(member.encode())
            else:
                armed += (b"%d" % score, member.encode())
        arguments += _counted(armed, 2)
        arguments += _counted(disarmed, 1)
        for queue in (commit.outbox, commit.moves):
            arguments += _counted([x for n, v in queue for x in (b"%d" % n, _seq(n, v))], 2)
        keys = self._keys(partition, ("m", "tm", "ob", "mv", *commit.states))
        reply = await self._wire(partition).function(
            b"touchpoint2_apply", b"%d" % len(keys), *keys, *arguments
        )
        if reply == b"FENCED":
            raise Fenced(f"partition {partition} has another owner")
        if reply == b"STALE":
            raise Stale(
                f"partition {partition} is not at {commit.off_expected}.{commit.sub_expected}"
            )

    async def owner(self, partition: int) -> str:
        """Return the token of a partition's owner, '' if it has none."""
        reply = await self._wire(partition).call(b"HGET", self._key(partition, "m"), b"ep")
        return bytes(reply or b"").decode()

    async def tell_ready(self, partition: int, ready: Ready) -> None:
        """Note what the owner of a partition has compiled."""
        key, told = self._key(partition, "m"), orjson.dumps([*ready])
        await self._wire(partition).call(b"HSET", key, _READY, told)

    async def ready(self, partition: int) -> Ready | None:
        """Return what the present owner has told; None without an owner."""
        key = self._key(partition, "m")
        owner, told = await self._wire(partition).ask(b"HMGET", key, b"ep", _READY)
        if not owner:
            return None
        name = bytes(owner).decode()
        said = Ready(*orjson.loads(bytes(told))) if told else None
        if said is None or said.owner != name:
            return Ready(name, (), {})
        return said._replace(versions=tuple(said.versions))

    async def meta(self, partition: int) -> Meta:
        """Return what is stored of a partition besides its nodes."""
        reply = await self._wire(partition).ask(b"HGETALL", self._key(partition, "m"))
        return decode_meta(pairs(reply))

    async def waiting(self, partition: int) -> int:
        """Return how many records of outbox and moves are not known to be acknowledged."""
        wire, (_, _, outbox, moves) = self._wire(partition), self._four(partition)
        return int(await wire.ask(b"ZCARD", outbox)) + int(await wire.ask(b"ZCARD", moves))

    async def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Go over the names of all nodes and entries, by partition; some may come twice."""
        async for partition, names in walk(self._wires.slots, self._space.key):
            states = [name for name in names if name not in _NO_STATES]
            if states:
                yield partition, states

    async def close(self) -> None:
        """Close all connections."""
        await self._wires.close()

    def _key(self, partition: int, name: str) -> bytes:
        return self._space.key(partition, name).encode()

    def _keys(self, partition: int, names: Iterable[str]) -> list[bytes]:
        begin = self._key(partition, "")
        return [begin + name.encode() for name in names]

    def _four(self, partition: int) -> list[bytes]:
        return self._keys(partition, ("m", "tm", "ob", "mv"))


def pairs(reply: Reply) -> list[tuple[bytes, bytes]]:
    """Return the pairs of a reply: flat in RESP2, nested or a map in RESP3."""
    if isinstance(reply, dict):
        return list(reply.items())
    if reply and isinstance(reply[0], list | tuple):
        return [(name, value) for name, value in reply]
    return list(zip(reply[::2], reply[1::2], strict=True))


def encode_meta(meta: Meta) -> list[bytes]:
    """Return the fields and values of hash `m` (WIRE.md, Redis), in turn."""
    fields: dict[str, bytes] = {
        "ver": b"%d" % META_VERSION,
        "off": b"%d" % meta.off,
        "sub": b"%d.%d" % (meta.off, meta.sub),
        "fp": b"" if meta.fp is None else b"%d" % meta.fp,
        "clk": b"%d" % meta.clk,
        "now": b"%d" % meta.now,
        "prg": b"%d" % meta.prg,
        "oseq": b"%d" % meta.oseq,
        "mseq": b"%d" % meta.mseq,
        "closed": b"%d" % meta.closed,
        "src": orjson.dumps(meta.src, option=orjson.OPT_NON_STR_KEYS),
        "ruleset": meta.ruleset.encode(),
        "model": meta.model.encode(),
        "disabled": orjson.dumps(meta.disabled),
        "counts": orjson.dumps(meta.counts),
    }
    return [part for name, value in fields.items() for part in (name.encode(), value)]


def decode_meta(pairs: Sequence[tuple[bytes, bytes]]) -> Meta:
    """Return the Meta of hash `m`; of an empty one, a partition's very first."""
    held = {bytes(name).decode(): bytes(value) for name, value in pairs}
    if "off" not in held:
        return Meta()
    off, _, sub = held.get("sub", b"").partition(b".")
    return Meta(
        off=int(held["off"]),
        sub=int(sub) if off == held["off"] else 0,  # the release before leaves an old one behind
        fp=int(held["fp"]) if held["fp"] else None,
        **{name: int(held[name]) for name in ("clk", "now", "prg", "oseq", "mseq")},
        closed=int(held.get("closed", b"-1")),
        src={int(name): mseq for name, mseq in orjson.loads(held["src"]).items()},
        ruleset=held["ruleset"].decode(),
        model=held["model"].decode(),
        disabled=orjson.loads(held.get("disabled", b"{}")),
        counts=orjson.loads(held["counts"]),
    )


def _counted(parts: Sequence[bytes], width: int) -> list[bytes]:
    return [b"%d" % (len(parts) // width), *parts]


def _seq(number: int, value: bytes) -> bytes:
    return number.to_bytes(8, "big") + value  # members of a sorted set are unique by their bytes


def _unseq(member: bytes) -> bytes:
    return bytes(member)[8:]
