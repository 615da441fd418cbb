"""What timers wait for is told as somebody at a desk needs it, in both languages."""

import re
from typing import Any

import pytest

from engine.matching.why.waiting import waiting
from engine.profile.model import Timer
from tests.turns import NOON, Customer, rules_of

HEAD = "rule: r\ntitle: {en: A cart left alone, zh: 购物车闲置}\n"
CART = {"value": 15_000, "currency": "CNY", "cart_id": "c1", "items": 1}
LEFT = HEAD + "when: [{event: cart.updated}, {not: order.placed, within: %s}]\n"
OFFER = "do: [{offer: a, channels: [desk]}]\n"
CASES = [
    # rule, words in English, words in Chinese
    (LEFT % "30m" + OFFER, "A cart left alone: unless Order placed comes by 12:30, offer a.",
     "购物车闲置：若到12:30仍没有「下单」，则提供优惠 a。"),
    (LEFT % "3d" + OFFER, "by 2026-", "若到2026-"),
    (LEFT % "30m" + "per: cart_id\n" + OFFER, "alone (cart c1): unless",
     "购物车闲置（购物车 c1）："),
    (LEFT % "30m" + OFFER + "if: features.churn_risk > 0.4\n",
     "offer a, if churn risk is above 0.4.", "则提供优惠 a（条件：流失风险高于0.4）。"),
    (LEFT % "30m" + "do: [{case: b}, {suppress: promo, for: 1d}]\n",
     "case b, nothing more of promo for a while.", "则开工单 b，暂停 promo。"),
    (HEAD + "when: [{event: cart.updated}]\nquiet_hours: '11:00-08:00'\n" + OFFER,
     "A cart left alone: quiet hours until 2026-", "静默时段，2026-"),
    (HEAD + "when: [{event: cart.updated, as: cart}]\n" + OFFER
     + "guard: {same: cart.cart_id, more_than: 2, within: 10m, wait: 2m, raise: many}\n",
     "waits until 12:02 whether many share the cause, then offer a.",
     "等待至12:02，以确认是否多位"),
    (HEAD + "when: [{schedule: {silence: 3d}}]\n" + OFFER,
     "A cart left alone: no sign of life since", "购物车闲置：自2026-"),
    (HEAD + "when: [{schedule: {every: monday}}]\n" + OFFER,
     "A cart left alone: it looks every Monday at 09:00, next at", "购物车闲置：每周一09:00查看"),
]  # fmt: skip


def told(customer: Customer) -> list[dict[str, Any]]:
    """Return what the customer's timers wait for now."""
    return waiting(customer.rules, customer.actor, customer.now)


@pytest.mark.parametrize(("rule", "en", "zh"), CASES)
def test_a_wait_says_for_what_until_when_and_what_then(rule: str, en: str, zh: str) -> None:
    customer = Customer(rules_of(rule)).knows(city="Hangzhou")
    customer.send("cart.updated", 0, CART)
    [found] = told(customer)
    assert en in found["words"]["en"] and zh in found["words"]["zh"], found["words"]
    assert not re.search(r"[wsqg]:r", str(found["words"]))


def test_a_customer_s_city_is_asked() -> None:
    rule = HEAD + "context: city\nwhen: [{event: cart.updated}]\n" + OFFER
    customer = Customer(rules_of(rule)).knows(city="Hangzhou")
    customer.send("cart.updated", 0, CART)
    assert "asks the customer's city, until 12:01 at most" in told(customer)[0]["words"]["en"]


def test_rules_come_first_and_what_the_engine_waits_for_itself_has_words_too() -> None:
    customer = Customer(rules_of(LEFT % "30m" + OFFER))
    customer.send("cart.updated", 0, CART)
    customer.actor.timers.update({name: Timer(NOON, NOON) for name in ("k", "labc", "d:segments")})
    found = told(customer)
    assert found[0]["timer"] == "w:r:"
    assert [each["timer"] for each in found[1:]] == ["k", "labc", "d:segments"]
    words = [each["words"]["zh"] for each in found[1:]]
    assert words == [
        "12:00：若届时仍无互动，流失风险上升。", "12:00：记录客户是否回来，供流失模型学习。",
        "12:00：重新判断客户所在分群。",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rule", [LEFT % "40m" + OFFER, "rule: other\nwhen: [{event: cart.updated}]\n" + OFFER,
             LEFT % "30m" + OFFER + "status: paused\nowner: a@shop.example\nwhy: x\n"]
)  # fmt: skip
def test_a_wait_of_a_rule_that_is_another_now_says_that_nothing_comes_of_it(rule: str) -> None:
    customer = Customer(rules_of(LEFT % "30m" + OFFER))
    customer.send("cart.updated", 0, CART)
    customer.rules = rules_of(rule)
    [found] = told(customer)
    assert "nothing comes of this wait" in found["words"]["en"]
    assert "此等待不会有结果" in found["words"]["zh"]
