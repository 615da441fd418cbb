"""All processes of an installation, and who owns what: a group coordinator, tickers, a learner."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from engine.delivery.model import Endpoint
from engine.events import topics
from engine.runtime.learner import Learner
from engine.runtime.ticker import Ticker
from tests.simulation.channels import Channels
from tests.simulation.faults import Chance, Process, Slots
from tests.simulation.virtual import OWNER, Skewed, WorldClock
from tests.simulation.ways import FaultyLog, FaultyStore
from tests.simulation.worker import GROUPS, SECRET, Installation, Worker


class Cluster(Installation):
    """All processes, and who owns what."""

    def __init__(
        self,
        seed: int,
        *,
        count: int,
        workers: int,
        chance: Chance,
        clock: WorldClock,
        slots: Slots,
        channels: Channels,
        endpoints: tuple[Endpoint, ...],
    ) -> None:
        super().__init__(
            seed,
            count=count,
            chance=chance,
            clock=clock,
            slots=slots,
            channels=channels,
            endpoints=endpoints,
        )
        self._born = 0
        self.workers = [self._new_worker() for _ in range(workers)]
        self.owner: dict[tuple[str, int], Worker] = {}
        self.tickers: list[tuple[Process, Skewed, Ticker]] = []
        self.learner: Process | None = None
        self.pupil: Learner | None = None

    def start(self) -> None:
        """Assign every partition to somebody, and begin to tick."""
        for topic in GROUPS:
            for partition in range(self.count):
                self._assign(topic, partition, self.chance.acts.choice(self.workers))
        for number in range(2):
            self._start_ticker(number)

    def _new_worker(self) -> Worker:
        self._born += 1
        return Worker(f"worker-{self._born}", self)

    def _start_ticker(self, number: int) -> None:
        process = Process(f"ticker-{number}", self.chance)
        clock = Skewed(self.clock)
        ticker = Ticker(
            store=FaultyStore(process, self.slots),
            publisher=FaultyLog(process, self.log),
            clock=clock,
            partition_count=self.count,
            secret=SECRET,
            interval_s=1.0 + number * 0.7,
        )
        if number < len(self.tickers):
            self.tickers[number] = (process, clock, ticker)
        else:
            self.tickers.append((process, clock, ticker))
        self._in(process, lambda: asyncio.create_task(ticker.run(asyncio.Event())))

    def restart_ticker(self, number: int) -> None:
        """Kill a ticker and start it again."""
        self.tickers[number][0].kill()
        self._start_ticker(number)

    def start_learner(self) -> None:
        """Run the learner, which announces the first model; one that runs is killed."""
        if self.learner is not None:
            self.learner.kill()
        self.learner = Process("learner", self.chance)
        log = FaultyLog(self.learner, self.log)
        learner = self.pupil = Learner(
            reader=log,
            publisher=log,
            partition_count=self.count,
            secret=SECRET,
            publish_labels=3,
        )
        self._in(self.learner, lambda: asyncio.create_task(learner.run(asyncio.Event())))

    def _in(self, process: Process, call: Callable[[], Any]) -> None:
        context = copy_context()
        context.run(OWNER.set, process)
        context.run(call)

    def _assign(self, topic: str, partition: int, worker: Worker) -> None:
        self.owner[topic, partition] = worker
        worker.open(topic, partition)

    async def move(self, topic: str, partition: int) -> None:
        """Give a partition to another worker, in order: drained, given up, taken over."""
        old = self.owner[topic, partition]
        new = self.chance.acts.choice(self.workers)
        if new is old or new.frozen or old.frozen:
            return
        await old.give_up(topic, partition)
        if not new.dead and self.owner[topic, partition] is old:
            self._assign(topic, partition, new)

    async def crash(self, worker: Worker) -> None:
        """Kill a worker; after the session's time others take its partitions, then it is back."""
        worker.kill()
        self.workers.remove(worker)
        self.workers.append(self._new_worker())
        await asyncio.sleep(self.chance.acts.uniform(0.1, 2.0))
        self._reassign(worker)

    async def stop_for_a_while(self, worker: Worker) -> None:
        """Freeze a worker past its session: others own its partitions when it wakes."""
        worker.freeze()
        await asyncio.sleep(self.chance.acts.uniform(0.5, 2.0))
        lost = [] if worker.dead else self._reassign(worker)
        await asyncio.sleep(self.chance.acts.uniform(0.1, 4.0))
        worker.thaw()
        await asyncio.sleep(self.chance.acts.uniform(0.05, 1.0))
        for topic, partition in lost:  # it is told with its next heartbeat
            if not worker.dead and self.owner[topic, partition] is not worker:
                await worker.give_up(topic, partition)
                if self.owner[topic, partition] is worker:  # and given it back meanwhile
                    worker.open(topic, partition)

    def _reassign(self, old: Worker) -> list[tuple[str, int]]:
        lost = [place for place, worker in self.owner.items() if worker is old]
        others = [w for w in self.workers if w is not old and not w.frozen]
        if not others:
            return []
        for topic, partition in lost:
            self._assign(topic, partition, self.chance.acts.choice(others))
        return lost

    async def heal(self) -> None:
        """Let all processes run, and every partition be somebody's.

        What delivers and re-keys is taken over anew: it would not notice that Redis fell back.
        """
        for process, _, _ in self.tickers:
            process.kill()
        self._start_ticker(0)
        for worker in self.workers:
            worker.thaw()
            worker.clock.skew_ms = 0
        for (topic, partition), worker in self.owner.items():
            if not worker.dead and topic == topics.EVENTS:
                continue
            if not worker.dead:
                await worker.give_up(topic, partition)
            self._assign(topic, partition, self.chance.acts.choice(self.workers))

    async def tick(self) -> None:
        """Write one tick."""
        await self.tickers[0][2].tick()

    def at_rest(self) -> bool:
        """Tell whether everything in the log has been dealt with, and no attempt is due."""
        slots = self.slots
        for partition in range(self.count):
            ends = {topic: self.log.end(topic, partition) for topic in GROUPS}
            if slots.metas(partition).off + 1 != ends[topics.EVENTS]:
                return False
            if slots.offsets.get(partition, 0) != ends[topics.INBOX]:
                return False
            off, due = slots.ledger_state(partition)
            if off + 1 != ends[topics.TRIGGERS] or min(due, default=2**63) <= self.clock.now():
                return False
        return True
