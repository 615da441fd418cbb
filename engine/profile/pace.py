"""How the pace of one event type changes: a short window held against a longer one."""

from engine.profile.model import Log
from engine.profile.windows import Keep, count, total


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
