"""One seed: a story, a storm over it, healing, and what is left of the world afterwards."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

from engine.churn import step
from engine.errors import EngineError
from engine.runtime import ticker
from engine.runtime.learner import POLL_S
from engine.runtime.partition import engage
from engine.runtime.partition import owner as partition
from tests.instead import instead
from tests.simulation import deadly, script
from tests.simulation.channels import ENDPOINTS, Channels
from tests.simulation.cluster import Cluster
from tests.simulation.door import Door
from tests.simulation.faults import Chance, Slots, Topics
from tests.simulation.rules import versions_of
from tests.simulation.script import Input, Order, Story
from tests.simulation.timers import astray
from tests.simulation.virtual import Hangs, WorldClock, run
from tests.simulation.worker import GROUPS

HOUR_MS = 3_600_000
MIDNIGHT_MS = 1_772_553_600_000  # 2026-03-04T00:00+08:00
WRONG_MS_MAX = 600_000  # of a worker's clock
GRACE_MS = 20_000  # of labels
LEARNS = ("", "", "", "on", "from nothing")  # whether there is a learner, and a model before it
SPEED = 10.0  # log seconds in a loop second
QUIET_S_MAX = 120.0  # in which everything must come to rest after the faults have ended
DRAIN_STEPS = 16
TICKS_LAST = 6
ACTS = {  # a loop second's chance of each, before the weights of a seed
    "crash": 0.08,
    "freeze": 0.10,
    "move": 0.15,
    "failover": 0.04,
    "slot_failover": 0.04,
    "clock_jump": 0.05,
    "worker_clock": 0.1,
    "ticker_restart": 0.05,
    "learner_restart": 0.05,
    "mood": 0.3,
}


@dataclass(frozen=True)
class Size:
    """How long a storm is."""

    events: int
    seconds: float
    people: int
    partitions: int
    workers: int


def size_of(seed: int) -> Size:
    """Return the size of a seed's storm: most are short, each tenth is long."""
    random = Random(f"{seed}/size")
    if seed % 10 == 9:
        return Size(260, 60.0, 14, 4, 3)
    return Size(random.randint(20, 60), random.uniform(6.0, 16.0), random.randint(2, 7), 2, 2)


@dataclass
class World:
    """What a storm leaves behind, for the checks; `bugs`: what the engine itself did not expect."""

    seed: int
    story: Story
    cluster: Cluster
    chance: Chance
    channels: Channels
    door: Door
    learns: str
    bugs: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)  # timers, as soon as the faults have ended

    @property
    def log(self) -> Topics:
        """All topics."""
        return self.cluster.log

    @property
    def trace(self) -> str:
        """A digest of everything that any topic or receiver has got."""
        digest = sha256()
        for topic, count in sorted(self.cluster.partitions.items()):
            for number in range(count):
                for record in self.log.held(topic, number):
                    digest.update(repr(record).encode())
        digest.update(repr(sorted(self.chance.injected.items())).encode())
        for name, got in sorted(self.channels.got.items()):
            digest.update(repr((name, list(got.items()))).encode())
        return digest.hexdigest()


class _Bugs(logging.Handler):
    """Collects what is logged with an exception that is not the world's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, EngineError | OSError | TimeoutError):
            self.found.append(f"{type(error).__name__}: {error} ({record.getMessage()})")


@contextmanager
def _measured_by(loop: asyncio.AbstractEventLoop) -> Iterator[_Bugs]:
    """Give the engine the loop's time for its monotonic clocks, and listen to its log."""
    bugs, root = _Bugs(), logging.getLogger("engine")
    level, propagate = root.level, root.propagate
    clocks = [(module, "monotonic", loop.time) for module in (engage, partition, ticker)]
    root.addHandler(bugs)
    root.setLevel(logging.ERROR)
    root.propagate = False
    try:
        with instead(*clocks):
            yield bugs
    finally:
        root.removeHandler(bugs)
        root.setLevel(level)
        root.propagate = propagate


def early_labels() -> AbstractContextManager[None]:
    """Let labels mature a minute after their snapshot, and not after weeks."""
    return instead((step, "GRACE_MS", GRACE_MS))


def storm(seed: int, *, size: Size | None = None, slots: Any = Slots) -> World:
    """Run one seed to its end."""
    with early_labels():
        found: World = run(_storm(seed, size or size_of(seed), slots))
    return found


async def _storm(seed: int, size: Size, slots_of: Any) -> World:
    loop = asyncio.get_running_loop()
    random = Random(f"{seed}/storm")
    # An hour strikes during the storm, often one that means something: days, nights, dates.
    hour = random.choice((0, 8, 9, 22, random.randrange(24)))
    born = MIDNIGHT_MS + hour * HOUR_MS - int(random.uniform(0, 7 + size.seconds) * 1000 * SPEED)
    clock = WorldClock(loop, epoch_ms=born, speed=SPEED)
    chance = Chance(seed)
    chance.calm = True
    channels = Channels(chance)
    cluster = Cluster(
        seed,
        count=size.partitions,
        workers=size.workers,
        chance=chance,
        clock=clock,
        slots=slots_of(loop, size.partitions),
        channels=channels,
        endpoints=ENDPOINTS,
    )
    story = script.write(
        seed, events=size.events, seconds=size.seconds, people=size.people, born=born
    )
    door = Door(cluster.log, clock, size.partitions, random)
    world = World(seed, story, cluster, chance, channels, door, random.choice(LEARNS))
    with _measured_by(loop) as bugs, deadly.killing(cluster):
        await _prologue(world)
        chance.calm = False
        await _weather(world, random, size.seconds)
        await _heal_and_drain(world)
        if "log/poison" not in world.door.bad.values():
            world.bugs = bugs.found + [why for why in cluster.repairs if why == "poison"]
    return world


async def _prologue(world: World) -> None:
    """Begin in fine weather: rules, a model, and who the customers are."""
    world.cluster.start()
    await world.door.version("ruleset", "v1")
    if world.learns != "from nothing":
        await world.door.model("m0", mix=0.0)
    await asyncio.sleep(2.5)
    for found in world.story.prologue:
        world.door.send(found)
    await asyncio.sleep(1.0)
    await _rest(world)


async def _weather(world: World, random: Random, seconds: float) -> None:
    """Let the story happen, and everything that can go wrong meanwhile."""
    loop, chance = asyncio.get_running_loop(), world.chance
    tasks = [asyncio.create_task(_tell(world))]
    if world.learns:
        world.cluster.start_learner()
    if random.random() < 0.5:
        tasks.append(asyncio.create_task(_new_versions(world, random.uniform(0.2, 0.8) * seconds)))
    if random.random() < 0.6:
        rule = random.choice(("looks", "looks", "hurry", "bigger-order"))
        version = random.choice([*versions_of(rule).values(), "of another time"])
        at_s, gap_s = random.uniform(0, 0.7) * seconds, random.uniform(0, 1)
        tasks.append(asyncio.create_task(_disable(world, rule, version, after_s=at_s, gap_s=gap_s)))
    if (deadly_s := deadly.strikes_at(world.seed, seconds)) is not None:
        tasks.append(asyncio.create_task(deadly.strike(world.door, after_s=deadly_s)))
    end = loop.time() + seconds
    while loop.time() < end:
        await asyncio.sleep(0.5)
        for kind, rate in ACTS.items():
            if chance.acts.random() < 0.5 * rate * chance.weight(kind):
                tasks.append(asyncio.create_task(_act(world, kind)))
    await asyncio.gather(*tasks)


async def _tell(world: World) -> None:
    """Send the story's events at their time, and what comes twice once more."""
    loop, door = asyncio.get_running_loop(), world.door
    pending: list[tuple[float, int, Input | Order | str]] = []
    for found in world.story.inputs:
        pending.append((found.at_s, len(pending), found))
        for again_s in found.again_s:
            pending.append((found.at_s + again_s, len(pending), found))
    for at_s, kind in world.story.poison:
        pending.append((at_s, len(pending), kind))
    for order in world.story.orders:
        pending.append((order.at_s, len(pending), order))
    began = loop.time()
    for at_s, _, item in sorted(pending, key=lambda each: each[:2]):
        wait_s = began + at_s - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if isinstance(item, Input):
            door.send(item)
        elif isinstance(item, Order):
            world.chance.injected[item.kind] += 1
            door.order(item)
        else:
            door.rubbish(item)


async def _new_versions(world: World, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await world.door.version("ruleset", "v2", gap_s=1.5)
    if not world.learns:
        await world.door.model("m1", mix=0.5, gap_s=0.5)


async def _disable(world: World, rule: str, version: str, *, after_s: float, gap_s: float) -> None:
    await asyncio.sleep(after_s)
    world.chance.injected["disable"] += 1
    await world.door.disable(rule, version, gap_s=gap_s)


async def _act(world: World, kind: str) -> None:
    cluster, chance = world.cluster, world.chance
    acts = chance.acts
    up = [worker for worker in cluster.workers if not worker.frozen]
    if kind == "mood":
        world.channels.change_mood()
        return
    if kind in ("crash", "freeze") and not up:
        return
    if kind == "learner_restart" and not world.learns:
        return
    if kind == "failover":
        if not cluster.slots.fall_back(acts.uniform(0.1, 3.0)):
            return
    elif kind == "slot_failover":
        which = acts.choice(("store", "store", "ledger", "offsets"))
        number = acts.randrange(cluster.count)
        if not cluster.slots.fall_back(acts.uniform(0.1, 3.0), kind=which, partition=number):
            return
    chance.injected[kind] += 1
    if kind == "crash":
        await cluster.crash(acts.choice(up))
    elif kind == "freeze":
        await cluster.stop_for_a_while(acts.choice(up))
    elif kind == "move":
        await cluster.move(acts.choice(GROUPS), acts.randrange(cluster.count))
    elif kind == "clock_jump":
        _, clock, _ = acts.choice(cluster.tickers)
        clock.skew_ms = acts.choice((-HOUR_MS, HOUR_MS, 60_000, -60_000))
        await asyncio.sleep(acts.uniform(0.5, 10.0))
        clock.skew_ms = 0
    elif kind == "worker_clock":  # wrong until somebody sets it right
        acts.choice(cluster.workers).clock.skew_ms = acts.randint(-WRONG_MS_MAX, WRONG_MS_MAX)
    elif kind == "ticker_restart":
        cluster.restart_ticker(acts.randrange(len(cluster.tickers)))
    elif kind == "learner_restart":
        cluster.start_learner()


async def _heal_and_drain(world: World) -> None:
    """End all faults, let some days pass, and wait until nothing moves any more."""
    cluster = world.cluster
    world.chance.calm = True
    world.channels.heal()
    await cluster.heal()
    await _rest(world)
    world.astray = list(astray(cluster.slots, cluster.count))
    for number in range(DRAIN_STEPS + TICKS_LAST):
        if number < DRAIN_STEPS:
            cluster.clock.skip(2 * HOUR_MS)
        await cluster.tick()
        await _rest(world)
    await asyncio.sleep(2 * POLL_S)  # the learner's own
    await _rest(world)


async def _rest(world: World) -> None:
    """Wait until all that is in the log has been dealt with."""
    loop = asyncio.get_running_loop()
    end = loop.time() + QUIET_S_MAX
    while not world.cluster.at_rest():
        if loop.time() > end:
            raise Hangs(f"not at rest {QUIET_S_MAX:.0f} s after the last fault")
        await asyncio.sleep(0.1)
