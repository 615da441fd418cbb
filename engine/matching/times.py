"""`times: n, within: w`: n events whose last and first lie less than w apart, in any order of arrival."""

from bisect import insort
from collections.abc import Sequence

Seen = tuple[int, str]  # UTC ms, event id


def completes(
    seen: Sequence[Sequence[int | str]], new: Seen, times: int, within_ms: int
) -> tuple[list[Seen], int | None]:
    """Return (events to remember, time of the last of a full set or None).

    A full set must hold the new event: older ones have been looked at before. What can no longer
    be part of a set of this length is forgotten, and nothing is remembered after a full set.

    >>> completes([(0, "a"), (4, "b")], (9, "c"), 3, 10)
    ([], 9)
    >>> completes([(0, "a"), (4, "b")], (10, "c"), 3, 10)
    ([(4, 'b'), (10, 'c')], None)
    """
    events: list[Seen] = [(int(at), str(name)) for at, name in seen]
    insort(events, new)
    place = events.index(new)
    for first in range(max(0, place - times + 1), min(place, len(events) - times) + 1):
        last = first + times - 1
        if events[last][0] - events[first][0] < within_ms:
            return [], events[last][0]
    newest = events[-1][0]
    kept = [event for event in events if newest - event[0] < within_ms]
    return kept[-2 * times :], None
