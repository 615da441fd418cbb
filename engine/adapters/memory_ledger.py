"""The delivery ledger in memory: for unit tests, held to the suite of the one in Redis."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from copy import deepcopy

from engine.delivery.model import Job
from engine.errors import Fenced, Stale
from engine.ports import LedgerSnapshot, LedgerUpdate


class _Held:
    def __init__(self) -> None:
        self.owner = ""
        self.off = -1
        self.oseq = 0
        self.due: dict[str, int] = {}
        self.jobs: dict[str, Job] = {}
        self.counts: Counter[str] = Counter()


class MemoryLedger:
    """Jobs and counts of the trigger partitions, in dicts (ports.Ledger)."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = defaultdict(_Held)

    async def acquire(self, partition: int, token: str) -> LedgerSnapshot:
        """Take a partition's ledger over; return offset, oseq and the jobs that are to come."""
        held = self._held[partition]
        held.owner = token
        by_time = sorted(held.due.items(), key=lambda item: (item[1], item[0]))
        jobs = {member: (due, deepcopy(held.jobs[member])) for member, due in by_time}
        return LedgerSnapshot(off=held.off, oseq=held.oseq, jobs=jobs)

    async def load(self, partition: int, members: Sequence[str]) -> list[Job | None]:
        """Return jobs by member, also settled ones; None where there is none."""
        return [deepcopy(self._held[partition].jobs.get(member)) for member in members]

    async def apply(self, partition: int, token: str, update: LedgerUpdate) -> None:
        """Commit an update, or raise Fenced or Stale and change nothing."""
        held = self._held[partition]
        if held.owner != token:
            raise Fenced(f"the ledger of partition {partition} has another owner")
        if update.off_expected is not None:
            if held.off != update.off_expected:
                raise Stale(f"the ledger of partition {partition} is at {held.off}")
            held.off, held.oseq = update.off, update.oseq
        for member, (due, job) in update.jobs.items():
            if update.off_expected is not None and member in held.jobs:
                continue
            if due is not None:
                held.due[member] = due
            elif held.due.pop(member, None) is not None or member not in held.jobs:
                held.counts[job.state] += 1
            held.jobs[member] = deepcopy(job)
        held.counts.update(update.counts)

    async def counts(self, partitions: Sequence[int]) -> Mapping[str, int]:
        """Return the counts of all partitions together: jobs settled, by state."""
        total: Counter[str] = Counter()
        for partition in partitions:
            total.update(self._held[partition].counts)
        return total

    async def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Go over the members of all jobs, settled ones too, by partition."""
        for partition, held in list(self._held.items()):
            yield partition, list(held.jobs)

    async def close(self) -> None:
        """Nothing to close."""
