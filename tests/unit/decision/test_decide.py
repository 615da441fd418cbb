"""May we act? Freshness, suppression, quiet hours, limits, reach, holdout, goals."""

from typing import Any

import pytest

from engine.decision.act import trigger_id
from engine.decision.holdout import is_held_out, is_of_share
from engine.errors import RulesError
from engine.rules.model import Rule
from tests.turns import NOON, Customer, event_id, rules_of

CART, ORDER = "cart.updated", "order.placed"
HOUR_S, DAY_S = 3600, 86_400


def offer(name: str = "a", **more: str) -> str:
    """Return a rule that offers at every cart; `more` are further keys."""
    keys = "".join(f"{key}: {value}\n" for key, value in more.items())
    channels = "channels: [push, email]"
    return f"rule: {name}\n{keys}when: [{{event: {CART}}}]\ndo: [{{offer: {name}, {channels}}}]\n"


def shopper(*texts: str, **traits: Any) -> Customer:
    """Return a customer who takes e-mail."""
    return Customer(rules_of(*texts)).knows(consent__email=True, **traits)


def carts(customer: Customer, *seconds: float) -> list[float]:
    """Let carts arrive when they happen; return when offers were made."""
    for second in seconds:
        customer.tick(second)
        customer.send(CART, second)
    return [at for at, _ in customer.fired]


@pytest.mark.parametrize(
    ("scope", "city", "acts"),
    [
        ("{city: [Hangzhou, Chengdu]}", "Hangzhou", True),
        ("{city: Hangzhou}", "Beijing", False),
        ("{city: Hangzhou}", None, False),  # not known is outside
        ("{city: Hangzhou, tier: gold}", "Hangzhou", False),
        ("{share: 0%}", "Hangzhou", False),
        ("{share: 100%}", None, True),
    ],
)
def test_a_pilot_is_for_whom_its_scope_names(scope: str, city: str | None, acts: bool) -> None:
    customer = shopper(offer(scope=scope), **({} if city is None else {"city": city}))
    assert carts(customer, 0) == ([0] if acts else [])


def test_a_share_is_always_the_same_customers_and_says_nothing_of_the_holdout() -> None:
    rule = rules_of(offer(scope="{share: 30%}", holdout="30%")).rules["a"]
    people = [f"0u{number}" for number in range(4_000)]
    inside = {name for name in people if is_of_share(rule, name)}
    held = {name for name in people if is_held_out(rule, name)}
    assert len(inside) / len(people) == pytest.approx(0.3, abs=0.03)
    assert len(inside & held) / len(inside) == pytest.approx(0.3, abs=0.05)
    wider = rules_of(offer(scope="{share: 60%}", holdout="30%")).rules["a"]
    assert inside < {name for name in people if is_of_share(wider, name)}
    assert wider.version == rule.version, "who widens a pilot ends nothing that waits"


@pytest.mark.parametrize(
    ("scope", "code"),
    [("{ctiy: x}", "R101"), ("{city: sets.nowhere}", "E205"), ("{share: 20}", "R113"),
     ("{city: []}", "R105"), ("Hangzhou", "R105")],
)  # fmt: skip
def test_a_mistake_in_a_scope_is_told(scope: str, code: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(offer(scope=scope))
    assert code in {each.code for each in caught.value.problems}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("limit", "seconds", "expected"),
    [
        ("1 per 1h", (0, 3599, 3600), [0, 3600]),  # the window (t - 1h, t] has lost the first
        ("2 per 1h", (0, 10, 20, 3600), [0, 10, 3600]),
        ("1 per day", (0, 11 * HOUR_S, 12 * HOUR_S), [0, 12 * HOUR_S]),  # midnight in Shanghai
    ],
)
def test_a_limit_counts_decisions(
    limit: str, seconds: tuple[int, ...], expected: list[int]
) -> None:
    assert carts(shopper(offer(limits=f"[{limit}]")), *seconds) == expected


def test_a_day_is_the_customers_own() -> None:
    customer = shopper(offer(limits="[1 per day]"), zone="Europe/London")
    assert carts(customer, 0, 12 * HOUR_S, 20 * HOUR_S) == [0, 20 * HOUR_S]


def test_a_decision_about_a_later_time_counts_for_one_that_is_made_after_it() -> None:
    customer = shopper(offer(limits="[1 per 1h]"))
    customer.send(CART, 100)
    customer.send(CART, 90)
    assert [at for at, _ in customer.fired] == [100]


def test_a_group_is_shared_and_service_stands_outside() -> None:
    limits = "[1 per day in group promo]"
    service = offer("c", kind="service", limits=limits).replace("offer:", "message:")
    customer = shopper(offer("a", limits=limits), offer("b", limits=limits), service)
    customer.send(CART, 0)
    assert [name for _, name in customer.fired] == ["a", "c"]
    assert customer.counts["stopped:limit:b"] == 1


def test_who_is_held_out_or_in_the_shadow_takes_no_place_in_the_group() -> None:
    limits = "[1 per day in group promo]"
    held = offer("a", limits=limits, holdout="100%")
    shadow = "owner: a\nstatus: shadow\n" + offer("b", limits=limits)
    customer = shopper(held, shadow, offer("c", limits=limits))
    customer.send(CART, 0)
    told = [(t.rule, t.held_out, t.status) for t in customer.triggers]
    assert told == [("a", True, "live"), ("b", False, "shadow"), ("c", False, "live")]


def test_suppression_by_an_earlier_rule_is_seen_by_a_later_one_and_ends() -> None:
    stop = f"rule: z\npriority: 9\nwhen: [{{event: {CART}, where: event.value > 5.0}}]\n"
    stop += "do: [{suppress: promo, for: 1h}]\n"
    customer = shopper(offer("a", group="promo"), stop)
    customer.send(CART, 0, {"value": 1000})
    customer.tick(3599)
    customer.send(CART, 3599)
    customer.tick(3600)
    customer.send(CART, 3600)
    assert [at for at, _ in customer.fired] == [3600]
    assert customer.counts["stopped:suppressed:a"] == 2


def test_too_late_is_counted_and_told_on_the_card_but_not_sent() -> None:
    customer = shopper(offer(fresh="30m"))
    customer.tick(HOUR_S)
    customer.send(CART, 0)
    assert customer.fired == []
    assert customer.counts["stopped:expired:a"] == 1
    assert customer.actor.triggers == [{"rule": "a", "at": NOON, "outcome": "expired", "times": 1}]


def test_stops_for_one_reason_share_a_line_of_the_card() -> None:
    customer = shopper(offer(limits="[1 per 1d]"))
    carts(customer, *range(30))
    assert [(e["outcome"], e.get("times")) for e in customer.actor.triggers] == [
        ("fired", None),
        ("limit", 29),
    ]


def test_quiet_hours_hold_until_their_end_and_then_ask_again() -> None:
    text = offer(quiet_hours='"22:00-08:00"', **{"if": 'profile.tier == "gold"'})
    evening = 11 * HOUR_S  # 23:00 in Shanghai
    customer = shopper(text, tier="gold")
    carts(customer, evening)
    customer.tick(21 * HOUR_S)
    assert [
        (at, t.waited, t.expires_at - t.at)
        for (at, _), t in zip(customer.fired, customer.triggers, strict=True)
    ] == [(20 * HOUR_S, True, 3_600_000)]
    other = shopper(text, tier="gold")
    carts(other, evening)
    other.knows(tier="silver").tick(21 * HOUR_S)
    assert other.fired == []


@pytest.mark.parametrize(
    ("traits", "keys", "expected"),
    [
        ({"consent__email": True, "consent__push": True}, {"email": "e"}, ["email"]),  # no device
        ({"consent__email": True}, {"email": "e", "user_id": "u"}, ["email"]),  # no consent to push
        (
            {"consent__email": True, "consent__push": True},
            {"email": "e", "user_id": "u"},
            ["push", "email"],
        ),
        ({"consent__email": False}, {"email": "e"}, None),
    ],
)
def test_channels_need_consent_and_an_address(
    traits: dict[str, bool], keys: dict[str, str], expected: list[str] | None
) -> None:
    customer = Customer(rules_of(offer())).knows(**traits)
    customer.actor.keys = keys
    customer.send(CART, 0)
    assert [t.channels for t in customer.triggers] == ([] if expected is None else [expected])
    assert customer.counts.get("stopped:no_channel:a", 0) == (expected is None)


def test_the_comparison_group_is_the_share_that_was_asked_for_and_always_the_same() -> None:
    rule = Rule(id="a", path="", version="", title={}, owner="", holdout=0.1)
    names = [f"0u{n}" for n in range(4000)]
    held = [name for name in names if is_held_out(rule, name)]
    assert 0.08 < len(held) / len(names) < 0.12
    assert held == [name for name in names if is_held_out(rule, name)]


@pytest.mark.parametrize("holdout", ["0%", "100%"])
def test_a_goal_counts_once_for_the_newest_decision_in_both_arms(holdout: str) -> None:
    customer = shopper(offer(holdout=holdout, goal=f"{{event: {ORDER}, within: 1h}}"))
    carts(customer, 0, 60)
    customer.send(ORDER, 120)
    customer.send(ORDER, 3700)
    assert [(g.trigger, g.held_out) for g in customer.goals] == [
        (customer.triggers[1].id, holdout == "100%")
    ]
    arm, goal = ("fired", "goal") if holdout == "0%" else ("held_out", "goal_held_out")
    assert (customer.counts[f"{arm}:a"], customer.counts[f"{goal}:a"]) == (2, 1)


def test_the_goal_of_a_retired_rule_is_reported_and_it_acts_no_more() -> None:
    goal = f"{{event: {ORDER}, within: 1h}}"
    customer = shopper(offer(goal=goal))
    carts(customer, 0)
    retired = "owner: a\nstatus: retired\n" + offer(goal=goal)
    customer.rules = rules_of(retired)
    assert carts(customer, 60) == [0]
    customer.send(ORDER, 120)
    assert [g.trigger for g in customer.goals] == [customer.triggers[0].id]


def test_a_delivery_that_failed_for_good_gives_the_limit_back_once() -> None:
    text = offer(limits="[1 per 1d, 1 per day in group promo]")
    customer = shopper(text)
    assert carts(customer, 0, 10) == [0]
    for second in (20, 21):
        customer.send("delivery.failed", second, {"trigger_id": customer.triggers[0].id})
    assert carts(customer, 30, 40) == [0, 30]


def test_an_id_depends_on_tenant_rule_cause_instance_and_action_alone() -> None:
    customer = shopper(offer())
    customer.send(CART, 0, id=event_id("cause"))
    assert customer.triggers[0].id == trigger_id("t", "a", event_id("cause"), "", 0)
    ids = {trigger_id("t", "a", "c", *rest) for rest in (("", 0), ("i", 0), ("", 1))}
    assert len(ids) == 3


def test_a_reason_says_what_happened_on_which_values_in_both_languages() -> None:
    text = f"""rule: a
title: {{en: A full cart, zh: 购物车已满}}
when: [{{event: {CART}, where: event.value > 100.0}}, {{not: {ORDER}, within: 30m}}]
do: [{{case: a, fields: {{value: "{{{{ event.value }}}}", text: "of {{{{ event.value }}}}"}}}}]
"""
    customer = shopper(text)
    customer.send(CART, 0, {"value": 15_000})
    customer.tick(HOUR_S)
    trigger = customer.triggers[0]
    assert trigger.action.fields == {"value": 150, "text": "of 150"}
    assert trigger.inputs == {"event.value": 150}
    assert trigger.reason["en"].startswith("A full cart. ")
    assert "for 30 min" in trigger.reason["en"]
    assert trigger.reason["en"].endswith("(event.value = 150).")
    assert trigger.reason["zh"].startswith("购物车已满。")
    assert trigger.events == [trigger.cause]
