"""What each process does: `work` folds, `deliver` sends, `keep` ticks, re-keys and learns.

`collect` is in `api/serve.py`: doors for people come last in FLOW. A role runs until its stop event
is set; a crash of any of its parts ends the process, and the supervisor starts it again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import time

from engine.adapters.clock import clock_of
from engine.adapters.http import HttpSender
from engine.adapters.kafka.group import FaustGroup
from engine.adapters.redis.check import check_redis
from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.offsets import RedisOffsets
from engine.config import Settings
from engine.errors import EngineError, StoreError
from engine.events import topics
from engine.events.record import Record
from engine.outcome import Outcome
from engine.ports import Handler
from engine.runtime.connect import publisher_of, reader_of, store_of, topic_of, transactions_of
from engine.runtime.growth import until_finished
from engine.runtime.handover.sender import Dispatcher
from engine.runtime.learner import Learner
from engine.runtime.lookup import Lookup
from engine.runtime.observe import Meter, note_batch
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.fuses import Fuses
from engine.runtime.partition.owner import Owner
from engine.runtime.rekey import Rekeyer
from engine.runtime.routes import Routes
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.runtime.rulesets.readiness import keep_told
from engine.runtime.setup import contracts_of, endpoints_of, sources_of, topic_partitions
from engine.runtime.ticker import Ticker

WATCH_S = 5.0
LOOKS_MAX = 8  # partitions whose end is asked for at once: all of 256 would stop the loop
LOOK_UPS_MAX = 64  # host names that are looked up at once
log = logging.getLogger(__name__)
Role = Callable[["Engine", asyncio.Event], Awaitable[None]]


class Engine:
    """The connections of one process, by its settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.space = settings.space
        self.clock = clock_of(settings)
        self.meter = Meter()
        self.publisher = publisher_of(settings)
        self.transactions = transactions_of(settings)
        self.reader = reader_of(settings)
        self.store = store_of(settings)
        self.lookup = Lookup(
            self.store,
            partition_count=settings.partitions,
            tenant=settings.tenant,
            secret=settings.secret_key,
        )

    def group(self, name: str) -> FaustGroup:
        """Return this process's member of a consumer group of this generation."""
        settings = self.settings
        instance = f"{settings.instance_id}-{name}" if settings.instance_id else None
        return FaustGroup(
            settings.kafka_bootstrap, f"{settings.log_name}-{name}", instance_id=instance
        )

    async def connect(self) -> None:
        """Connect the producer, so that the first event does not wait; look at Redis' settings.

        Raises
        ------
        ConfigError
            If Redis may throw state away, or is too old.
        """
        await self.publisher.connect()
        try:
            await check_redis(self.settings.redis_url)
        except StoreError as error:
            log.warning("%s; waiting for it", error)

    async def close(self) -> None:
        """Close all connections."""
        await self.publisher.close()
        if self.transactions is not None:
            await self.transactions.close()
        await self.reader.close()
        await self.store.close()


async def work(engine: Engine, stop: asyncio.Event) -> None:
    """Fold partitions of the event log, as many as the group gives us."""
    settings = engine.settings
    library = ArtefactLibrary(engine.reader, secret=settings.secret_key)
    counts = await asyncio.to_thread(topic_partitions, settings)

    def owner(partition: int) -> Owner:
        return Owner(
            partition,
            partition_count=settings.partitions,
            store=engine.store,
            reader=engine.reader,
            publisher=engine.publisher,
            library=library,
            topic_partitions=counts,
            transactions=engine.transactions,
        )

    meter = engine.meter
    fuses = Fuses(
        engine.publisher,
        partition_count=settings.partitions,
        secret=settings.secret_key,
        errors_max=settings.rule_errors_max,
    )
    handler = Engage(
        owner,
        seen=partial(_note, engine, fuses),
        repaired=lambda _, reason: meter.count("engine_work_repairs_total", reason=reason),
    )
    watching = asyncio.create_task(_watch(engine, handler, stop))
    following = asyncio.create_task(library.follow(stop, used=handler.rule_sets))
    telling = asyncio.create_task(keep_told(engine.store, library, handler.tokens, stop))
    fusing = asyncio.create_task(fuses.run())
    try:
        await _serve(engine.group("engage"), topic_of(settings, topics.EVENTS), handler, stop)
    finally:
        for task in (watching, following, telling, fusing):
            task.cancel()


async def _watch(engine: Engine, handler: Engage, stop: asyncio.Event) -> None:
    """Tell every few seconds how far behind each partition is, by the names of kafka-exporter."""
    room = asyncio.Semaphore(LOOKS_MAX)
    while not stop.is_set():
        applied = handler.applied()
        engine.meter.gauge("engine_work_partitions", len(applied))
        engine.meter.gauge("engine_work_stopped_partitions", len(handler.stopped))
        engine.meter.gauge("engine_work_disabled_rules", len(handler.disabled()))
        await asyncio.gather(
            *(_note_lag(engine, partition, offset, room) for partition, offset in applied.items())
        )
        await asyncio.sleep(WATCH_S)


async def _note_lag(engine: Engine, partition: int, offset: int, room: asyncio.Semaphore) -> None:
    """Ask for the end of one partition; one whose broker is silent keeps few others waiting."""
    async with room:
        try:
            _, end = await engine.reader.bounds(topics.EVENTS, partition)
        except (EngineError, OSError, TimeoutError) as error:
            log.warning("lag of partition %d is not known: %s", partition, error)
            return
    place = {"topic": topics.EVENTS, "partition": str(partition)}
    engine.meter.gauge("kafka_topic_partition_current_offset", end, **place)
    place = {"consumergroup": f"{engine.settings.log_name}-engage", **place}
    engine.meter.gauge("kafka_consumergroup_current_offset", offset + 1, **place)
    engine.meter.gauge("kafka_consumergroup_lag", max(0, end - offset - 1), **place)


def _note(
    engine: Engine,
    fuses: Fuses,
    partition: int,
    records: Sequence[Record],
    outcome: Outcome,
    seconds: float,
) -> None:
    if outcome.broken:
        fuses.note(outcome.broken)
    note_batch(engine.meter, partition, records, outcome, seconds=seconds)
    if not records:  # timers of a tick that is not done yet
        return
    behind = engine.clock.now() - records[-1].timestamp if engine.settings.speed == 1 else 0
    engine.meter.gauge("engine_event_age_seconds", max(0, behind) / 1000, partition=str(partition))


def dispatcher_of(
    engine: Engine, ledger: RedisLedger, sender: HttpSender, *, inbox_count: int
) -> Dispatcher:
    """Return the handler of triggers; `inbox_count`: partitions of the inbox, for receipts."""
    settings = engine.settings

    async def log_start(partition: int) -> int:
        return (await engine.reader.bounds(topics.TRIGGERS, partition))[0]

    return Dispatcher(
        endpoints=endpoints_of(settings),
        ledger=ledger,
        sender=sender,
        publisher=engine.publisher,
        clock=engine.clock,
        real_ms=lambda: int(time() * 1000),
        lookup=engine.lookup.actor_of,
        meter=engine.meter,
        partition_count=inbox_count,
        engine_key=sources_of(settings).by_name["engine"].key,
        speed=settings.speed,
        log_start=log_start,
    )


async def deliver(engine: Engine, stop: asyncio.Event) -> None:
    """Hand triggers over to channel systems."""
    settings = engine.settings
    # Names are looked up in these threads: one that nobody answers for must not have them all.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOK_UPS_MAX))
    counts = await asyncio.to_thread(topic_partitions, settings)
    sender = HttpSender()
    ledger = RedisLedger(settings.redis_url, engine.space)
    dispatcher = dispatcher_of(engine, ledger, sender, inbox_count=counts[topics.INBOX])
    attempts = asyncio.create_task(dispatcher.run(stop))
    try:
        topic = topic_of(settings, topics.TRIGGERS)
        await _serve(engine.group("deliver"), topic, dispatcher, stop)
        await attempts
    finally:
        attempts.cancel()
        await sender.close()
        await ledger.close()


async def keep(engine: Engine, stop: asyncio.Event) -> None:
    """Tick, re-key the inbox, learn from labels: one of each is enough, more do no harm."""
    settings = engine.settings
    ticker = Ticker(
        store=engine.store,
        publisher=engine.publisher,
        clock=engine.clock,
        partition_count=settings.partitions,
        secret=settings.secret_key,
        interval_s=settings.tick_ms / 1000,
        ticked=lambda: engine.meter.count("engine_tick_total"),
    )
    learner = Learner(
        reader=engine.reader,
        publisher=engine.publisher,
        partition_count=settings.partitions,
        secret=settings.secret_key,
        learned=partial(_note_learning, engine),
    )
    offsets = RedisOffsets(settings.redis_url, engine.space)
    routes = Routes(engine.reader, partition_count=settings.partitions)
    rekeyer = Rekeyer(
        sources=sources_of(settings),
        contracts=contracts_of(settings),
        publisher=engine.publisher,
        reader=engine.reader,
        offsets=offsets,
        clock=engine.clock,
        meter=engine.meter,
        partition_count=settings.partitions,
        secret=settings.secret_key,
        any_key=settings.any_key,
        routes=routes.of if settings.routes else None,
    )
    async with asyncio.TaskGroup() as tasks:
        if settings.routes:
            tasks.create_task(routes.run(stop))
        tasks.create_task(_tick(engine, ticker, stop))
        tasks.create_task(learner.run(stop))
        tasks.create_task(_serve(engine.group("rekey"), topics.INBOX, rekeyer, stop))
    await offsets.close()


async def _tick(engine: Engine, ticker: Ticker, stop: asyncio.Event) -> None:
    """Tick; in a log that has grown only when all that came before has been passed on to it."""
    settings = engine.settings
    if settings.log_version > 1:
        passed_on = RedisOffsets(settings.redis_url, engine.space, key=engine.space.bridge_key)
        await until_finished(passed_on, settings.partitions, stop)
        await passed_on.close()
    await ticker.run(stop)


def _note_learning(engine: Engine, labels: int, auc: float | None) -> None:
    engine.meter.count("engine_learn_labels_total", labels)
    if auc is not None:
        engine.meter.gauge("engine_learn_auc", auc)


ROLES: dict[str, Role] = {"work": work, "deliver": deliver, "keep": keep}


async def _serve(group: FaustGroup, topic: str, handler: Handler, stop: asyncio.Event) -> None:
    """Run a group member until told to stop; what crashes it is raised."""
    serving = asyncio.create_task(group.run(topic, handler))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        await group.stop()
    await serving
