"""Every week in the customer's own time: once a local day, whatever becomes of rule and zone."""

import pytest

from engine.errors import RulesError
from tests.turns import NOON, Customer, rules_of

DAY = 86_400
RULE = """rule: r
when: [{schedule: {every: %s, at: "09:00"}}]
do: [{case: a}]
fresh: 8h
"""
MONDAY = 5 * DAY - 3 * 3_600  # NOON is a Wednesday: this is the Monday behind it, at nine


def seconds(customer: Customer) -> list[int]:
    """Return when each trigger was about, in seconds after NOON."""
    return [(trigger.at - NOON) // 1000 for trigger in customer.left]


def seen(rule: str = RULE % "monday", **traits: str) -> Customer:
    customer = Customer(rules_of(rule)).knows(**traits)
    customer.send("web.page_viewed", 0)
    return customer


def test_each_monday_at_nine_of_the_customer_s_own_zone() -> None:
    here, there = seen(), seen(zone="Europe/London")
    for customer in (here, there):
        customer.tick(15 * DAY)
    assert seconds(here) == [MONDAY, MONDAY + 7 * DAY]
    assert seconds(there) == [MONDAY + 8 * 3_600, MONDAY + 7 * DAY + 8 * 3_600]
    assert len({trigger.id for trigger in here.left}) == 2


def test_several_days_and_every_day() -> None:
    two, daily = seen(RULE % "[monday, thursday]"), seen(RULE % "day")
    for customer in (two, daily):
        customer.tick(7 * DAY)
    assert seconds(two) == [DAY - 10_800, MONDAY]
    assert seconds(daily) == [(n + 1) * DAY - 10_800 for n in range(7)]


def test_who_moves_west_on_a_monday_has_one_monday() -> None:
    customer = seen()
    customer.tick(MONDAY + 3_600)
    customer.knows(zone="Europe/London")
    customer.send("customer.identified", MONDAY + 3_700)
    customer.tick(MONDAY + 2 * DAY)
    assert seconds(customer) == [MONDAY]
    customer.tick(MONDAY + 8 * DAY)
    assert seconds(customer) == [MONDAY, MONDAY + 7 * DAY + 8 * 3_600]


def test_another_version_of_the_rule_takes_the_timer_over() -> None:
    customer = seen()
    customer.rules = rules_of((RULE % "monday").replace("case: a", "case: b"))
    customer.tick(MONDAY + 1)
    customer.tick(MONDAY + 8 * DAY)
    assert [trigger.action.name for trigger in customer.left] == ["b", "b"]
    moved = seen()
    moved.rules = rules_of(RULE % "tuesday")
    moved.tick(MONDAY + 2 * DAY)
    assert seconds(moved) == [MONDAY + DAY]


def test_its_sentence_says_when() -> None:
    rule = rules_of(RULE % "[monday, friday]").rules["r"]
    assert rule.sentence["en"].startswith("Every Monday and Friday at 09:00")
    assert rule.sentence["zh"].startswith("每周一、周五09:00")


@pytest.mark.parametrize(
    ("schedule", "code", "hint"),
    [
        ("{every: mnday}", "R111", 'did you mean "monday"?'),
        ("{every: monday, before: 1d}", "R101", ""),
        ("every monday 09:00", "R113", 'such as schedule: {every: monday, at: "09:00"}'),
        ("{every: monday, at: 9}", "R113", "09:00"),
    ],
)
def test_a_mistake_is_told(schedule: str, code: str, hint: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(f"rule: r\nwhen: [{{schedule: {schedule}}}]\ndo: [case: a]\n")
    found = [each for each in caught.value.problems if each.code == code]  # type: ignore[attr-defined]
    assert found and hint in found[0].hint  # type: ignore[attr-defined]
