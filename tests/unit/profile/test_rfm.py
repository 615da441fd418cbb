"""Recency, frequency and monetary value on both sides of every bound."""

import pytest

from engine.clock import DAY_MS
from engine.profile.model import Trade
from engine.profile.rfm import Bins, score

NOW = 1_000 * DAY_MS


@pytest.mark.parametrize(
    ("days", "expected"), [(0, 5), (30, 5), (31, 4), (60, 4), (61, 3), (120, 3), (240, 2), (241, 1)]
)
def test_the_more_recent_the_higher(days: int, expected: int) -> None:
    found = score(Trade(orders=1, last_at=NOW - days * DAY_MS), NOW)
    assert found is not None
    assert found.recency == expected


@pytest.mark.parametrize(
    ("orders", "expected"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (9, 4), (10, 5), (99, 5)]
)
def test_the_more_often_the_higher(orders: int, expected: int) -> None:
    found = score(Trade(orders=orders, last_at=NOW), NOW)
    assert found is not None
    assert found.frequency == expected


@pytest.mark.parametrize(
    ("total", "returned", "expected"),
    [(19_999, 0, 1), (20_000, 0, 2), (300_000, 0, 5), (300_000, 1, 4), (10, 500, 1)],
)
def test_the_more_money_the_higher_without_what_came_back(
    total: int, returned: int, expected: int
) -> None:
    trade = Trade(orders=1, total_minor=total, returned_minor=returned, last_at=NOW)
    found = score(trade, NOW)
    assert found is not None
    assert found.monetary == expected


def test_who_never_bought_has_no_scores() -> None:
    assert score(Trade(), NOW) is None


def test_the_bins_are_yours_to_set() -> None:
    bins = Bins(orders=(1, 1, 1, 1))
    found = score(Trade(orders=1, last_at=NOW), NOW, bins)
    assert found is not None
    assert found.frequency == 5


@pytest.mark.parametrize("bounds", [(4, 3, 2, 1), (1, 2, 3)])
def test_bins_out_of_order_are_refused(bounds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="want four numbers, ascending"):
        Bins(recency_days=bounds)  # type: ignore[arg-type]
