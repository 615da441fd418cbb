"""A small world: partitions, a log, a store and owners, on a seeded schedule of faults.

The owners are the engine's own; log and store are in memory and fail on purpose: a commit that
happened but whose reply is lost, a commit that never happened, a store that falls back to an
earlier state, a publication of which only a prefix arrived, owners that die between any two steps.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random

import msgspec

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.errors import EngineError, LogError, StoreError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Outgoing, partition_of
from engine.identity import mac, messages
from engine.identity.registrar import ADDRESS
from engine.keys import node_name
from engine.pipeline.book import Book
from engine.pipeline.state import Live, Node, decode_entry, decode_node
from engine.ports import Commit
from engine.runtime.partition.owner import Owner
from engine.runtime.ticker import Passed, tick_records
from tests.simulation.virtual import Hangs

SECRET = b"secret of the simulation"
TENANT = "t"
HISTORY_MAX = 30
ROUNDS_MAX = 3_000


@dataclass(frozen=True)
class Faults:
    """Chance of each fault per opportunity, 0 to 1."""

    reply_lost: float = 0.0
    commit_lost: float = 0.0
    rollback: float = 0.0
    publish_cut: float = 0.0
    death: float = 0.0
    duplicate: float = 0.0
    hint: float = 0.0


class FaultyStore(MemoryStore):
    """Loses replies, commits, and whole suffixes of its history."""

    def __init__(self, random: Random, faults: Faults) -> None:
        super().__init__()
        self._random = random
        self.faults = faults
        self.injected: Counter[str] = Counter()
        self._history: dict[int, list[tuple[object, ...]]] = {}

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        """Commit, or not, and tell the truth about it, or not."""
        if self._random.random() < self.faults.commit_lost:
            self.injected["commit_lost"] += 1
            raise StoreError("injected: nothing happened")
        await super().apply(partition, token, commit)
        history = self._history.setdefault(partition, [])
        history.append(self._copy(partition))
        del history[:-HISTORY_MAX]
        if self._random.random() < self.faults.reply_lost:
            self.injected["reply_lost"] += 1
            raise StoreError("injected: it happened, the reply was lost")

    def fall_back(self, partition: int) -> None:
        """Become an earlier state of itself, as after a failover."""
        history = self._history.get(partition)
        if not history:
            return
        self.injected["rollback"] += 1
        kept = self._random.randrange(len(history))
        del history[kept + 1 :]
        held = deepcopy(history[kept])
        self._meta[partition], self._states[partition] = held[0], held[1]  # type: ignore[assignment]
        self._timers[partition], self._outbox[partition] = held[2], held[3]  # type: ignore[assignment]
        self._moves[partition] = held[4]  # type: ignore[assignment]

    def _copy(self, partition: int) -> tuple[object, ...]:
        return deepcopy(
            (
                self._meta[partition],
                self._states[partition],
                self._timers[partition],
                self._outbox[partition],
                self._moves[partition],
            )
        )


class FaultyLog(MemoryLog):
    """Takes only a prefix of a publication now and then, and says that it failed."""

    def __init__(self, partitions: dict[str, int], random: Random, faults: Faults) -> None:
        super().__init__(partitions)
        self._random = random
        self.faults = faults
        self.injected: Counter[str] = Counter()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append all, or a prefix and an error."""
        if records and self._random.random() < self.faults.publish_cut:
            self.injected["publish_cut"] += 1
            await super().publish(records[: self._random.randrange(len(records) + 1)])
            raise LogError("injected: only a prefix arrived")
        await super().publish(records)


class Shelf:
    """A library that has all versions from the start."""

    def __init__(self, book: Book) -> None:
        self.book = book

    async def need(self, kind: str, version: str) -> None:
        """All is there."""
        held = self.book.rule_sets if kind == "ruleset" else self.book.models
        assert version in held, (kind, version)


class World:
    """Everything that one seed needs; `run` drives it until nothing moves any more."""

    def __init__(
        self,
        seed: int,
        *,
        partition_count: int = 4,
        faults: Faults | None = None,
        book: Book | None = None,
    ) -> None:
        self.random = Random(seed)
        self.count = partition_count
        faults = faults or Faults()
        self.store = FaultyStore(self.random, faults)
        names = [v for k, v in vars(topics).items() if k.isupper() and isinstance(v, str)]
        self.partitions = dict.fromkeys(names, partition_count)
        self.log = FaultyLog(self.partitions, self.random, faults)
        self.book = book or Book(secret=SECRET)
        self.faults = faults
        self.now = 1_700_000_000_000
        self.passed = Passed()
        self.deaths = 0
        self._owners: dict[int, Owner | None] = dict.fromkeys(range(partition_count))

    def owner(self, partition: int) -> Owner:
        """Return a new owner, as another worker would be."""
        return Owner(
            partition,
            partition_count=self.count,
            store=self.store,
            reader=self.log,
            publisher=self.log,
            library=Shelf(self.book),
            topic_partitions=self.partitions,
        )

    def send(self, event: Event, *, to: str | None = None) -> None:
        """Put an event into the log, at its home or at a hint."""
        key = to or event.ids[0]
        value = msgspec.json.encode(event)
        self.log.append(Outgoing(topics.EVENTS, partition_of(key, self.count), key.encode(), value))

    def order(self, kind: str, body: msgspec.Struct, *, to: str = ADDRESS) -> None:
        """Put a sealed control record into the log, as staff's tools do."""
        value = msgspec.json.encode(body)
        seal = mac.sign(kind, to.encode(), value, self.book.secret)
        headers = (("kind", kind.encode()), ("mac", seal))
        partition = partition_of(to, self.count)
        self.log.append(Outgoing(topics.EVENTS, partition, to.encode(), value, headers))

    def erase(self, name: str) -> None:
        """Order the erasure of the person of an identifier."""
        self.order("erase", messages.Erase(TENANT, name, self.now))

    def split(self, name: str, ids: list[str]) -> None:
        """Order that some identifiers leave the person of a name."""
        self.order("split", messages.Split(TENANT, name, ids))

    async def tick(self, step_ms: int = 1_000) -> None:
        """Advance the clock of the log, as the live ticker does."""
        self.now += step_ms
        progress = min([(await self.store.meta(p)).prg for p in range(self.count)])
        passed = self.passed.note(progress)
        for record in tick_records(self.now, passed, self.count, self.book.secret):
            self.log.append(record)
        self.passed.wrote(self.now)

    async def step(self) -> bool:
        """Let one partition do one batch; False when none has anything to do."""
        for partition in self.random.sample(range(self.count), self.count):
            if self.random.random() < self.faults.rollback:
                self.store.fall_back(partition)
            if self.random.random() < self.faults.death:
                self.deaths += 1
                self._owners[partition] = None
            if await self.work(partition):
                return True
        return False

    async def work(self, partition: int) -> bool:
        """Do one batch of a partition; False when it has nothing to do."""
        offset = await self._offset(partition)
        size = self.random.randint(1, 12)
        batch = await self.log.read(topics.EVENTS, partition, offset, count_max=size)
        if not batch:
            return False
        owner = self._owners[partition]
        assert owner is not None
        try:
            await owner.batch(batch)
        except (EngineError, AssertionError):
            # What is loaded across a fall-back is of two states and may not fit together; a
            # worker takes over again, as from every other error (runtime/partition/engage.py).
            self._owners[partition] = None
        return True

    async def drain(self, *partitions: int) -> None:
        """Let some partitions do all that they have, and the others nothing."""
        while any([await self.work(partition) for partition in partitions]):
            pass

    async def drain_all(self) -> None:
        """Run until nothing moves any more."""
        for _ in range(ROUNDS_MAX):
            if not await self.step():
                return
        raise Hangs(f"still at work after {ROUNDS_MAX} batches")

    async def settle(self) -> None:
        """Heal, and let some ticks pass with all that follows from them."""
        self.heal()
        for partition in range(self.count):
            self._owners[partition] = None
        for _ in range(6):
            await self.tick()
            await self.drain_all()

    def heal(self) -> None:
        """No faults from now on."""
        self.faults = self.store.faults = self.log.faults = Faults()

    async def _offset(self, partition: int) -> int:
        owner = self._owners[partition]
        while owner is None:
            candidate = self.owner(partition)
            try:
                await candidate.take_over()
                owner = self._owners[partition] = candidate
            except (StoreError, LogError):
                continue
        return owner.state.meta.off + 1

    def nodes(self) -> dict[str, Node]:
        """Return all committed nodes by id."""
        prefix = node_name(TENANT, "")
        return {
            name.removeprefix(prefix): decode_node(name, data)
            for held in self.store._states.values()
            for name, data in held.items()
            if name.startswith(prefix)
        }

    def entries(self) -> dict[str, object]:
        """Return the registrar's entries by birth id."""
        prefix = f"R:{TENANT}/"
        return {
            name.removeprefix(prefix): decode_entry(data)
            for held in self.store._states.values()
            for name, data in held.items()
            if name.startswith(prefix)
        }

    def counts(self) -> Counter[str]:
        """Return the totals that are part of the state."""
        total: Counter[str] = Counter()
        for meta in self.store._meta.values():
            total.update(meta.counts)
        return total


def end_of_chain(nodes: dict[str, Node], name: str) -> str | None:
    """Return the live node where events homed at a name end, None if nowhere (yet, or any more)."""
    home = name
    while (node := nodes.get(name)) is not None:
        if isinstance(node, Live):
            if home not in node.links.moved or name == home:
                return name
            name = node.links.moved[home]
        elif name == home:
            name = "" if node.erased else node.target
        else:
            name = node.way(home)
    return None


def run(world: World, script: list[tuple[str, object]]) -> None:
    """Play a script and settle.

    Of ('event', Event), ('erase', name), ('split', (name, ids)), ('tick', ms), ('work', n).
    """

    async def play() -> None:
        for what, value in script:
            if what == "event":
                assert isinstance(value, Event)
                world.send(value)
                if world.random.random() < world.faults.duplicate:
                    world.send(value)
                if world.random.random() < world.faults.hint and len(value.ids) > 1:
                    world.send(value, to=world.random.choice(value.ids))
            elif what == "erase":
                assert isinstance(value, str)
                world.erase(value)
            elif what == "split":
                assert isinstance(value, tuple)
                world.split(*value)
            elif what == "tick":
                assert isinstance(value, int)
                await world.tick(value)
            else:
                assert isinstance(value, int)
                for _ in range(value):
                    await world.step()
        await world.settle()

    asyncio.run(play())
