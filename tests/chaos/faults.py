"""What goes wrong, drawn from a seed at a steady rate: processes, Redis, the broker, receivers."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from time import monotonic
from typing import Any

from tests.apache.broker import ApacheKafka
from tests.chaos.channels import MOODS, Channels
from tests.chaos.points import ACTS, STEPS
from tests.chaos.redis_shards import RedisShards
from tests.chaos.town import PARTITIONS, Running, Town

GAP_S = 2.0  # on average, between two faults
POINT_S = 15.0  # an armed point that nobody comes to is taken back after so long
TAKEOVER_S = 40.0  # longer is reported as it is
WEIGHTS = {
    "kill-alone work": 1.5,
    "kill work": 2.0,
    "kill deliver": 2.0,
    "kill keep": 1.0,
    "kill collect": 1.0,
    "freeze work": 2.0,
    "freeze deliver": 2.0,
    "freeze keep": 0.5,
    "stop work": 1.0,
    "point work": 8.0,
    "point deliver": 4.0,
    "redis kill": 1.0,
    "redis stall": 1.0,
    "redis failover": 1.5,
    "broker kill": 1.0,
    "broker stall": 1.0,
    "receiver": 3.0,
}

SHARDS = {"redis move": 4.0}  # of a Redis Cluster besides
MEASURED = ("kill-alone work", "stop work")


class Faults:
    """Strikes until told to stop; `injected`: what has really happened, by kind."""

    def __init__(
        self, seed: int, town: Town, channels: Channels, *, weights: dict[str, float] | None = None
    ) -> None:
        self.random = Random(f"{seed}/faults")
        self.injected: Counter[str] = Counter()
        self.takeovers_s: list[float] = []
        self.stops_s: list[float] = []
        self.bytes_lost = 0
        self._town = town
        moves = SHARDS if isinstance(town.redis, RedisShards) else {}
        self._weights = weights or WEIGHTS | moves
        self._channels = channels
        self._redis = asyncio.Lock()
        self._broker = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._acts: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
            "kill": self._kill,
            "kill-alone": self._kill_alone,
            "freeze": self._freeze,
            "stop": self._stop,
            "point": self._point,
            "redis": self._redis_act,
            "broker": self._broker_act,
            "receiver": self._receiver,
        }

    async def run(self, seconds: float) -> None:
        """Strike for so long; return when the last fault is over and all is well again."""
        end = monotonic() + seconds
        deck: list[str] = []
        while monotonic() < end:
            if not deck:  # each kind once, then by weight: a short run has seen them all
                deck = sorted(self._weights)
                self.random.shuffle(deck)
                kinds, weights = list(self._weights), list(self._weights.values())
                deck += self.random.choices(kinds, weights, k=len(deck))
            name = deck.pop(0)
            if name in MEASURED:  # nothing else may be the reason of what is measured
                await asyncio.gather(*self._tasks)
                self._tasks.clear()
            kind, _, which = name.partition(" ")
            task = asyncio.create_task(self._acts[kind](which))
            self._tasks.add(task)
            if name in MEASURED:
                await task
            await asyncio.sleep(self.random.expovariate(1 / GAP_S))
        await asyncio.gather(*self._tasks)
        for channel in self._channels.all.values():
            channel.mood = "well"

    def _idle(self, role: str) -> Running | None:
        """Return a process of a role that nothing has struck just now."""
        found = [p for p in self._town.of(role) if not p.busy and p.pid is not None]
        return self.random.choice(found) if found else None

    async def _kill(self, role: str) -> None:
        victim = self._idle(role)
        if victim is None:
            return
        victim.signal(signal.SIGKILL)
        self.injected[f"kill {role}"] += 1

    async def _kill_alone(self, role: str) -> None:
        """Kill one while all else is well, and see how long its partitions stand still."""
        await self._until_all_move()
        victim = self._idle(role)
        if victim is not None:
            victim.signal(signal.SIGKILL)
            self.injected[f"kill {role}"] += 1
            self.takeovers_s.append(await self._until_all_move())

    async def _until_all_move(self) -> float:
        """Return the seconds until each partition has gone on from where it stands now."""
        began = monotonic()
        before = await self._town.offsets()
        while monotonic() - began < TAKEOVER_S:
            await asyncio.sleep(0.1)
            now = await self._town.offsets()
            if all(now[partition] > at for partition, at in before.items()):
                break
        return monotonic() - began

    async def _freeze(self, role: str) -> None:
        victim = self._idle(role)
        if victim is None:
            return
        self.injected[f"freeze {role}"] += 1
        victim.busy = True
        victim.signal(signal.SIGSTOP)
        await asyncio.sleep(self.random.choice((1.0, 3.0, 9.0, 12.0)))
        victim.signal(signal.SIGCONT)
        victim.busy = False

    async def _stop(self, role: str) -> None:
        """End one in order; it is started again, as in a rolling restart."""
        victim = self._idle(role)
        if victim is None:
            return
        self.injected[f"stop {role}"] += 1
        victim.busy = True
        began, count = monotonic(), len(victim.exits)
        victim.process.ask_to_stop()
        while len(victim.exits) == count and monotonic() - began < TAKEOVER_S:
            await asyncio.sleep(0.05)
        self.stops_s.append(monotonic() - began)
        victim.busy = False

    async def _point(self, role: str) -> None:
        """Strike the first of a role that comes to a step of the protocol."""
        step, act = self.random.choice(STEPS[role]), self.random.choice(ACTS)
        armed = [each for each in self._town.of(role) if not each.busy]
        for each in armed:
            each.point.write_text(f"{step} {act}")
        deadline = monotonic() + POINT_S
        struck: list[Running] = []
        while not struck and monotonic() < deadline:
            await asyncio.sleep(0.02)
            struck = [each for each in armed if each.struck.exists()]
        for each in armed:
            each.point.unlink(missing_ok=True)
        for each in [each for each in armed if each.struck.exists()]:
            each.struck.unlink()
            self.injected[f"{role} {step} {act}"] += 1
        if act == "freeze":
            await asyncio.sleep(self.random.choice((1.0, 9.0, 12.0)))
            for each in armed:
                if not each.busy:
                    each.signal(signal.SIGCONT)

    async def _redis_act(self, which: str) -> None:
        if self._redis.locked():
            return
        async with self._redis:
            pair = self._town.redis
            if which == "kill":
                await asyncio.to_thread(pair.kill_and_restart, away_s=self.random.uniform(0, 2))
            elif which == "stall":
                await asyncio.to_thread(pair.stall, for_s=self.random.choice((0.5, 2.0, 6.5)))
            elif which == "move":
                assert isinstance(pair, RedisShards)
                key = self._town.space.key(self.random.randrange(PARTITIONS), "m")
                await asyncio.to_thread(pair.move, key)
            else:
                behind_s = self.random.choice((0.1, 0.5, 2.0))
                self.bytes_lost += await asyncio.to_thread(pair.fail_over, behind_s=behind_s)
            self.injected[f"redis {which}"] += 1

    async def _broker_act(self, which: str) -> None:
        if self._broker.locked():
            return
        async with self._broker:
            broker = self._town.broker
            assert isinstance(broker, ApacheKafka), "of several, one is restarted after the other"
            if which == "kill":
                await asyncio.to_thread(broker.kill)
                await asyncio.sleep(self.random.uniform(0, 2))
                await asyncio.to_thread(broker.restart)
            else:
                broker.freeze()
                await asyncio.sleep(self.random.choice((1.0, 3.0, 9.0)))
                broker.thaw()
            self.injected[f"broker {which}"] += 1

    async def _receiver(self, _: str) -> None:
        channel = self.random.choice(list(self._channels.all.values()))
        mood = self.random.choice(MOODS)
        channel.mood = mood
        await asyncio.sleep(self.random.uniform(1.0, 4.0))
        channel.mood = "well"
        self.injected[f"receiver {mood}"] += 1
