"""More partitions: the log goes on in a new version, and everything that is known moves over.

The old log is cut by a record in each partition. Behind it workers fold only moves between actors,
until none is under way: then its state is final, and copied, node by node, to where each id lives
now. What arrives behind the cut is passed on to the new log. Every step may be done again after a
crash at any place: the copy of a partition counts only with its last commit, which puts it behind
the first record of its log (PROTOCOL.md 1.10; WIRE.md, Topics).
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from engine.delivery.model import Job
from engine.errors import ConfigError, CoverageError, EngineError
from engine.events import topics
from engine.events.record import Outgoing, Record, fingerprint, header, partition_of
from engine.identity import mac
from engine.identity.messages import Grow
from engine.identity.registrar import ADDRESS
from engine.outcome import Meta
from engine.pipeline.registry import timer_entry
from engine.ports import Commit, Ledger, LedgerUpdate, Offsets, Publisher, Reader, Store
from engine.runtime.handover.attempt import trigger_of
from engine.runtime.ticker import tick_records

COPY_MAX = 500  # nodes in one commit
READ_MAX = 1_000
FINISHED_POLL_S = 1.0
MOVED = "moved"  # state of a job that another ledger has to deliver now
_NO_EVENTS = frozenset({b"tick", b"grow"})  # of the old log alone
# One in each partition of the log: those of its first partition are enough.
_VERSIONS = frozenset({b"ruleset", b"model", b"disable"})
log = logging.getLogger(__name__)
_json = msgspec.json.Encoder().encode
Pause = Callable[[str], Awaitable[None]]


class Deliverer(Protocol):
    """Takes triggers into the ledger, without an attempt to send them."""

    async def assigned(self, partition: int) -> int | None: ...

    async def batch(self, partition: int, records: Sequence[Record]) -> int: ...


@dataclass(frozen=True, slots=True)
class Side:
    """One version of the log, with its state and its ledger."""

    version: int
    partitions: int
    store: Store
    ledger: Ledger
    reader: Reader
    publisher: Publisher


class _Id(msgspec.Struct):
    id: str = ""


_trigger = msgspec.json.Decoder(_Id).decode


class _Heir(NamedTuple):
    token: str
    off: int
    oseq: int


class Growth:
    """From `old` to `new`, step by step.

    `passed_on`: how far each old partition has been passed on. `intake`: of the old triggers.
    `pause`: called with what is waited for, before it is looked at again.
    """

    def __init__(
        self,
        old: Side,
        new: Side,
        *,
        passed_on: Offsets,
        intake: Deliverer,
        secret: bytes,
        pause: Pause,
    ) -> None:
        if new.partitions <= old.partitions:
            raise ConfigError(
                f"--partitions {new.partitions}: there are {old.partitions} already; want more",
                code="config/partitions",
            )
        self._old = old
        self._new = new
        self._passed_on = passed_on
        self._intake = intake
        self._secret = secret
        self._pause = pause

    async def is_carried(self) -> bool:
        """Tell whether every new partition has what it begins with."""
        every = range(self._new.partitions)
        return all([(await self._new.store.meta(q)).off >= 0 for q in every])

    async def cut(self) -> None:
        """Cut the old log, and wait until no move between its actors is under way any more."""
        for partition, meta in enumerate(await self._metas()):
            if meta.closed < 0:
                await self._old.publisher.publish([self._seal("grow", partition)])
        while not await self._is_at_rest():
            await self._pause("the old workers to fold what is under way")
            await self._tick_old()

    async def carry(self) -> int:
        """Copy what the old version knew; return how many nodes and registrar entries."""
        first = [await self._begin(q) for q in range(self._new.partitions)]
        metas = await self._metas()
        tokens = {}
        for q in range(self._new.partitions):
            token = secrets.token_hex(8)
            if (await self._new.store.acquire(q, token)).meta.off < 0:
                tokens[q] = token
        copied = await self._copy_nodes(tokens)
        await self._copy_timers(tokens)
        for q, token in tokens.items():
            await self._write(q, token, meta=_begun(q, metas, first[q]))
        return copied

    async def carry_ledger(self) -> int:
        """Take in the last triggers, and move all deliveries; return how many."""
        old = self._old
        for partition in range(old.partitions):
            offset = await self._intake.assigned(partition) or 0
            while found := await old.reader.read(
                topics.TRIGGERS, partition, offset, count_max=READ_MAX
            ):
                offset = await self._intake.batch(partition, found)
        return await self._move_jobs()

    async def pass_on(self) -> int:
        """Pass on what has arrived behind the cut since the last time; return how many events."""
        old, count = self._old, 0
        for partition, meta in enumerate(await self._metas()):
            if meta.closed < 0:
                raise CoverageError(
                    "the old log is not cut; run `engine grow` first",
                    where=f"{topics.EVENTS}/{partition}",
                )
            offset = max(meta.closed + 1, await self._passed_on.get(partition))
            while found := await old.reader.read(
                topics.EVENTS, partition, offset, count_max=READ_MAX
            ):
                out = [new for record in found for new in self._again(record)]
                await self._new.publisher.publish(out)
                offset = found[-1].offset + 1
                await self._passed_on.put(partition, offset, accepted=len(out), dead=0)
                count += len(out)
        return count

    async def finish(self) -> None:
        """Let time go on in the new log: nothing is written to the old one any more."""
        await self._passed_on.put(self._new.partitions, 1, accepted=0, dead=0)

    async def _metas(self) -> list[Meta]:
        return [await self._old.store.meta(p) for p in range(self._old.partitions)]

    async def _is_at_rest(self) -> bool:
        """Tell whether all moves have been folded, and folding them has made no more.

        In this order: what was numbered, that all of it is acknowledged, where the logs end then,
        that all is folded up to there, and that nothing was numbered meanwhile.
        """
        old, every = self._old, range(self._old.partitions)
        before = await self._metas()
        if any(meta.closed < 0 for meta in before):
            return False
        if any([await old.store.waiting(p) for p in every]):
            return False
        ends = [(await old.reader.bounds(topics.EVENTS, p))[1] for p in every]
        while True:
            after = await self._metas()
            if all(meta.off + 1 >= end for meta, end in zip(after, ends, strict=True)):
                return [m.mseq for m in before] == [m.mseq for m in after]
            await self._pause("the old workers to fold what is under way")

    async def _tick_old(self) -> None:
        """Give every old worker something to commit: with it goes what was acknowledged."""
        now = max(meta.now for meta in await self._metas())
        ticks = tick_records(now, 0, self._old.partitions, self._secret)
        await self._old.publisher.publish(ticks)

    async def _begin(self, q: int) -> Record:
        """Return the first record of a new partition; write it where there is none."""
        new = self._new
        while not (found := await new.reader.read(topics.EVENTS, q, 0, count_max=1)):
            await new.publisher.publish([self._seal("grown", q)])
        if header(found[0].headers, "kind") != b"grown":
            raise ConfigError(
                f"{topics.EVENTS}/{q} of version {new.version} holds records of its own already; "
                "want new topics",
                code="config/partitions",
            )
        return found[0]

    async def _copy_nodes(self, tokens: Mapping[int, str]) -> int:
        copied = 0
        async for partition, names in self._old.store.walk():
            for start in range(0, len(names), COPY_MAX):
                some = names[start : start + COPY_MAX]
                values = await self._old.store.load(partition, some)
                apart: dict[int, dict[str, bytes | None]] = defaultdict(dict)
                for name, value in zip(some, values, strict=True):
                    if value is not None:
                        apart[partition_of(_address(name), self._new.partitions)][name] = value
                for q, states in apart.items():
                    if q in tokens:
                        await self._write(q, tokens[q], states=states)
                        copied += len(states)
        return copied

    async def _copy_timers(self, tokens: Mapping[int, str]) -> None:
        for partition in range(self._old.partitions):
            snapshot = await self._old.store.acquire(partition, secrets.token_hex(8))
            apart: dict[int, dict[str, int | None]] = defaultdict(dict)
            for member, score in snapshot.timers:
                apart[partition_of(_timer_address(member), self._new.partitions)][member] = score
            for q, timers in apart.items():
                if q in tokens:
                    await self._write(q, tokens[q], timers=timers)

    async def _write(
        self,
        q: int,
        token: str,
        *,
        states: dict[str, bytes | None] | None = None,
        timers: dict[str, int | None] | None = None,
        meta: Meta | None = None,
    ) -> None:
        """Commit a part of the copy; without `meta` the partition still counts as not begun."""
        commit = Commit(-1, meta or Meta(), states or {}, timers or {}, [], [])
        await self._new.store.apply(q, token, commit)

    async def _move_jobs(self) -> int:
        """Move every job to the ledger of the node that decided; settled ones keep ids known."""
        old, moved = self._old, 0
        tokens = [secrets.token_hex(8) for _ in range(old.partitions)]
        held = [await old.ledger.acquire(p, token) for p, token in enumerate(tokens)]
        due = [{member: at for member, (at, _) in snapshot.jobs.items()} for snapshot in held]
        deciders = [await self._deciders(p) for p in range(old.partitions)]
        heirs = [await self._heir(q) for q in range(self._new.partitions)]
        async for partition, members in old.ledger.walk():
            for start in range(0, len(members), COPY_MAX):
                some = members[start : start + COPY_MAX]
                jobs = dict(zip(some, await old.ledger.load(partition, some), strict=True))
                moved += await self._move(
                    heirs, partition, jobs, due[partition], deciders[partition]
                )
                gone = {m: j for m, j in jobs.items() if j is not None and m in due[partition]}
                for job in gone.values():
                    job.state = MOVED
                update = LedgerUpdate(jobs={m: (None, job) for m, job in gone.items()})
                await old.ledger.apply(partition, tokens[partition], update)
        return moved

    async def _deciders(self, partition: int) -> dict[str, str]:
        """Return the node that decided, by trigger id: a settled job has not kept its trigger."""
        found: dict[str, str] = {}
        reader = self._old.reader
        offset, _ = await reader.bounds(topics.TRIGGERS, partition)
        while records := await reader.read(topics.TRIGGERS, partition, offset, count_max=READ_MAX):
            offset = records[-1].offset + 1
            for record in records:
                found[_trigger(record.value).id] = record.key.decode("ascii")
        return found

    async def _heir(self, q: int) -> "_Heir":
        token = secrets.token_hex(8)
        found = await self._new.ledger.acquire(q, token)
        return _Heir(token, found.off, found.oseq)

    async def _move(
        self,
        heirs: Sequence["_Heir"],
        partition: int,
        jobs: Mapping[str, Job | None],
        due: Mapping[str, int],
        deciders: Mapping[str, str],
    ) -> int:
        """Write jobs into the new ledgers, which keep what they know; return how many wait."""
        apart: dict[int, dict[str, tuple[int | None, Job]]] = defaultdict(dict)
        waiting = 0
        for member, job in jobs.items():
            if job is None:
                continue
            at = due.get(member)
            if job.state == MOVED:  # by an earlier run, whose copy may be lost
                at, job.state = 0, "pending"
            waiting += at is not None
            node = deciders.get(member.partition("|")[0])
            if node is None:  # its trigger is older than the topic: nobody will make it again
                node = trigger_of(job.trigger).customer if job.trigger else ""
            q = partition_of(node, self._new.partitions) if node else partition
            apart[q][member] = (at, job)
        for q, part in apart.items():
            heir = heirs[q]
            update = LedgerUpdate(heir.off, heir.off, heir.oseq, jobs=part)
            await self._new.ledger.apply(q, heir.token, update)
        return waiting

    def _again(self, record: Record) -> Iterable[Outgoing]:
        """Return what a record behind the cut becomes: nothing, itself, or one a partition."""
        kind = header(record.headers, "kind") or b"event"
        if kind in _NO_EVENTS or header(record.headers, "src") is not None:
            return
        every: Iterable[int] = (partition_of(record.key.decode("ascii"), self._new.partitions),)
        if kind in _VERSIONS:
            every = range(self._new.partitions) if record.partition == 0 else ()
        for q in every:
            yield Outgoing(topics.EVENTS, q, record.key, record.value, record.headers)

    def _seal(self, kind: str, partition: int) -> Outgoing:
        key, value = kind.encode(), _json(Grow(self._new.version, self._new.partitions))
        seal = mac.sign(kind, key, value, self._secret)
        headers = (("kind", key), ("mac", seal))
        return Outgoing(topics.EVENTS, partition, key, value, headers)


async def until_finished(passed_on: Offsets, partitions: int, stop: asyncio.Event) -> None:
    """Return when a growth to so many `partitions` is finished, or at `stop`.

    A tick before it could pass the time of an event that still is in the old log: a wait that this
    event should have ended would fire.
    """
    said = False
    while not stop.is_set():
        try:
            if await passed_on.get(partitions):  # the entry behind those of the old partitions
                return
            if not said:
                log.warning("no ticks before `engine grow --finish` has been run")
                said = True
        except EngineError as error:
            log.warning("is the growth finished? %s", error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FINISHED_POLL_S)


def _begun(q: int, old: Sequence[Meta], first: Record) -> Meta:
    """Return what a new partition begins with: numbers anew, time and versions as they were.

    What was counted stays counted, once: in the partition of the same number.
    """
    return Meta(
        off=first.offset,
        fp=fingerprint(first),
        clk=max(meta.clk for meta in old),
        now=max(meta.now for meta in old),
        prg=max(meta.now for meta in old),
        ruleset=old[0].ruleset,
        model=old[0].model,
        disabled={rule: version for meta in old for rule, version in meta.disabled.items()},
        counts=dict(old[q].counts) if q < len(old) else {},
    )


def _address(name: str) -> str:
    """Return the id that a node's or entry's partition is computed from."""
    if name.startswith("R:"):
        return ADDRESS
    return name.split(":", 2)[2]


def _timer_address(member: str) -> str:
    if timer_entry(member) is not None:
        return ADDRESS
    return member.partition("|")[0].partition(":")[2]
