"""What goes wrong by chance, counted, and what it strikes: a process, Redis' side, the log.

Between a process and the world (ways.py) a call waits, may be lost before it has an effect, has it,
may lose its reply; a process may be frozen or dead at every one of these points.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.adapters.memory_ledger import MemoryLedger
from engine.events import topics
from engine.events.record import Outgoing, Record
from engine.outcome import Meta

HISTORY_MAX = 60  # earlier states of one slot that a failover can fall back to
MARKED = (topics.TRIGGERS, topics.INBOX)
CALLS = {  # chance per call, before the weights of a seed
    "commit_lost": 0.03,
    "reply_lost": 0.03,
    "load_failed": 0.01,
    "send_failed": 0.02,
    "suffix_unsent": 0.03,
    "ack_lost": 0.03,
    "read_failed": 0.01,
}


class Chance:
    """Draws faults: each kind has a weight of its own in each seed, often none (swarm)."""

    def __init__(self, seed: int) -> None:
        weights = Random(f"{seed}/weights")
        self.calls = Random(f"{seed}/calls")
        self.acts = Random(f"{seed}/acts")
        self.injected: Counter[str] = Counter()
        self._weight: dict[str, float] = {}
        self._weights = weights
        self.calm = False

    def weight(self, kind: str) -> float:
        """Return how much of a kind of fault this seed has: 0, or from 0.5 to 3."""
        found = self._weight.get(kind)
        if found is None:
            draw = Random(f"{kind}/{self._weights.random()}")
            found = 0.0 if draw.random() < 0.4 else draw.choice((0.5, 1.0, 1.0, 3.0))
            self._weight[kind] = found
        return 0.0 if self.calm else found

    def strikes(self, kind: str) -> bool:
        """Tell whether a call of this kind goes wrong now."""
        if self.calls.random() >= CALLS[kind] * self.weight(kind):
            return False
        self.injected[kind] += 1
        return True


class Process:
    """A process of the installation: alive, frozen or dead; its tasks die with it."""

    def __init__(self, name: str, chance: Chance) -> None:
        self.name = name
        self.chance = chance
        self.tasks: set[asyncio.Task[Any]] = set()
        self.dead = False
        self._runs = asyncio.Event()
        self._runs.set()

    @property
    def frozen(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        return not self._runs.is_set()

    def freeze(self) -> None:
        """Stop it where it is."""
        self._runs.clear()

    def thaw(self) -> None:
        """Let it go on."""
        self._runs.set()

    def kill(self) -> None:
        """End it between two steps; nothing that it would still do has an effect."""
        self.dead = True
        for task in list(self.tasks):
            task.cancel()

    async def step(self) -> None:
        """Pass a point at which the process may stop, for a while or for ever."""
        draw = self.chance.calls.random()
        await asyncio.sleep(0 if draw < 0.7 else (draw - 0.7) * 0.05)
        while self.frozen:
            await self._runs.wait()
        if self.dead:
            await asyncio.Future()


class Slots:
    """The store, the ledger and the inbox's offsets, with their earlier states."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.store = MemoryStore()
        self.ledger = MemoryLedger()
        self.offsets: dict[int, int] = {}
        self._loop = loop
        self._history: dict[tuple[str, int], deque[tuple[float, Any]]] = {}

    def note(self, kind: str, partition: int) -> None:
        """Remember what a slot holds by now."""
        held = self._history.setdefault((kind, partition), deque(maxlen=HISTORY_MAX))
        held.append((self._loop.time(), self._copy(kind, partition)))

    def fall_back(self, seconds: float, *, kind: str = "", partition: int = -1) -> bool:
        """Become what all slots, or one, were some seconds ago; False if that changed nothing."""
        until = self._loop.time() - seconds
        changed = False
        for key, history in sorted(self._history.items()):
            if kind and key != (kind, partition):
                continue
            lost = 0
            while len(history) > 1 and history[-1][0] > until:
                history.pop()
                lost += 1
            if lost:
                changed = True
                self._restore(*key, history[-1][1])
        return changed

    def ledger_state(self, partition: int) -> tuple[int, list[int]]:
        """Return the ledger's offset, and when its jobs are due (UTC ms)."""
        held = self.ledger._held[partition]
        return held.off, list(held.due.values())

    def jobs(self) -> dict[str, str]:
        """Return the state of every job, by member."""
        held = self.ledger._held.values()
        return {member: job.state for each in held for member, job in each.jobs.items()}

    def states(self, partition: int) -> dict[str, bytes]:
        """Return the nodes and entries of a partition, by key name."""
        return self.store._states[partition]

    def timers(self, partition: int) -> dict[str, int]:
        """Return the timers of a partition: member -> score."""
        return self.store._timers[partition]

    def metas(self, partition: int) -> Meta:
        """Return what else is stored of a partition."""
        return self.store._meta.get(partition) or Meta()

    def _copy(self, kind: str, partition: int) -> Any:
        if kind == "offsets":
            return self.offsets.get(partition, 0)
        if kind == "ledger":
            held = self.ledger._held[partition]
            return {n: _shallow(value) for n, value in vars(held).items()}
        # Values are never changed in place, so the containers are all there is to copy.
        return {n: _shallow(v[partition]) for n, v in vars(self.store).items() if partition in v}

    def _restore(self, kind: str, partition: int, copy: Any) -> None:
        if kind == "offsets":
            self.offsets[partition] = copy
        elif kind == "ledger":
            for name, value in copy.items():
                setattr(self.ledger._held[partition], name, _shallow(value))
        else:
            for name, held in vars(self.store).items():
                held.pop(partition, None)
                if name in copy:
                    held[partition] = _shallow(copy[name])


def _shallow(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value


class Topics(MemoryLog):
    """The log; members of groups are told when records arrive.

    Topics that producers may write in transactions have offsets that are no records: markers, and
    what was given up. `channel.events` has none (PROTOCOL.md 1.3, T4).
    """

    def __init__(self, partitions: dict[str, int], chance: Chance | None = None) -> None:
        super().__init__(partitions)
        self.listeners: list[tuple[str, Callable[[], None]]] = []
        self._chance = chance
        self._taken: dict[str, list[list[Record | None]]] = self._topics  # type: ignore[assignment]

    def append(self, out: Outgoing) -> Record:
        """Append one record, and perhaps offsets that are none."""
        record = super().append(out)
        chance = self._chance
        if chance and out.topic in MARKED and chance.acts.random() < 0.2 * chance.weight("marker"):
            chance.injected["marker"] += 1
            self._taken[out.topic][out.partition] += [None] * chance.acts.randint(1, 3)
        for topic, wake in self.listeners:
            if topic == out.topic:
                wake()
        return record

    def taken(self, topic: str, partition: int) -> list[Record | None]:
        """Return what is at each offset of a partition, None where that is no record."""
        return self._taken[topic][partition]

    def held(self, topic: str, partition: int) -> list[Record]:
        """Return all records of a partition."""
        taken = self._taken[topic][partition]
        return (
            [each for each in taken if each] if topic in MARKED else self._topics[topic][partition]
        )

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last record; markers may follow it."""
        held = self.held(topic, partition)
        return held[-1].offset + 1 if held else 0

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        """Return records from `offset` on, over whatever is none; nothing only at the end."""
        found = await super().read(topic, partition, offset, count_max=count_max)
        if topic not in MARKED or all(found):
            return found
        behind = (each for each in self._taken[topic][partition][offset:] if each)
        return list(islice(behind, count_max))
