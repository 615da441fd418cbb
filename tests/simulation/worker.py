"""A worker of the simulated installation, a member of three groups: folds, delivers, re-keys.

What is run is the engine's own: Engage and Owner, Dispatcher, Rekeyer, and Seats, which the shell
feeds in the same way from a broker.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context, copy_context
from random import Random
from typing import Any

from engine.adapters.kafka.seats import Answer, Seats
from engine.churn.model import parse_model
from engine.delivery.model import Endpoint
from engine.events import topics
from engine.events.record import Record
from engine.ingest.sources import Source, Sources
from engine.outcome import Outcome
from engine.pipeline.book import Book
from engine.ports import Handler
from engine.runtime.handover.sender import Dispatcher
from engine.runtime.lookup import Lookup
from engine.runtime.observe import Meter
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from engine.runtime.rekey import Rekeyer
from tests.simulation.channels import Channels
from tests.simulation.faults import Chance, Process, Slots, Topics
from tests.simulation.rules import contracts, lateness_ms, rule_set
from tests.simulation.timers import timers_max
from tests.simulation.transactions import FaultyTransactions, transactional
from tests.simulation.virtual import OWNER, Skewed, WorldClock
from tests.simulation.ways import FaultyLedger, FaultyLog, FaultyOffsets, FaultyStore

SECRET = b"secret of the simulation"
TENANT = "t"
ENGINE_KEY = "engine-key"
FETCH_MAX = 12  # records of one answer of the broker
DRAIN_S = 3.0
ARTEFACT_S = 0.5  # a worker that meets a version waits so long for its artefact
ONE_PARTITION = (
    topics.LABELLED, topics.MODELS, topics.RULE_SETS, topics.SNAPSHOTS,
    topics.DEAD_EVENTS, topics.DEAD_DELIVERIES,
)  # fmt: skip
GROUPS = (topics.EVENTS, topics.TRIGGERS, topics.INBOX)
SOURCES = Sources({"engine": Source("engine", ENGINE_KEY, tenant=TENANT)})
METER = Meter()  # nobody reads it, and to make one costs more than a short storm


def partitions(count: int) -> dict[str, int]:
    """Return how many partitions each topic has."""
    names = (v for k, v in vars(topics).items() if k.isupper() and isinstance(v, str))
    return {name: 1 if name in ONE_PARTITION else count for name in names}


class Installation:
    """What all of its processes share: the log, Redis' side, the clock, the channel systems."""

    def __init__(
        self,
        seed: int,
        *,
        count: int,
        chance: Chance,
        clock: WorldClock,
        slots: Slots,
        channels: Channels,
        endpoints: tuple[Endpoint, ...],
    ) -> None:
        self.seed = seed
        self.count = count
        self.chance = chance
        self.clock = clock
        self.slots = slots
        self.channels = channels
        self.endpoints = endpoints
        self.partitions = partitions(count)
        self.log = Topics(self.partitions, chance)
        self.transactional = transactional(seed)
        self.claims: dict[int, FaultyTransactions] = {}
        self.batches = 0
        self.repairs: dict[str, int] = {}


class Shelf:
    """A worker's library: a version is there a while after its artefact is in the log."""

    def __init__(self, log: Topics) -> None:
        self._log = log
        self._rule_sets: dict[str, Any] = {}
        self._models: dict[str, Any] = {}
        self.delay_s = ARTEFACT_S
        self.book = Book(
            secret=SECRET,
            rule_sets=self._rule_sets,
            models=self._models,
            lateness_ms=lateness_ms,
        )

    async def need(self, kind: str, version: str) -> None:
        """Return when the book has it."""
        if kind == "ruleset":
            if version not in self._rule_sets:
                await asyncio.sleep(self.delay_s)
                self._rule_sets[version] = rule_set(version)
            return
        while version not in self._models:
            await asyncio.sleep(self.delay_s)
            for record in self._log.held(topics.MODELS, 0):
                name, _, found = record.key.decode().partition("@")
                if name == "churn" and found:
                    self._models[found] = parse_model(record.value)


class Member:
    """A worker in one consumer group; feeds its seats from the log (seats.Feed)."""

    def __init__(self, worker: "Worker", topic: str, handler: Handler, log: Topics) -> None:
        self.seats = Seats(topic, handler, self)
        self.wake = self.seats.room
        self._worker = worker
        self._topic = topic
        self._log = log
        self._place: dict[int, int] = {}
        log.listeners.append((topic, self.wake.set))
        self._task = asyncio.create_task(self._feed())

    async def seek(self, partition: int, offset: int) -> None:
        """Give the records from `offset` on."""
        self._place[partition] = offset

    async def log_start(self, partition: int) -> int:
        """Return the first offset of the log."""
        return 0

    def leave(self) -> None:
        """Hear no more of the log."""
        self._log.listeners.remove((self._topic, self.wake.set))

    async def _feed(self) -> None:
        chance = self._worker.chance
        while True:
            self.wake.clear()
            fed = False
            for partition, seat in sorted(self.seats.held.items()):
                place = self._place.get(partition, 0)
                taken = self._log.taken(self._topic, partition)
                if not seat.is_hungry or place >= len(taken):
                    continue
                after = min(place + chance.acts.randint(1, FETCH_MAX), len(taken))
                if after > place + 1 and chance.acts.random() < 0.02 * chance.weight("hole"):
                    chance.injected["hole"] += 1  # a fetch that spans a rebalance
                    place += 1
                self._place[partition] = after
                seat.take(Answer(place, [each for each in taken[place:after] if each], after))
                fed = True
            await self._worker.step()
            if not fed:
                await self.wake.wait()


class Worker(Process):
    """One worker process with its three handlers."""

    def __init__(self, name: str, cluster: Installation) -> None:
        super().__init__(name, cluster.chance)
        self.cluster = cluster
        self.clock = Skewed(cluster.clock)
        self.context: Context = copy_context()
        self.context.run(OWNER.set, self)
        self.members: dict[str, Member] = {}
        self.context.run(self._start)

    def _start(self) -> None:
        cluster = self.cluster
        store, log = FaultyStore(self, cluster.slots), FaultyLog(self, cluster.log)
        shelf = Shelf(cluster.log)
        transactions = FaultyTransactions(self, cluster.log, cluster.claims)
        lookup = Lookup(store, partition_count=cluster.count, tenant=TENANT, secret=SECRET)

        def owner(partition: int) -> Owner:
            return Owner(
                partition,
                partition_count=cluster.count,
                store=store,
                reader=log,
                publisher=log,
                library=shelf,
                topic_partitions=cluster.partitions,
                timers_max=timers_max(cluster.seed),
                transactions=transactions if cluster.transactional else None,
            )

        dispatcher = Dispatcher(
            endpoints=cluster.endpoints,
            ledger=FaultyLedger(self, cluster.slots),
            sender=cluster.channels.sender(self),
            publisher=log,
            clock=self.clock,
            real_ms=self.clock.now,
            lookup=lookup.actor_of,
            meter=METER,
            partition_count=cluster.count,
            engine_key=ENGINE_KEY,
            random=Random(f"{cluster.seed}/{self.name}"),
        )
        rekeyer = Rekeyer(
            sources=SOURCES,
            contracts=contracts(),
            publisher=log,
            reader=log,
            offsets=FaultyOffsets(self, cluster.slots),
            clock=self.clock,
            meter=METER,
            partition_count=cluster.count,
            secret=SECRET,
        )
        engage = Engage(owner, seen=self._seen, repaired=self._repaired)
        handlers: tuple[Handler, ...] = (engage, dispatcher, rekeyer)
        for topic, handler in zip(GROUPS, handlers, strict=True):
            self.members[topic] = Member(self, topic, handler, cluster.log)
        self.running = asyncio.create_task(dispatcher.run(asyncio.Event()))

    def kill(self) -> None:
        """End it."""
        super().kill()
        for member in self.members.values():
            member.leave()

    def open(self, topic: str, partition: int) -> None:
        """Be told by the group that a partition is this worker's."""
        if not self.dead and partition not in self.members[topic].seats.held:
            self.context.run(self.members[topic].seats.open, [partition])

    async def give_up(self, topic: str, partition: int) -> None:
        """Be told that it is not any more."""
        seats = self.members[topic].seats
        await seats.drain([partition], timeout_s=DRAIN_S)
        await seats.give_up([partition])

    def _seen(
        self, partition: int, records: Sequence[Record], outcome: Outcome, seconds: float
    ) -> None:
        self.cluster.batches += 1

    def _repaired(self, partition: int, why: str) -> None:
        self.cluster.repairs[why] = self.cluster.repairs.get(why, 0) + 1
