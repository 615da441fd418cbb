"""Medians and percentiles: near the true ones, in any order; exact where all values are kept."""

from math import inf, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RulesError
from engine.events.model import Event
from engine.profile.model import Actor
from engine.profile.things import spread, tally
from tests.turns import NOON, Customer, event_id, rules_of

NEAR = 1 / 32  # of the value: half a bin at its narrow end
DAY_MS = 86_400_000
VALUES = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


def packed(values: list[float]) -> bytes:
    found = b""
    for value in values:
        found = spread.added(found, value)
    return found


@given(st.lists(st.floats(0.5, 60.0), min_size=1, max_size=60), st.integers(1, 99))
def test_a_percentile_is_near_the_true_one(values: list[float], percent: int) -> None:
    true = spread.percentile_of(values, percent)
    found = spread.percentile([packed(values[::2]), packed(values[1::2])], percent)
    assert true is not None and found == pytest.approx(true, rel=NEAR)


@given(st.lists(VALUES, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_byte(values: list[float], random: object) -> None:
    other = values.copy()
    random.shuffle(other)  # type: ignore[attr-defined]
    assert packed(values) == packed(other)


@pytest.mark.parametrize("seed", range(3))
def test_its_size_does_not_grow(seed: int) -> None:
    chance = Random(seed)
    found = packed([chance.choice((-1, 1)) * 10 ** chance.uniform(-8, 8) for _ in range(1_000)])
    assert len(found) < 9 * spread.BINS_MAX
    middle, largest = spread.percentile([found], 50), spread.percentile([found], 99)
    assert middle is not None and largest is not None and middle <= largest


def test_what_is_no_number_adds_nothing() -> None:
    assert packed([nan, inf, -inf]) == b"" and spread.percentile([b""], 50) is None
    assert spread.percentile([packed([0.0, 0.0, 5.0])], 50) == 0.0
    assert (spread.percentile([packed([-8.0, 1.0, 2.0])], 1) or 0) == pytest.approx(-8.0, rel=NEAR)


def test_a_thing_has_the_median_of_whole_days() -> None:
    actor, wanted = Actor(kind="ad"), tally.Tallied(spread=("dwell_s",))
    for number, (day, seconds) in enumerate([(0, 900.0), (1, 10.0), (1, 20.0), (2, 30.0)]):
        at = NOON + day * DAY_MS
        event = Event(
            id=event_id(str(number)), tenant="t", source="s", type="ad.clicked", at=at,
            original_at=at, received_at=at, ids=["Eax"], data={"dwell_s": seconds},
        )  # fmt: skip
        assert tally.add(actor, event, wanted)
    now = NOON + 2 * DAY_MS
    found = tally.percentile(actor, "ad.clicked", now, 2, "dwell_s", 50)
    assert found == pytest.approx(20.0, rel=NEAR), "the day before yesterday is outside"
    assert tally.percentile(actor, "ad.clicked", now, 3, "dwell_s", 99) == pytest.approx(900, NEAR)
    assert tally.percentile(actor, "ad.clicked", now + 9 * DAY_MS, 2, "dwell_s", 50) is None


def test_a_person_s_median_is_exact_and_needs_all_values() -> None:
    text = """rule: r
when: [{event: order.placed}]
if: median("order.placed", it.value, 30d) == 20.0 && percentile("order.placed", it.value, 90) > 29.0
do: [{case: a}]
"""
    customer = Customer(rules_of(text))
    for at, value in enumerate((1000, 2000, 3000)):
        customer.send("order.placed", at, {"value": value, "currency": "CNY"})
    assert [trigger.at for trigger in customer.left] == [NOON + 2000]
    customer.send("order.placed", 9, {"currency": "CNY"})
    assert len(customer.left) == 1, "one value is missing, so the median is not known"


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ('percentile("order.placed", it.value, 30d) > 1.0', "E222"),
        ('percentile("order.placed", it.value, 30d, 100) > 1.0', "E222"),
        ('percentile("order.placed", it.value, 30d, 50, 90) > 1.0', "E222"),
        ('median("order.placed", it.value, 30d, 50) > 1.0', "E2"),
        ('median("order.placed", 30d) > 1.0', "E222"),
        ('median("order.placed", it.coupon, 30d) > 1.0', "E222"),
    ],
)
def test_a_mistake_is_told(condition: str, code: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(f"rule: r\nwhen: [event: order.placed]\nif: '{condition}'\ndo: [case: a]\n")
    assert {str(each.code)[: len(code)] for each in caught.value.problems} == {code}  # type: ignore[attr-defined]


@given(st.lists(VALUES, max_size=20), st.lists(VALUES, min_size=1, max_size=20))
def test_what_was_added_can_be_taken_out_again(kept: list[float], more: list[float]) -> None:
    found = packed(kept + more)
    for value in more:
        found = spread.removed(found, value)
    assert found == packed(kept)


def test_of_bins_that_have_become_one_the_lowest_gives() -> None:
    values = [2.0**power for power in range(spread.BINS_MAX + 2)]
    found = packed(values)
    for value in values:
        found = spread.removed(found, value)
    assert found == b""
