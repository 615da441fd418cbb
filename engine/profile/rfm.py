"""Recency, frequency and monetary value of a customer, each 1 (low) to 5 (high)."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from engine.clock import DAY_MS
from engine.profile.model import Trade


@dataclass(frozen=True, slots=True)
class Bins:
    """Four bounds each, ascending. The defaults are ours, no standard's: set them for your trade.

    `recency_days`: at most the first = 5, at most the second = 4, ... above the fourth = 1.
    `orders`, `total_minor`: below the first = 1, from the first = 2, ... from the fourth = 5.
    """

    recency_days: tuple[int, int, int, int] = (30, 60, 120, 240)
    orders: tuple[int, int, int, int] = (2, 3, 5, 10)
    total_minor: tuple[int, int, int, int] = (20_000, 50_000, 100_000, 300_000)

    def __post_init__(self) -> None:
        for bounds in (self.recency_days, self.orders, self.total_minor):
            if len(bounds) != 4 or list(bounds) != sorted(bounds):
                raise ValueError(f"RFM bounds {bounds}: want four numbers, ascending")


OURS = Bins()


class Rfm(NamedTuple):
    """The three scores, 1 to 5."""

    recency: int
    frequency: int
    monetary: int


def score(trade: Trade, now: int, bins: Bins = OURS) -> Rfm | None:
    """Return the scores at `now` (UTC ms), None for who never bought. Returns lower the money.

    >>> score(Trade(orders=3, total_minor=60_000, last_at=0), now=45 * DAY_MS)
    Rfm(recency=4, frequency=3, monetary=3)
    """
    if not trade.orders:
        return None
    return Rfm(
        recency=5 - bisect_left(bins.recency_days, (now - trade.last_at) / DAY_MS),
        frequency=1 + bisect_right(bins.orders, trade.orders),
        monetary=1 + bisect_right(bins.total_minor, trade.total_minor - trade.returned_minor),
    )
