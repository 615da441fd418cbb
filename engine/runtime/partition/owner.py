"""One partition of the log in the hands of its owner: take over, fold batches, commit, publish.

The steps T1-T6 and B1-B6 are PROTOCOL.md 1.3. There is one way back from every error and every
unknown outcome: believe nothing, drop what is cached, take over again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Protocol

import msgspec

from engine.adapters.kafka.seats import BATCH_MAX
from engine.errors import ContractError, CoverageError, Fenced
from engine.events import topics
from engine.events.record import Outgoing, Record, fingerprint, header, partition_of
from engine.outcome import Meta, Move, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, read
from engine.pipeline.fold import fold, pass_over
from engine.pipeline.needs import fitting, needed_entries, needed_nodes, needed_roots
from engine.pipeline.state import TICK_TIMERS_MAX, Partition, decode_entry, decode_node
from engine.ports import Commit, Publisher, Reader, Store, Transactions
from engine.runtime.partition.cache import Cache
from engine.runtime.partition.coverage import check_log, read_back, witness

CACHE_SIZE_MAX = 512 * 2**20  # bytes over all partitions of the log: some 200,000 customers
CACHE_SIZE_MIN = 2 * 2**20  # of one partition
PROOF_MS_MAX = 2_000  # an older proof of ownership is not believed before publishing
TRIES_MAX = 3  # take-overs at one place without an end of it: from then on one thing at a time
ALONE_MAX = 2  # so often it was tried alone and its owner did not come back: passed over
CAREFUL_STEPS = max(BATCH_MAX, TICK_TIMERS_MAX)  # as far as the batch that killed may have reached
_pack = msgspec.msgpack.Encoder().encode
_move = msgspec.msgpack.Decoder(Move).decode


class Library(Protocol):
    """Where a worker gets the artefacts that the log's records name."""

    @property
    def book(self) -> Book: ...

    async def need(self, kind: str, version: str) -> None:
        """Return when the book has it; a partition waits here, others go on."""


class Owner:
    """The owner of one partition.

    `topic_partitions`: counts of the topics that moves go to. `timers_max`: timers of a tick that
    fire in one batch. `transactions`: what triggers go out by; None: by `publisher` too.
    """

    def __init__(
        self,
        partition: int,
        *,
        partition_count: int,
        store: Store,
        reader: Reader,
        publisher: Publisher,
        library: Library,
        topic_partitions: dict[str, int],
        timers_max: int = TICK_TIMERS_MAX,
        transactions: Transactions | None = None,
    ) -> None:
        self.partition = partition
        self.takeovers = 0
        self._count = partition_count
        self._store = store
        self._reader = reader
        self._publisher = publisher
        self._transactions = transactions
        self._library = library
        self._topic_partitions = topic_partitions
        self._timers_max = timers_max
        self._token = ""
        self._state: Partition
        self._cache: Cache
        self._published = 0  # highest oseq that the trigger topic holds
        self._trim_outbox = 0
        self._trim_moves = 0
        self._proved_at = 0.0
        self._careful_steps = 0
        self._deaths = 0  # of owners that tried alone what comes next
        self._survived = 0  # our own notes that we try it alone, without a commit

    @property
    def is_careful(self) -> bool:
        """Whether owners have died here: one thing at a time, each noted before it is tried."""
        return self._careful_steps > 0

    @property
    def is_deadly(self) -> bool:
        """Whether what comes next has killed those who tried it, and is to be passed over."""
        return self._deaths >= ALONE_MAX

    @property
    def place(self) -> tuple[int, int]:
        """How far the log is applied: the offset, and the fired timers of the tick behind it."""
        return self._state.meta.off, self._state.meta.sub

    @property
    def token(self) -> str:
        """What the store knows this owner by; another one after each take-over."""
        return self._token

    @property
    def is_ready(self) -> bool:
        """Whether it has been taken over at least once."""
        return hasattr(self, "_state")

    @property
    def state(self) -> Partition:
        """The state as of the last successful commit."""
        return self._state

    async def take_over(self) -> int:
        """T1-T6: own the partition; return the offset to read from.

        Raises
        ------
        CoverageError
            If log and store do not fit together (I6): then an operator restores a backup.
        """
        self.takeovers += 1
        previous, self._token = self._token, secrets.token_hex(8)
        proof = monotonic()
        snapshot = await self._store.acquire(
            self.partition, self._token, previous=previous, survived=self._survived
        )
        self._proved_at = proof
        self._survived = 0
        self._deaths = snapshot.alone
        careful = snapshot.alone or snapshot.tries >= TRIES_MAX
        self._careful_steps = CAREFUL_STEPS if careful else 0
        self._cache = Cache(max(CACHE_SIZE_MIN, CACHE_SIZE_MAX // self._count))
        self._state = Partition(
            self.partition, self._count, snapshot.meta, timers_max=self._timers_max
        )
        self._state.set_timers(snapshot.timers)
        await check_log(self._reader, self.partition, snapshot.meta)
        for kind, version in (("ruleset", snapshot.meta.ruleset), ("model", snapshot.meta.model)):
            if version:
                await self._library.need(kind, version)
        if self._transactions is not None:
            await self._transactions.claim(self.partition)
        self._published = await read_back(self._reader, self.partition, snapshot)
        await self._publish(
            [(n, _move(data)) for n, data in snapshot.outbox],
            [(n, _move(data)) for n, data in snapshot.moves],
        )
        return snapshot.meta.off + 1

    async def release(self) -> None:
        """Let go of what was opened for the partition; it may be another's now."""
        if self._transactions is not None:
            await self._transactions.release(self.partition)

    async def batch(self, records: Sequence[Record]) -> tuple[int, Outcome]:
        """B1-B5: fold consecutive records, commit and publish; return (next offset, outcome).

        It may stop short of their end, and inside a tick: where too many timers are due.
        """
        state = self._state
        first, last = state.meta.off + 1, state.meta.off + len(records)
        if (records[0].offset, records[-1].offset) != (first, last):  # it has no transactions
            raise CoverageError(
                f"{topics.EVENTS}/{self.partition}: next are {first} to {last}, "
                f"the log gave {records[0].offset} to {records[-1].offset}",
                code="log/hole",
            )
        book = self._library.book
        arrivals = [read(record, book.secret) for record in records]
        await self._need(arrivals)
        arrivals = arrivals[: fitting(state, arrivals)]
        await self._load(arrivals)
        before = replace(state.meta)
        for arrival in arrivals:
            fold(state, arrival, book)
            if state.meta.sub:
                break  # the rest of this tick's timers come first
        done = state.meta.off - before.off
        return await self._finish(before, arrivals[done - 1].record if done else None)

    async def prepare(self, record: Record) -> None:
        """Wait for what a record names, as long as that takes: others go on meanwhile."""
        await self._need([read(record, self._library.book.secret)])

    async def alone(self, record: Record) -> tuple[int, Outcome]:
        """Fold one record, of a tick one timer; where owners have died, say so before."""
        if self._careful_steps:
            self._careful_steps -= 1
            self._survived = 1  # if we come to tell
            await self._store.alone(self.partition, self._token)
        state = self._state
        state.timers_max = 1
        try:
            return await self.batch([record])
        finally:
            state.timers_max = self._timers_max

    async def quarantine(self, record: Record, reason: ContractError) -> tuple[int, Outcome]:
        """Pass over a record, or one timer of a tick: to the dead letters, nothing else."""
        state = self._state
        before = replace(state.meta)
        arrival = Arrival(record)
        if header(record.headers, "kind") == b"tick":
            arrival = read(record, self._library.book.secret)
            state.timers_max = 1
            if not self.is_deadly:  # else to load its node may be what kills
                await self._load([arrival])
            state.timers_max = self._timers_max
        pass_over(state, arrival, reason)
        return await self._finish(before, record if state.meta.off == record.offset else None)

    async def _finish(self, before: Meta, last: Record | None) -> tuple[int, Outcome]:
        """Commit and publish; `last`: the record that is applied last now, None if as before."""
        state = self._state
        state.note_timers()
        meta, outcome = state.meta, state.outcome
        if last is not None:
            meta.fp = fingerprint(last)
        if not before.sub:
            meta.prg = before.now
        for code, n in outcome.counts.items():
            meta.counts[code] = meta.counts.get(code, 0) + n
        states = state.states()
        commit = Commit(
            off_expected=before.off,
            sub_expected=before.sub,
            meta=meta,
            states=states,
            timers=outcome.timers,
            outbox=[(n, _pack(move)) for n, move in outcome.triggers],
            moves=[(n, _pack(move)) for n, move in outcome.moves],
            trim_outbox=self._trim_outbox,
            trim_moves=self._trim_moves,
        )
        proof = monotonic()
        await self._store.apply(self.partition, self._token, commit)
        self._proved_at = proof
        self._deaths = self._survived = 0
        self._cache.update(states)
        self._cache.shrink()
        state.begin()
        if (monotonic() - self._proved_at) * 1000 > PROOF_MS_MAX:
            await self._prove()
        await self._publish(outcome.triggers, outcome.moves)
        return meta.off + 1, outcome

    async def _need(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.kind in ("ruleset", "model") and arrival.error is None:
                await self._library.need(arrival.kind, arrival.body.version)

    async def _load(self, arrivals: Sequence[Arrival]) -> None:
        state = self._state
        nodes, entries = needed_nodes(state, arrivals), needed_entries(state, arrivals)
        await self._fetch([*nodes, *entries])
        for name, value in zip(nodes, self._cache.many(nodes), strict=True):
            state.nodes[name] = decode_node(name, value)
        for name in entries:
            state.entries[name] = decode_entry(self._cache[name])
        roots = needed_roots(state, entries) - state.entries.keys()
        if roots:
            await self._fetch(list(roots))
            for name in roots:
                state.entries[name] = decode_entry(self._cache[name])

    async def _fetch(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self._cache]
        if missing:
            values = await self._store.load(self.partition, missing)
            self._cache.update(dict(zip(missing, values, strict=True)))

    async def _prove(self) -> None:
        proof = monotonic()
        if await self._store.owner(self.partition) != self._token:
            raise Fenced(f"partition {self.partition} has another owner")
        self._proved_at = proof

    async def _publish(
        self, triggers: Sequence[tuple[int, Move]], moves: Sequence[tuple[int, Move]]
    ) -> None:
        applied = witness(self._state.meta)
        records = [
            Outgoing(m.topic, m.partition, m.key.encode(), m.value, (("oseq", b"%d" % n), *applied))
            for n, m in triggers
            if n > self._published
        ]
        if self._transactions is not None and records:
            await self._transactions.publish(self.partition, records)
            records = []
        records += [self._outgoing(n, move) for n, move in moves]
        if records:
            await self._publisher.publish(records)
        if triggers:
            self._published = max(self._published, triggers[-1][0])
            self._trim_outbox = triggers[-1][0]
        if moves:
            self._trim_moves = moves[-1][0]

    def _outgoing(self, number: int, move: Move) -> Outgoing:
        partition = move.partition
        if partition < 0:
            partition = partition_of(move.key, self._topic_partitions[move.topic])
        headers = tuple((name, bytes(value)) for name, value in move.headers)
        if move.topic != topics.EVENTS:  # what goes to another actor has its number in it
            headers += (("src", b"%d" % self.partition), ("mseq", b"%d" % number))
        return Outgoing(move.topic, partition, move.key.encode(), move.value, headers)
