"""How often one event type comes: at least n times, or more often than over a longer window."""

from struct import Struct

from engine.profile.logs.windows import Keep, count, span, total
from engine.profile.model import Log

_TIME = Struct("<q")


def rate(
    log: Log | None,
    until: int,
    window_ms: int,
    over_ms: int,
    column: str | None = None,
    keep: Keep | None = None,
) -> float | None:
    """Return the pace in `(until - window_ms, until]` over that in the longer `over_ms`.

    1.0 is no change, 0.5 is half of it. Of counts, or of the sums of a number column. None where
    the long window has nothing to compare with, or a value is missing.
    """
    if column is None:
        short, long = count(log, until, window_ms, keep), count(log, until, over_ms, keep)
    else:
        short = total(log, until, window_ms, column, keep)  # type: ignore[assignment]
        long = total(log, until, over_ms, column, keep)  # type: ignore[assignment]
    if short is None or not long:
        return None
    return short / long * (over_ms / window_ms)


def reaches(log: Log | None, until: int, window_ms: int | None, n: int) -> bool:
    """Tell whether the window holds at least `n` events: the n-th newest says it, nothing else."""
    if log is None or len(log.times) < n << 3:
        return n <= 0
    times = log.times
    if n <= 0 or _TIME.unpack_from(times, len(times) - 8)[0] > until:
        low, high = span(times, until, window_ms)
        return high - low >= n
    if window_ms is None:
        return True
    nth: int = _TIME.unpack_from(times, len(times) - (n << 3))[0]
    return nth > until - window_ms
