"""Clocks: the wall's, and one that runs faster from a fixed date, for the demo."""

from time import time

from engine.config import Settings
from engine.ports import Clock


class WallClock:
    """Now, as the machine has it."""

    def now(self) -> int:
        """Return UTC ms."""
        return int(time() * 1000)


class DemoClock:
    """Log time: `epoch_ms` when the wall stood at `started_ms`, and `speed` times as fast since."""

    def __init__(self, *, epoch_ms: int, started_ms: int, speed: float) -> None:
        self._epoch_ms = epoch_ms
        self._started_ms = started_ms
        self._speed = speed

    def now(self) -> int:
        """Return log time, UTC ms; it stands still at `epoch_ms` until the start."""
        passed = max(0.0, time() * 1000 - self._started_ms)
        return self._epoch_ms + int(passed * self._speed)


def clock_of(settings: Settings) -> Clock:
    """Return the clock that the settings ask for."""
    if settings.epoch_ms == 0 and settings.speed == 1.0:
        return WallClock()
    return DemoClock(
        epoch_ms=settings.epoch_ms, started_ms=settings.started_ms, speed=settings.speed
    )
