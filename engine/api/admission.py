"""Admission: how much may be under way at once, and how fast one source may send."""

from collections.abc import Callable
from time import monotonic

from engine.errors import LogError

EVENTS_MAX = 20_000  # under way to the broker
BODIES_SIZE_MAX = 256 * 1024 * 1024  # as received, until they are answered


class Room:
    """Counts what is under way; the one too many is refused, and its SDK keeps it."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> None:
        """Take room for `count`, or raise LogError (log/full) and take none."""
        if count > self._left:
            raise LogError("too much is under way", code="log/full")
        self._left -= count

    def give(self, count: int) -> None:
        """Give room back."""
        self._left += count


class Bucket:
    """A token bucket of two seconds' worth.

    A batch passes while anything is left, and is paid back by waiting: one larger than the bucket
    would otherwise be refused for ever, and the SDK gives it up in the end.
    """

    def __init__(self, per_s: int, *, now_s: Callable[[], float] = monotonic) -> None:
        self._per_s = per_s
        self._now_s = now_s
        self._left = 2.0 * per_s
        self._at = now_s()

    def takes(self, count: int) -> bool:
        """Tell whether `count` more events may pass now."""
        now = self._now_s()
        self._left = min(2.0 * self._per_s, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left <= 0:
            return False
        self._left -= count
        return True
