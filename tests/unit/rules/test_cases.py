"""Tests of rule files with several customers: who is who, and what a guard makes of them."""

import pytest

from engine.errors import RulesError
from engine.simulation.cases import run_case
from tests.turns import rules_of

RULE = """rule: r
kind: service
when: [{event: payment.failed, as: failure}]
%s
do: [{message: payment-help, channels: [web]}]
tests:
  - name: t
    events: [%s]
    expect: [%s]
"""
GUARD = "guard: {same: failure.code, more_than: 2, within: 10m, wait: 2m, raise: payment-outage}"


def fails(who: str, at: str = "0m", code: str = "E7") -> str:
    """Return one event of a test."""
    named = f"who: {who}, " if who else ""
    return f"{{at: {at}, {named}payment.failed: {{value: 1.0, method: card, code: {code}}}}}"


def ran(events: list[str], expect: list[str], *, guard: str = GUARD, lang: str = "en") -> list[str]:
    """Return what differs."""
    rules = rules_of(RULE % (guard, ", ".join(events), ", ".join(expect)))
    rule = rules.rules["r"]
    return run_case(rule, rule.cases[0], rules, lang)


HELP = "{at: 2m, who: %s, message: payment-help}"
OUTAGE = "{at: %s, who: incident, case: payment-outage}"


def test_each_customer_is_decided_by_what_happens_to_them() -> None:
    assert ran([fails("ann"), fails("2-3")], [OUTAGE % "0m"]) == []
    assert ran([fails("ann"), fails("bob")], [HELP % "ann", HELP % "bob"]) == []
    assert ran([fails(""), fails("bob", code="E1")], [HELP % "''", HELP % "bob"]) == []
    assert ran([fails("1-3"), fails("bob", code="E1")], [OUTAGE % "0m", HELP % "bob"]) == []


def test_the_third_customer_trips_the_guard_for_those_who_wait() -> None:
    events = [fails("ann"), fails("bob", "1m"), fails("bob", "1m30s"), fails("cy", "1m50s")]
    assert ran(events, [OUTAGE % "1m50s"]) == []
    late = [fails("ann"), fails("bob", "1m"), fails("cy", "3m")]
    bob = "{at: 3m, who: bob, message: payment-help}"
    assert ran(late, [HELP % "ann", OUTAGE % "3m", bob]) == []


def test_a_difference_names_the_customer_in_both_languages() -> None:
    events, expect = [fails("ann"), fails("bob")], [HELP % "ann", OUTAGE % "0m"]
    assert ran(events, expect) == [
        "expected case payment-outage for incident at 0m, which did not happen",
        "nobody expected message payment-help for bob at 2m (2026-03-04T02:02:00.000Z)",
    ]
    assert ran(events, expect, lang="zh") == [
        "应有case payment-outage，客户incident，时间0m，但没有发生",
        "出现了未预期的message payment-help，客户bob，时间2m (2026-03-04T02:02:00.000Z)",
    ]


@pytest.mark.parametrize(
    ("event", "expect", "guard", "code", "hint"),
    [
        (fails("Ann B"), "", GUARD, "R148", "1-20"),
        (fails("9-3"), "", GUARD, "R148", "1-20"),
        (fails("incident"), "", GUARD, "R148", "1-20"),
        (fails("1-201"), "", GUARD, "R148", "1-20"),
        (f"{fails('1-150')}, {fails('151-250')}", "", GUARD, "R148", ""),
        (fails("anna"), HELP % "ana", GUARD, "R148", 'did you mean "anna"?'),
        (fails("ann"), OUTAGE % "0m", "", "R148", "only a rule with guard"),
        (fails("ann"), "{case: payment-outage}", GUARD, "R137", "add who: incident"),
        (fails("ann"), HELP % "incident", GUARD, "R137", "case payment-outage"),
    ],
)
def test_a_mistake_about_customers_is_told(
    event: str, expect: str, guard: str, code: str, hint: str
) -> None:
    with pytest.raises(RulesError) as caught:
        ran([event], [expect], guard=guard)
    found = [each for each in caught.value.problems if each.code == code]  # type: ignore[attr-defined]
    assert found and hint in found[0].hint  # type: ignore[attr-defined]
