"""What a rule has done, in both arms."""

import pytest

from engine.decision.effect import difference, effects
from tests.turns import rules_of

RULES = rules_of(
    "rule: a\nwhen: [{event: cart.updated}]\ndo: [{case: a}]\n"
    "goal: {event: order.placed, within: 1h}\n",
    "rule: b\nwhen: [{event: cart.updated}]\ndo: [{case: a}]\n",
).rules
COUNTS = {
    "fired:a": 400, "held_out:a": 100, "goal:a": 80, "goal_held_out:a": 10, "shadow:b": 2,
    "stopped:limit:a": 3, "stopped:no_channel:a": 4, "stopped:limit:gone": 9, "unknown:b": 5,
}  # fmt: skip


def test_the_effect_is_the_difference_of_the_arms_and_how_sure_it_is() -> None:
    a, b = effects(RULES, COUNTS)
    assert a["effect"] == {"share": 0.1, "low": 0.0173, "high": 0.1614}  # 20 % against 10 %
    assert a["stopped"] == {"limit": 3, "no_channel": 4}
    assert (a["fired"], a["held_out"], a["goals"], a["goals_held_out"]) == (400, 100, 80, 10)
    assert [row["status"] for row in effects(RULES, COUNTS, disabled={"b"})] == ["live", "disabled"]
    assert (b["shadow"], b["unknown"], b["effect"]) == (2, 5, None)


@pytest.mark.parametrize("missing", ["fired:a", "held_out:a"])
def test_without_one_of_the_arms_nothing_can_be_said(missing: str) -> None:
    counts = {name: n for name, n in COUNTS.items() if name != missing}
    assert effects(RULES, counts)[0]["effect"] is None


# Newcombe (1998), table II, method 10: 6/7 there is rounded once more.
PUBLISHED = [
    ((56, 70), (48, 80), (0.0524, 0.3339)),
    ((9, 10), (3, 10), (0.1705, 0.8090)),
    ((6, 7), (2, 7), (0.0582, 0.8062)),
    ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ((0, 10), (0, 10), (-0.2775, 0.2775)),
    ((10, 10), (0, 20), (0.6791, 1.0)),
    ((10, 10), (0, 10), (0.6075, 1.0)),
]


@pytest.mark.parametrize(("one", "other", "ends"), PUBLISHED)
def test_how_sure_it_is_agrees_with_the_published_table(
    one: tuple[int, int], other: tuple[int, int], ends: tuple[float, float]
) -> None:
    found = difference(one[0] / one[1], one[1], other[0] / other[1], other[1])
    assert found == pytest.approx(ends, abs=1.1e-4)


@pytest.mark.parametrize("goals", [0, 1])
def test_of_one_customer_in_each_arm_nothing_is_sure(goals: int) -> None:
    """It was +100 % for certain, and green: the goal of the one, and not of the other."""
    counts = {"fired:a": 1, "held_out:a": 1, "goal:a": 1, "goal_held_out:a": goals}
    effect = effects(RULES, counts)[0]["effect"]
    assert effect["low"] < 0 < effect["high"]
