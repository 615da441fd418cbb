"""Keeps processes running: one that ends is started again, all end in order when told to."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from engine.config import Settings
from engine.runtime.local.processes import Process

LOOK_S = 0.2
BACKOFF_S, BACKOFF_S_MAX = 0.5, 10.0  # before one that ended soon is started again
STEADY_S = 30.0  # what lived for so long is started again at once
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Life:
    """How a process fares; `again_at`: when it is to start again, None while it runs."""

    began_at: float
    wait_s: float = 0.0
    again_at: float | None = None


class Supervisor:
    """Processes that are to run; `restarts` counts how often one ended by itself."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self.restarts = 0
        self._clock = clock
        self._held: dict[Process, _Life] = {}

    @property
    def processes(self) -> list[Process]:
        """All of them, in the order of their first start."""
        return list(self._held)

    def start(self, process: Process) -> None:
        """Start a process and keep it running from now on."""
        self._held[process] = _Life(self._clock())
        process.start()

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Start what has ended again; one that ends soon each time waits longer each time."""
        for process, life in self._held.items():
            code, now = process.exit_code, self._clock()
            if code is None:
                continue
            if life.again_at is None:
                self.restarts += 1
                soon = min(max(2 * life.wait_s, BACKOFF_S), BACKOFF_S_MAX)
                life.wait_s = 0.0 if now - life.began_at >= STEADY_S else soon
                life.again_at = now + life.wait_s
                log.error(
                    "process %s ended with %s: again in %.1f s", process.name, code, life.wait_s
                )
            if now >= life.again_at:
                life.began_at, life.again_at = now, None
                process.start()

    async def stop(self, processes: Iterable[Process] | None = None) -> None:
        """End processes in order, all unless some are given; they are not started again."""
        ending = self.processes if processes is None else list(processes)
        for process in ending:
            self._held.pop(process, None)
            process.ask_to_stop()
        for process in ending:
            await asyncio.to_thread(process.wait)


def instances(count: int, settings: Settings) -> list[dict[str, str]]:
    """Return what the environment of each of `count` workers of one machine has of its own.

    A name that stays the same over restarts makes a restart cost no rebalance; it must differ from
    all others of the consumer group. Two supervisors on one machine need an INSTANCE_ID each.
    """
    name = settings.instance_id or socket.gethostname()
    port = settings.metrics_port
    return [
        {"INSTANCE_ID": f"{name}-{index}", "METRICS_PORT": str(port + index if port else 0)}
        for index in range(count)
    ]


def core_count() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
