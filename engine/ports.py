"""The world, as protocols: each has a real adapter and one in memory, held to the same suite."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from engine.delivery.model import Job, Reply, Request
from engine.events.record import Outgoing, Record
from engine.outcome import Meta


class Clock(Protocol):
    """Now, in UTC ms; the demo's runs faster than the wall."""

    def now(self) -> int: ...


@dataclass(slots=True)
class Snapshot:
    """What ACQUIRE returns: meta, timers (member, score), outbox and moves not yet trimmed.

    `tries`: take-overs at this place of the log, this one included, by owners that did not come
    back; `alone`: how often the record (or timer) that comes next was tried alone by one of them.
    """

    meta: Meta
    timers: list[tuple[str, int]]
    outbox: list[tuple[int, bytes]]
    moves: list[tuple[int, bytes]]
    tries: int = 1
    alone: int = 0


@dataclass(slots=True)
class Commit:
    """One APPLY: everything that a batch changed in one partition."""

    off_expected: int
    meta: Meta
    states: dict[str, bytes | None]  # key name inside the partition -> value; None removes it
    timers: dict[str, int | None]  # member -> score; None removes it
    outbox: list[tuple[int, bytes]]
    moves: list[tuple[int, bytes]]
    trim_outbox: int = 0  # acknowledged up to this oseq
    trim_moves: int = 0
    sub_expected: int = 0  # timers of the unfinished tick behind `off_expected`


class Ready(NamedTuple):
    """What the owner of a partition has told: rule sets that it has compiled, or refuses and why.

    No part of the state: it is not a function of the log.
    """

    owner: str
    versions: tuple[str, ...]
    refused: Mapping[str, str]


class Store(Protocol):
    """State of the partitions, with one atomic fenced commit per batch."""

    async def acquire(
        self, partition: int, token: str, *, previous: str = "", survived: int = 0
    ) -> Snapshot:
        """Take a partition over: from now on only `token` may commit.

        `previous`: the token that this living owner had before: then this is no new try.
        `survived`: how many of its own notes (`alone`) did not end in its death.
        """

    async def alone(self, partition: int, token: str) -> None:
        """Note that what comes next is tried alone now; `Fenced` if another owns the partition."""

    async def load(self, partition: int, names: Sequence[str]) -> list[bytes | None]: ...

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        """Commit, or raise `Fenced` or `Stale` and change nothing; else nobody knows."""

    async def owner(self, partition: int) -> str:
        """Return the token of the partition's owner, '' if it has none."""

    async def tell_ready(self, partition: int, ready: Ready) -> None:
        """Note what the owner of a partition has compiled; no fence: it carries its token."""

    async def ready(self, partition: int) -> Ready | None:
        """Return what the present owner has told, nothing as yet included; None without one."""

    async def meta(self, partition: int) -> Meta: ...

    async def waiting(self, partition: int) -> int:
        """Return how many records of outbox and moves are not known to be acknowledged."""

    def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Go over the names of all nodes and entries, by partition; some may come twice."""

    async def close(self) -> None: ...


class Publisher(Protocol):
    """Writes records; knows when the broker has them."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Produce in order per destination; return when all are acknowledged by all replicas.

        Raises
        ------
        LogError
            If any was not: then a suffix per destination may be missing, never a middle.
        """

    async def close(self) -> None: ...


class Transactions(Protocol):
    """Writes the triggers of partitions for readers that read only what is committed."""

    async def claim(self, partition: int) -> None:
        """Take a partition over: no other's records are committed from now on, unless it claims."""

    async def publish(self, partition: int, records: Sequence[Outgoing]) -> None:
        """Commit all of the records, in order, or none.

        Raises
        ------
        Fenced
            If another has claimed the partition: then none.
        LogError
            If nobody knows; `claim` again, and read what is there.
        """

    async def release(self, partition: int) -> None:
        """Forget a partition that was claimed, or was not."""

    async def close(self) -> None: ...


class Reader(Protocol):
    """Reads any place of the log, outside of a consumer group."""

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return (first offset, offset after the last) of a partition."""

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        """Return up to `count_max` records from `offset`; [] at the end. CoverageError if gone."""

    async def close(self) -> None: ...


class Handler(Protocol):
    """What a group's member calls: take over, batch, give up; one at a time for a partition."""

    async def assigned(self, partition: int) -> int | None:
        """Take the partition over; return the offset to read from, None to leave it paused."""

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        """Process consecutive records; return the offset to read next (a rewind after a repair)."""

    async def revoked(self, partition: int) -> None:
        """Drain and forget the partition; another member may own it when this returns."""


class Group(Protocol):
    """A member of a consumer group over one topic, whose partitions go to a Handler in batches."""

    async def run(self, topic: str, handler: Handler) -> None:
        """Join and serve until `stop`; raises LogError when the broker stays away."""

    async def stop(self) -> None: ...


class Sender(Protocol):
    """Speaks to channel systems."""

    async def send(self, request: Request) -> Reply:
        """Send a request and return what came back; never raises for what the world does."""

    async def close(self) -> None: ...


@dataclass(slots=True)
class LedgerSnapshot:
    """What taking a ledger over returns: where it stands, and member -> (due, job)."""

    off: int
    oseq: int
    jobs: dict[str, tuple[int, Job]]


@dataclass(slots=True)
class LedgerUpdate:
    """One change of a ledger. `off_expected` None: only jobs and counts change.

    `jobs`: member -> (due in clock ms, or None when it is settled; the job). With `off_expected`
    a job that is there already stays as it is: an id is taken in once.
    """

    off_expected: int | None = None
    off: int = -1
    oseq: int = 0
    jobs: dict[str, tuple[int | None, Job]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class Ledger(Protocol):
    """What was handed over to channel systems, and what is still to be."""

    async def acquire(self, partition: int, token: str) -> LedgerSnapshot: ...

    async def apply(self, partition: int, token: str, update: LedgerUpdate) -> None:
        """Commit, or raise `Fenced` or `Stale` and change nothing."""

    async def load(self, partition: int, members: Sequence[str]) -> list[Job | None]:
        """Return jobs by member, settled ones too; None where there is none."""

    async def counts(self, partitions: Sequence[int]) -> Mapping[str, int]: ...

    def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Go over the members of all jobs, settled ones too, by partition; some may come twice."""

    async def close(self) -> None: ...


class Offsets(Protocol):
    """How far a topic has been worked off by a stage that keeps no other state."""

    async def get(self, partition: int) -> int: ...

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None: ...
