"""The delivery ledger in Redis (ports.Ledger), with the fence of the state store."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import msgspec

from engine.adapters.redis import Wire, pairs
from engine.delivery.model import Job
from engine.errors import Fenced, Stale
from engine.keys import Space
from engine.ports import LedgerSnapshot, LedgerUpdate

KEPT_MS = 7 * 86_400_000  # a settled job: receivers may ask for it that long
_FUNCTIONS = files("engine.adapters").joinpath("ledger.lua").read_text()
_pack = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode


class RedisLedger:
    """Jobs and counts of the trigger partitions."""

    def __init__(self, url: str, space: Space) -> None:
        self._space = space
        self._wire = Wire(url, functions=_FUNCTIONS)

    async def acquire(self, partition: int, token: str) -> LedgerSnapshot:
        """Take a partition's ledger over; return offset, oseq and the jobs that are due."""
        keys = [self._key(partition, "l"), self._key(partition, "due")]
        held, due = await self._wire.function(
            b"touchpoint_ledger_acquire", b"2", *keys, token.encode()
        )
        fields = {bytes(k).decode(): bytes(v) for k, v in pairs(held)}
        scores = {bytes(m).decode(): int(float(s)) for m, s in pairs(due)}
        names = [self._key(partition, f"d:{member}") for member in scores]
        values = await self._wire.call(b"MGET", *names) if names else []
        jobs = {
            member: (score, _job(value))
            for (member, score), value in zip(scores.items(), values, strict=True)
            if value is not None
        }
        return LedgerSnapshot(
            off=int(fields.get("off", b"-1")), oseq=int(fields.get("oseq", b"0")), jobs=jobs
        )

    async def apply(self, partition: int, token: str, update: LedgerUpdate) -> None:
        """Commit an update, or raise Fenced or Stale and change nothing."""
        members = list(update.jobs)
        keys = [self._key(partition, "l"), self._key(partition, "due")]
        keys += [self._key(partition, f"d:{member}") for member in members]
        check = b"" if update.off_expected is None else b"%d" % update.off_expected
        arguments = [token.encode(), check, b"%d" % update.off, b"%d" % update.oseq]
        arguments += [b"%d" % KEPT_MS, b"%d" % len(members)]
        for member in members:
            score, job = update.jobs[member]
            due = b"" if score is None else b"%d" % score
            arguments += [member.encode(), due, _pack(job)]
        arguments.append(b"%d" % len(update.counts))
        for name, by in update.counts.items():
            arguments += [name.encode(), b"%d" % by]
        reply = await self._wire.function(
            b"touchpoint_ledger_apply", b"%d" % len(keys), *keys, *arguments
        )
        if reply == b"FENCED":
            raise Fenced(f"the ledger of partition {partition} has another owner")
        if reply == b"STALE":
            raise Stale(f"the ledger of partition {partition} is not at {update.off_expected}")

    async def counts(self, partitions: Sequence[int]) -> Mapping[str, int]:
        """Return the counts of all partitions together."""
        total: dict[str, int] = {}
        for partition in partitions:
            reply = await self._wire.call(b"HGETALL", self._key(partition, "l"))
            for name, value in pairs(reply):
                key = bytes(name).decode()
                if key not in ("ep", "off", "oseq"):
                    total[key] = total.get(key, 0) + int(value)
        return total

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    def _key(self, partition: int, name: str) -> bytes:
        return self._space.ledger_key(partition, name).encode()
