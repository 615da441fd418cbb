"""`times: n, within: w`: n events whose last and first lie less than w apart."""

from bisect import insort
from collections.abc import Sequence

from engine.decision.match import Mark


def completes(
    seen: Sequence[Mark], new: Mark, times: int, within_ms: int
) -> tuple[list[Mark], list[Mark]]:
    """Return (events to remember, a full set or []).

    `seen`: in order. A full set holds the new event, since older ones have been looked at before;
    where several do, it is the earliest. It uses up all events up to its last: the count starts
    from zero again behind it.

    >>> completes([(0, "a"), (4, "b")], (9, "c"), 3, 10)
    ([], [(0, 'a'), (4, 'b'), (9, 'c')])
    >>> completes([(0, "a"), (4, "b")], (10, "c"), 3, 10)
    ([(0, 'a'), (4, 'b'), (10, 'c')], [])
    """
    events = list(seen)
    insort(events, new)
    place = events.index(new)
    for first in range(max(0, place - times + 1), min(place, len(events) - times) + 1):
        behind = first + times
        if events[behind - 1][0] - events[first][0] < within_ms:
            return events[behind:], events[first:behind]
    return events, []
