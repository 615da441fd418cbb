"""Conditions in plain words, both languages."""

import pytest

from engine.rules.expression.compile import compile_condition
from engine.rules.expression.words import length
from tests.unit.rules.expression.expression_scope import SCOPE


@pytest.mark.parametrize(
    ("text", "en", "zh"),
    [
        ("event.value > 100.0", "the event's value is above 100", "事件的金额高于100"),
        ("profile.consent.email", "consent to e-mail: yes", "同意接收邮件"),
        ("!profile.consent.email", "consent to e-mail: no", "未同意接收邮件"),
        (
            'profile.tier in ["gold", "diamond"] && features.churn_risk >= 0.4',
            "member tier is one of gold, diamond and churn risk is at least 0.4",
            "会员等级属于“gold”、“diamond”，且流失风险至少为0.4",
        ),
        (
            'count("web.page_viewed", 1h, it.category == cart.category) >= 2',
            "the number of web.page_viewed in the last 1 hour where category is the event's"
            " category is at least 2",
            "最近 1 小时内web.page_viewed次数（其中品类为事件的品类）至少为2",
        ),
        ("!has(event.coupon)", "the event's coupon is not known", "事件的优惠券未知"),
        (
            "event.items > 1 || !(event.value < 9.5)",
            "the event's number of items is above 1 or not (the event's value is below 9.50)",
            "事件的件数高于1，或并非（事件的金额低于9.50）",
        ),
        (
            'age("order.placed") > 30d',
            "the time since order.placed is above 30 days",
            "距上次order.placed的时间高于30 天",
        ),
        (
            "features.clv > event.value",
            "customer lifetime value is above the event's value",
            "客户终身价值高于事件的金额",
        ),
    ],
)
def test_a_condition_reads_as_a_sentence(text: str, en: str, zh: str) -> None:
    condition = compile_condition(text, SCOPE, trigger="cart")
    assert condition.words("en") == en
    assert condition.words("zh") == zh


def test_a_length_of_time_is_told_in_its_largest_units() -> None:
    assert length(90_061_000, "en") == "1 day 1 hour 1 minute 1 second"
    assert length(0, "zh") == "0 秒"
