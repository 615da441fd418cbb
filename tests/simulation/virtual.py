"""Time that passes only when nobody has anything to do: an event loop whose sleeps cost nothing.

Tasks run in the order in which they became ready, so the same seed gives the same run.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

SECONDS_MAX = 4_000.0  # a run that takes longer in virtual time hangs
OWNER: ContextVar[Any] = ContextVar("owner", default=None)  # the process that a task belongs to


class Hangs(AssertionError):
    """Nobody has anything to do any more, or somebody has for ever."""


class _Instant(selectors.SelectSelector):
    """Waits for nothing: what it is asked to wait is added to the loop's time."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let the time pass."""
        if timeout is None:
            raise Hangs("all tasks wait for each other")
        if timeout > 0:
            self.loop.seconds += timeout
            if self.loop.seconds > SECONDS_MAX:
                raise Hangs(f"still running after {SECONDS_MAX:.0f} virtual seconds")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop of its own time, `seconds` since its start."""

    def __init__(self) -> None:
        selector = _Instant()
        selector.loop = self
        self.seconds = 0.0
        super().__init__(selector)
        self.set_task_factory(_owned)

    def time(self) -> float:
        """Return virtual seconds."""
        return self.seconds


def _owned(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> Any:
    """Give a task to the process in whose name it was started, so that it dies with it."""
    task = asyncio.Task(coro, loop=loop, **more)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end of `main` in virtual time; what is left over is cancelled."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()


class WorldClock:
    """Log time and wall time of the simulated world, UTC ms: `speed` times the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, epoch_ms: int, speed: float) -> None:
        self._loop = loop
        self._epoch_ms = epoch_ms
        self._speed = speed

    def now(self) -> int:
        """Return UTC ms."""
        return self._epoch_ms + int(self._loop.time() * 1000 * self._speed)

    def skip(self, ms: int) -> None:
        """Let a stretch pass in which nothing happens."""
        self._epoch_ms += ms


class Skewed:
    """A machine's own clock, wrong by `skew_ms`."""

    def __init__(self, clock: WorldClock) -> None:
        self._clock = clock
        self.skew_ms = 0

    def now(self) -> int:
        """Return UTC ms as this machine has it."""
        return self._clock.now() + self.skew_ms
