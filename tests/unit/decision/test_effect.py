"""What a rule has done, in both arms."""

import pytest

from engine.decision.effect import effects
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
    # 20 % against 10 %; standard error sqrt(.2 * .8 / 400 + .1 * .9 / 100) = 0.0361.
    assert a["effect"] == {"share": 0.1, "low": 0.0293, "high": 0.1707}
    assert a["stopped"] == {"limit": 3, "no_channel": 4}
    assert (a["fired"], a["held_out"], a["goals"], a["goals_held_out"]) == (400, 100, 80, 10)
    assert [row["status"] for row in effects(RULES, COUNTS, disabled={"b"})] == ["live", "disabled"]
    assert (b["shadow"], b["unknown"], b["effect"]) == (2, 5, None)


@pytest.mark.parametrize("missing", ["fired:a", "held_out:a"])
def test_without_one_of_the_arms_nothing_can_be_said(missing: str) -> None:
    counts = {name: n for name, n in COUNTS.items() if name != missing}
    assert effects(RULES, counts)[0]["effect"] is None
