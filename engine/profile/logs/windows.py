"""What windows say of a log: counts, sums, extremes, the first and the last.

A window of length w at t is `(t - w, t]`. Columns are bisected, sliced and summed in place.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import nan
from operator import countOf
from struct import Struct

from engine.profile.logs.exact import code_of, codes, numbers, value_at
from engine.profile.model import Log
from engine.profile.sums import added
from engine.profile.things.spread import percentile_of

_TIME = Struct("<q")

Keep = Callable[[Log, int, int], Iterable[int]]
"""Rows of `[low, high)` that count, ascending; -1 says that for some row it cannot be told."""


def count(
    log: Log | None, until: int, window_ms: int | None, keep: Keep | None = None
) -> int | None:
    """Return how many events the window holds; None when `keep` cannot tell."""
    if log is None:
        return 0
    low, high = span(log.times, until, window_ms)
    if keep is None:
        return high - low
    n = 0
    for row in keep(log, low, high):
        if row < 0:
            return None
        n += 1
    return n


def count_word(
    log: Log | None, until: int, window_ms: int | None, column: str, word: str | None
) -> int:
    """Return how many events of the window have exactly this word in the column."""
    if log is None or word is None:
        return 0
    code = code_of(log, column, word)
    if code < 0:
        return 0
    low, high = span(log.times, until, window_ms)
    return countOf(codes(log, column)[low:high], code) if low < high else 0


def total(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> float | None:
    """Return the sum of a number column, 0 over no event; None when a value is missing."""
    result = added(_inside(log, until, window_ms, column, keep))
    return result if result == result else None


def mean(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> float | None:
    """Return the average of a number column; None over no event or when a value is missing."""
    values, result = _inside(log, until, window_ms, column, keep), 0.0
    for value in values:  # not `sum`: it rounds otherwise from Python 3.12 on
        result += value
    return result / len(values) if len(values) and result == result else None


def least(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> float | None:
    """Return the smallest value; None over no event or when a value is missing."""
    values = _inside(log, until, window_ms, column, keep)
    return min(values) if len(values) and _are_known(values) else None


def most(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> float | None:
    """Return the largest value; None over no event or when a value is missing."""
    values = _inside(log, until, window_ms, column, keep)
    return max(values) if len(values) and _are_known(values) else None


def percentile(
    log: Log | None,
    until: int,
    window_ms: int | None,
    column: str,
    percent: int,
    keep: Keep | None = None,
) -> float | None:
    """Return the smallest value that `percent` of all do not exceed; None as `least` has it."""
    values = _inside(log, until, window_ms, column, keep)
    return percentile_of(values, percent) if len(values) and _are_known(values) else None


def distinct(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> int | None:
    """Return how many different values a column has; None when one is missing."""
    if log is None:
        return 0
    if column not in (log.words or ()):
        values = _inside(log, until, window_ms, column, keep)
        return len(set(values)) if _are_known(values) else None
    low, high = span(log.times, until, window_ms)
    if low == high:
        return 0
    rows = codes(log, column)
    if keep is None:
        words = set(rows[low:high])
    else:
        words = {rows[row] if row >= 0 else 0 for row in keep(log, low, high)}
    return None if 0 in words else len(words)


def first(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> float | str | None:
    """Return the column's value in the oldest event of the window; None without one."""
    row = _oldest(log, until, window_ms, keep)
    return None if log is None or row < 0 else value_at(log, column, row)


def last(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None = None
) -> float | str | None:
    """Return the column's value in the newest event of the window; None without one."""
    row = _newest(log, until, window_ms, keep)
    return None if log is None or row < 0 else value_at(log, column, row)


def age(
    log: Log | None, until: int, window_ms: int | None = None, keep: Keep | None = None
) -> int | None:
    """Return how long before `until` the window's newest event was, in ms; None without one."""
    row = _newest(log, until, window_ms, keep)
    if log is None or row < 0:
        return None
    return until - int(_TIME.unpack_from(log.times, row << 3)[0])


def span(times: bytes, until: int, window_ms: int | None) -> tuple[int, int]:
    """Return the rows [low, high) of the window `(until - window_ms, until]`; None: of all time."""
    rows = memoryview(times).cast("q")
    high = len(rows)
    if not high:
        return 0, 0
    if rows[-1] > until:
        high = bisect_right(rows, until)
    if window_ms is None or rows[0] > until - window_ms:
        return 0, high
    return bisect_right(rows, until - window_ms, 0, high), high


def _inside(
    log: Log | None, until: int, window_ms: int | None, column: str, keep: Keep | None
) -> Sequence[float]:
    """Return the window's values of a number column; NaN where missing or not to be told."""
    if log is None:
        return ()
    low, high = span(log.times, until, window_ms)
    if low == high:
        return ()
    values = numbers(log, column)
    if keep is None:
        return values[low:high]
    return [values[row] if row >= 0 else nan for row in keep(log, low, high)]


def _are_known(values: Sequence[float]) -> bool:
    """Tell whether no value is missing."""
    found = sum(values, 0.0)
    # Beside NaN, infinities of both signs have no sum; that they are no NaN is seen one by one.
    return found == found or not any(value != value for value in values)


def _oldest(log: Log | None, until: int, window_ms: int | None, keep: Keep | None) -> int:
    """Return the window's oldest row, -1 without one or when it cannot be told."""
    if log is None:
        return -1
    low, high = span(log.times, until, window_ms)
    if keep is not None:
        return next(iter(keep(log, low, high)), -1)
    return low if low < high else -1


def _newest(log: Log | None, until: int, window_ms: int | None, keep: Keep | None) -> int:
    """Return the window's newest row, -1 without one or when it cannot be told."""
    if log is None:
        return -1
    low, high = span(log.times, until, window_ms)
    if keep is None:
        return high - 1 if low < high else -1
    newest = -1
    for row in keep(log, low, high):
        newest = row
    return newest
