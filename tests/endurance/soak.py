"""Steady load, a fault a minute, and nothing that grows: `make soak ARGS="--for 10m --json"`.

All roles run on Apache Kafka and Redis under a constant load of a fixed number of people. Memory,
descriptors, threads and tasks of each process, and what waits in Redis, are looked at every few
seconds. A run fails if anything grows, if an event is lost, or if an effect happens twice.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from statistics import median
from time import monotonic, time
from typing import Any

import aiohttp
import orjson
from redis.asyncio import Redis

from engine.adapters.files import read_rules
from engine.config import Settings
from engine.keys import Space
from engine.runtime.local.stack import Plan, Stack
from engine.runtime.totals import summed
from tests.apache.broker import ApacheKafka
from tests.endurance.load import Load
from tests.endurance.probe import look, slope

LOOK_S = 3.0
WARM_S = 45.0  # of a process: what it grows in so long is its size
FROZEN_S = 4.0  # shorter than the session
SULK_S = 15.0  # a receiver answers 500, or not at all
SETTLE_S = 180.0
RSS_MB_MAX = 8.0  # grown from the first to the last third of a process's life
COUNT_MAX = 4  # descriptors, threads
TASKS_MAX = 30  # of which each delivery under way is one
WAITING_MAX = 2_000  # entries of all outboxes, and of all moves, in the last third
RULES = {
    "rules/soak.yaml": """
rule: thanks
title: {en: An order was placed, zh: 下了订单}
owner: load@shop.example
status: live
when: [{event: order.placed}]
do: [{case: retention-call, channels: [desk]}]
tests:
  - {name: placed, events: [{at: 0m, order.placed: {value: 9.0}}],
     expect: [{at: 0m, case: retention-call}]}
""",
    "rules/soak_left.yaml": """
rule: left
title: {en: Cart left alone, zh: 购物车闲置}
owner: load@shop.example
status: live
when:
  - event: cart.updated
  - {not: order.placed, within: 1m}
do: [{case: retention-call, channels: [desk]}]
tests:
  - {name: left alone, events: [{at: 0m, cart.updated: {value: 9.0, cart_id: a}}],
     expect: [{at: 1m, case: retention-call}]}
""",
}
KINDS = ("descriptors", "threads", "tasks")


@dataclass(slots=True)
class Sample:
    """One look: `at` in seconds since the beginning; of one process the numbers by name."""

    at: float
    pid: int
    numbers: dict[str, float]


@dataclass(slots=True)
class Report:
    """What came of it; `problems` is empty if all is well."""

    seconds: float = 0.0
    events: int = 0
    lost: int = 0
    duplicates: int = 0
    delivered: int = 0
    restarts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    processes: dict[str, dict[str, float]] = field(default_factory=dict)
    redis: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def thirds(samples: list[Sample], name: str) -> tuple[float, float]:
    """Return the medians of a number over the first and the last third."""
    values = [sample.numbers[name] for sample in samples if name in sample.numbers]
    third = max(1, len(values) // 3)
    return median(values[:third]), median(values[-third:])


def longest_life(samples: list[Sample]) -> list[Sample]:
    """Return the samples of the process id that lived longest, without its first WARM_S."""
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.pid, []).append(sample)
    life = max(lives.values(), key=lambda each: each[-1].at - each[0].at)
    return [sample for sample in life if sample.at - life[0].at >= WARM_S]


def grown(name: str, samples: list[Sample], report: Report) -> None:
    """Note how a process fared; a problem if it has grown, or was not seen for long enough."""
    life = longest_life(samples)
    if len(life) < 6:
        report.problems.append(f"{name} was seen {len(life)} times only; let it run longer")
        return
    first, last = thirds(life, "rss_mb")
    points = [(sample.at / 3600, sample.numbers["rss_mb"]) for sample in life]
    found = {
        "life_s": round(life[-1].at - life[0].at, 1),
        "rss_mb": round(last, 1),
        "rss_mb_grown": round(last - first, 2),
        "rss_mb_per_h": round(slope(points), 2),
    }
    limits = dict.fromkeys(KINDS, COUNT_MAX) | {"tasks": TASKS_MAX}
    if last - first > RSS_MB_MAX:
        report.problems.append(f"{name}: memory grew by {last - first:.1f} MB")
    for kind in KINDS:
        if 2 * sum(kind in sample.numbers for sample in life) > len(life):
            before, after = thirds(life, kind)
            found[f"{kind}_grown"] = after - before
            if after - before > limits[kind]:
                report.problems.append(f"{name}: {kind} grew from {before:g} to {after:g}")
    report.processes[name] = found


class Soak:
    """One run: load, faults and looks side by side."""

    def __init__(self, stack: Stack, broker: ApacheKafka, load: Load) -> None:
        self.report = Report()
        self.samples: dict[str, list[Sample]] = {}
        self.waiting: list[Sample] = []
        self._stack = stack
        self._broker = broker
        self._load = load
        self._began = monotonic()
        settings = stack.settings
        self._space = Space(settings.generation, settings.partitions)
        self._redis = Redis.from_url(settings.redis_url)

    async def run(self, seconds: float, *, fault_s: float) -> Report:
        """Let it run for so long, drain, and judge."""
        done = asyncio.Event()
        work = [
            asyncio.create_task(self._load.run(self._stack.url, done)),
            asyncio.create_task(self._look(done)),
            asyncio.create_task(self._strike(fault_s)),
        ]
        try:
            ended, _ = await asyncio.wait(
                work, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()
            assert not ended, "nothing of it ends by itself"
            done.set()
            await asyncio.gather(*work[:2])
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)  # a strike ends what it has begun
        await self._settle()
        await self._judge(seconds)
        await self._redis.aclose()
        return self.report

    async def _look(self, done: asyncio.Event) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while not done.is_set():
                at = monotonic() - self._began
                for name, pid in self._stack.pids.items():
                    vital = look(pid)
                    if vital is not None and vital.rss_mb:
                        numbers = dict(vital._asdict())
                        numbers |= await self._tasks_of(session, name)
                        self.samples.setdefault(name, []).append(Sample(at, pid, numbers))
                self.waiting.append(Sample(at, 0, await self._lengths()))
                await asyncio.sleep(LOOK_S)

    async def _tasks_of(self, session: aiohttp.ClientSession, name: str) -> dict[str, float]:
        port = self._stack.metrics_ports.get(name)
        if port is None:
            return {}
        try:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                found = re.search(r"^engine_process_tasks (\S+)", await answer.text(), re.M)
        except (aiohttp.ClientError, TimeoutError):
            return {}  # it is dead or frozen just now
        return {"tasks": float(found[1])} if found else {}

    async def _lengths(self) -> dict[str, float]:
        """Return what waits in Redis, over all partitions; nothing while it does not answer."""
        settings = self._stack.settings
        found = dict.fromkeys(("ob", "mv", "tm"), 0.0)
        for partition in range(settings.partitions):
            for name in found:
                found[name] += await self._redis.zcard(self._space.key(partition, name))
        return found

    async def _strike(self, gap_s: float) -> None:
        """Kills come first, so that each process then lives long enough to be judged."""
        stack = self._stack
        kills = [(f"kill {name}", self._kill(name)) for name in stack.pids if name != "receiver"]
        others: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("freeze work", self._freeze),
            ("redis pause", self._pause_redis),
            ("broker freeze", self._freeze_broker),
            ("receiver 500", self._sulk("500")),
            ("receiver hang", self._sulk("hang")),
        ]
        while True:
            for name, strike in [*kills, *others, *others]:
                await asyncio.sleep(gap_s)
                await strike()
                self.report.faults[name] = self.report.faults.get(name, 0) + 1

    def _kill(self, name: str) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            await asyncio.to_thread(self._stack.kill_role, name)

        return kill

    async def _freeze(self) -> None:
        pid = self._stack.pids["work"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_S)
        finally:  # the run may be over meanwhile
            os.kill(pid, signal.SIGCONT)

    async def _pause_redis(self) -> None:
        await self._redis.client_pause(int(FROZEN_S * 1000))

    async def _freeze_broker(self) -> None:
        self._broker.freeze()
        try:
            await asyncio.sleep(FROZEN_S)
        finally:
            self._broker.thaw()

    def _sulk(self, answer: str) -> Callable[[], Awaitable[None]]:
        async def say(word: str) -> None:
            url = self._stack.receiver_url + "/answer"
            async with aiohttp.ClientSession() as session, session.post(url, data=word) as reply:
                assert reply.status == 200

        async def sulk() -> None:
            await say(answer)
            try:
                await asyncio.sleep(SULK_S)
            finally:
                await say("200")

        return sulk

    async def _settle(self) -> None:
        """Wait until all that the door took is applied."""
        deadline = monotonic() + SETTLE_S
        while await self._applied() < self._load.sent and monotonic() < deadline:
            await asyncio.sleep(0.5)

    async def _applied(self) -> int:
        every = range(self._stack.settings.partitions)
        return summed([await self._stack.store.meta(p) for p in every])["applied"]

    async def _judge(self, seconds: float) -> None:
        report = self.report
        totals = await self._stack.totals(final=True)
        report.seconds = round(seconds, 1)
        report.events = self._load.sent
        report.lost = max(0, self._load.sent - await self._applied())
        report.duplicates = totals.duplicates
        report.delivered = totals.delivered
        report.restarts = self._stack.restarts
        for name, samples in self.samples.items():
            grown(name, samples, report)
        for name in ("ob", "mv", "tm"):
            first, last = thirds(self.waiting, name)
            report.redis[f"{name}_first_third"], report.redis[f"{name}_last_third"] = first, last
            if name != "tm" and last > WAITING_MAX:
                report.problems.append(f"{name}: {last:g} entries wait in Redis")
        if totals.customers > self._load.people:
            report.problems.append(f"{totals.customers} nodes of {self._load.people} people")
        if report.lost or report.duplicates:
            report.problems.append(f"lost {report.lost}, twice {report.duplicates}")


async def play(seconds: float, *, fault_s: float, per_s: int, broker: ApacheKafka) -> Report:
    """Run a whole stack on the broker for so long."""
    settings = Settings(port=0, any_key="demo", started_ms=int(time() * 1000))
    load = Load(per_s=per_s)
    rules = {**read_rules(settings.rules_dir), **RULES}
    async with Stack(Plan(settings, rules=rules, metrics=True)) as stack:
        return await Soak(stack, broker, load).run(seconds, fault_s=fault_s)


def run(seconds: float, *, fault_s: float, per_s: int) -> Report:
    """Run it on an Apache Kafka of its own."""
    with ExitStack() as stack:
        broker = ApacheKafka()
        stack.callback(broker.stop)
        os.environ["KAFKA_BOOTSTRAP"] = broker.start()
        stack.callback(os.environ.pop, "KAFKA_BOOTSTRAP")
        return asyncio.run(play(seconds, fault_s=fault_s, per_s=per_s, broker=broker))


def length(text: str) -> float:
    """Return seconds of `90s`, `10m` or `8h`.

    >>> length("10m")
    600.0
    """
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3_600}[text[-1]]


def main() -> int:
    """Print what came of it; 1 if anything grew or went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="seconds", type=length, default=600.0, help="90s, 10m, 8h")
    parser.add_argument("--fault-every", type=length, default=60.0, help="60s")
    parser.add_argument("--per-s", type=int, default=100, help="events a second")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    given = parser.parse_args()
    report = run(given.seconds, fault_s=given.fault_every, per_s=given.per_s)
    if given.json:
        print(orjson.dumps(asdict(report)).decode())
    else:
        _show(report)
    return 1 if report.problems else 0


def _show(report: Report) -> None:
    for name, value in asdict(report).items():
        lines: dict[str, Any] = value if isinstance(value, dict) else {"": value}
        for key, each in lines.items():
            print(f"{name:12} {key:22} {each}")


if __name__ == "__main__":
    sys.exit(main())
