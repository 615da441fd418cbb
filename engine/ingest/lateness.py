"""Event time held against log time (WIRE.md, Time)."""

from engine.clock import AHEAD_MS_MAX, LATE_AFTER_MS


def placed(at: int, now: int) -> tuple[int, str | None]:
    """Return the time that an event counts at, and the outcome code if it is unusual.

    `now`: log time. Older than it by LATE_AFTER_MS is late, and keeps its time; later than it by
    AHEAD_MS_MAX is clamped to that. All UTC ms.

    >>> placed(1_000, 1_000), placed(10_000_000, 0)
    ((1000, None), (300000, 'clamped'))
    """
    if at > now + AHEAD_MS_MAX:
        return now + AHEAD_MS_MAX, "clamped"
    return at, "late" if at < now - LATE_AFTER_MS else None
