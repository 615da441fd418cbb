"""The delivery ledger in Redis (ports.Ledger), with the fence of the state store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.resources import files

import msgspec

from engine.adapters.redis.store import pairs
from engine.adapters.redis.walk import walk
from engine.adapters.redis.wire import Wires
from engine.clock import DAY_MS
from engine.delivery.model import HELD_MAX, Job
from engine.errors import Fenced, Stale
from engine.keys import Space
from engine.pipeline import later
from engine.ports import LedgerSnapshot, LedgerUpdate

KEPT_MS = 7 * DAY_MS  # a settled job: a trigger of the same id is known that long
LOAD_MAX = 500  # jobs read by one command
NOT_COUNTS = frozenset({"ep", "off", "oseq"})
_FUNCTIONS = files("engine.adapters.redis").joinpath("ledger.lua").read_text("utf-8")
_pack = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode
_OWN = 0x90 + len(Job.__struct_fields__)  # how a job begins that no later release has written


class LaterJob(Job):
    """A job of the next release, with the bytes that it was read from."""

    original: bytes = b""


def decode_job(data: bytes) -> Job:
    """Return the job of some bytes; of the next release's it keeps what it does not know."""
    if data[0] <= _OWN:
        return _job(data)
    found: Job = later.read(Job, LaterJob, data)
    return found


def encode_job(job: Job) -> bytes:
    """Return a job's bytes."""
    return later.write(job, Job) if isinstance(job, LaterJob) else _pack(job)


class RedisLedger:
    """Jobs and counts of the trigger partitions."""

    def __init__(self, url: str, space: Space) -> None:
        self._space = space
        self._wires = Wires(url, lambda p: self._key(p, "l"), functions=_FUNCTIONS)
        self._wire = self._wires.of

    async def acquire(self, partition: int, token: str) -> LedgerSnapshot:
        """Take a partition's ledger over; return offset, oseq and the jobs that are to come."""
        keys = [self._key(partition, "l"), self._key(partition, "due")]
        held, due = await self._wire(partition).function(
            b"touchpoint_ledger_acquire", b"2", *keys, token.encode()
        )
        fields = {bytes(k).decode(): bytes(v) for k, v in pairs(held)}
        scores = {bytes(m).decode(): int(float(s)) for m, s in pairs(due)}
        jobs: dict[str, tuple[int, Job]] = {}
        members = list(scores)
        for start in range(0, len(members), LOAD_MAX):
            some = members[start : start + LOAD_MAX]
            for member, job in zip(some, await self.load(partition, some), strict=True):
                if job is None:
                    continue
                if len(jobs) >= HELD_MAX:
                    job.trigger = b""  # read again when its turn comes
                jobs[member] = (scores[member], job)
        return LedgerSnapshot(
            off=int(fields.get("off", b"-1")), oseq=int(fields.get("oseq", b"0")), jobs=jobs
        )

    async def load(self, partition: int, members: Sequence[str]) -> list[Job | None]:
        """Return jobs by member, also settled ones; None where there is none."""
        found: list[Job | None] = []
        for start in range(0, len(members), LOAD_MAX):
            names = [self._key(partition, f"d:{m}") for m in members[start : start + LOAD_MAX]]
            values = await self._wire(partition).call(b"MGET", *names)
            found += [None if value is None else decode_job(value) for value in values]
        return found

    async def apply(self, partition: int, token: str, update: LedgerUpdate) -> None:
        """Commit an update, or raise Fenced or Stale and change nothing."""
        members = list(update.jobs)
        keys = [self._key(partition, "l"), self._key(partition, "due")]
        keys += [self._key(partition, f"d:{member}") for member in members]
        check = b"" if update.off_expected is None else b"%d" % update.off_expected
        arguments = [token.encode(), check, b"%d" % update.off, b"%d" % update.oseq]
        arguments += [b"%d" % KEPT_MS, b"%d" % len(members)]
        for member, (score, job) in update.jobs.items():
            due = b"" if score is None else b"%d" % score
            arguments += [member.encode(), due, job.state.encode(), encode_job(job)]
        arguments.append(b"%d" % len(update.counts))
        for name, by in update.counts.items():
            arguments += [name.encode(), b"%d" % by]
        reply = await self._wire(partition).function(
            b"touchpoint_ledger_apply", b"%d" % len(keys), *keys, *arguments
        )
        if reply == b"FENCED":
            raise Fenced(f"the ledger of partition {partition} has another owner")
        if reply == b"STALE":
            raise Stale(f"the ledger of partition {partition} is not at {update.off_expected}")

    async def owner(self, partition: int) -> str:
        """Return the token of a ledger's owner, '' if it has none."""
        reply = await self._wire(partition).call(b"HGET", self._key(partition, "l"), b"ep")
        return bytes(reply or b"").decode()

    async def counts(self, partitions: Sequence[int]) -> Mapping[str, int]:
        """Return the counts of all partitions together: jobs settled, by state."""
        total: dict[str, int] = {}
        for partition in partitions:
            reply = await self._wire(partition).ask(b"HGETALL", self._key(partition, "l"))
            for name, value in pairs(reply):
                key = bytes(name).decode()
                if key not in NOT_COUNTS:
                    total[key] = total.get(key, 0) + int(value)
        return total

    async def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Go over the members of all jobs, settled ones too, by partition; some may come twice."""
        async for partition, names in walk(self._wires.slots, self._space.ledger_key):
            jobs = [name.removeprefix("d:") for name in names if name.startswith("d:")]
            if jobs:
                yield partition, jobs

    async def close(self) -> None:
        """Close all connections."""
        await self._wires.close()

    def _key(self, partition: int, name: str) -> bytes:
        return self._space.ledger_key(partition, name).encode()
