"""Steps, waits, dates and instances of a rule, by example; the laws are in tests/properties."""

import msgspec
import pytest

from engine.decision.decide import decide
from engine.decision.match import Match
from engine.decision.merge import merge_rules
from engine.matching import match
from engine.matching.partial import Partial
from engine.profile.model import Trait
from engine.profile.turn import Turn
from engine.rules.model import Rule
from tests.turns import NOON, Customer, event_id, rules_of

CART, CHECKOUT, ORDER = "cart.updated", "checkout.started", "order.placed"
DAY_S = 86_400


def rule(body: str, **more: str) -> str:
    """Return a rule's text; `more` are further keys."""
    keys = "".join(f"{name}: {value}\n" for name, value in more.items())
    return f"rule: r\nfresh: 30d\n{keys}{body}\ndo: [{{case: hit}}]\n"


def waits(**more: str) -> str:
    return rule(f"when: [{{event: {CART}}}, {{not: {ORDER}, within: 30s}}]", **more)


def test_a_start_between_due_time_and_decision_leaves_the_due_wait_alone() -> None:
    customer = Customer(rules_of(waits()))
    customer.send(CART, 0)
    customer.tick(31)
    customer.send(CART, 32)
    customer.tick(100)
    assert customer.fired == [(30, "hit"), (62, "hit")]


def test_keep_first_is_not_kept_by_a_wait_that_was_never_first_itself() -> None:
    body = f"when: [{{event: {CART}}}, {{not: {ORDER}, within: 1s}}]"
    customer = Customer(rules_of(rule(body, repeat="keep-first")))
    for second, stopped in ((1, False), (2, True), (3, True)):
        customer.tick(second)
        customer.send(CART, second)
        if stopped:
            customer.send(ORDER, second)
    for second in range(4, 30):
        customer.tick(second)
        if second in (10, 12):  # nobody's wait: but looks at the first one when it is settled
            customer.send(ORDER, second)
    assert customer.fired == [(4, "hit")]


def test_what_a_forwarded_event_would_have_met_is_remembered_until_all_have_passed_it() -> None:
    """Found by a storm: a partition stood still, and newer starts were forgotten by log time."""
    customer = Customer(rules_of(waits()))
    customer.behind_ms = 600_000
    for second in (20, 45, 60):
        customer.tick(second)
        customer.send(CART, second)
    customer.send(CART, 5)  # by a signpost, whose partition has stood still
    customer.tick(200)
    assert customer.fired == [(90, "hit")]


def test_a_set_that_is_full_by_an_event_later_than_it_may_be_is_waited_for() -> None:
    step = f"{{event: {CART}, times: 2, within: 1m}}"
    customer = Customer(rules_of(rule(f"when: [{step}, {{not: {ORDER}, within: 30m}}]")))
    customer.send(CART, 0)
    customer.tick(300)
    customer.send(CART, 10)
    customer.tick(3_600)
    assert customer.fired == [(1_810, "hit")]


def test_a_stop_is_remembered_for_a_forwarded_start() -> None:
    body = f"when: [{{event: {CART}}}, {{not: {ORDER}, where: event.value > 1.0, within: 30s}}]"
    customer = Customer(rules_of(rule(body)))
    customer.behind_ms = 600_000
    customer.tick(12)
    customer.send(ORDER, 12, {"value": 15_000})
    customer.tick(40)
    customer.send(ORDER, 40, {"value": 15_000})
    customer.send(CART, 5)
    customer.tick(200)
    assert customer.fired == []


def test_keep_first_waits_anew_behind_what_stopped_it_but_not_at_the_same_instant() -> None:
    customer = Customer(rules_of(waits(repeat="keep-first")))
    customer.send(CART, 0)
    customer.send(ORDER, 10)
    customer.send(CART, 10)
    customer.send(CART, 11)
    customer.tick(100)
    assert customer.fired == [(41, "hit")]


def test_what_happened_in_time_stops_a_wait_even_where_it_arrived_before_its_start() -> None:
    customer = Customer(rules_of(waits()))
    customer.send(ORDER, 5)
    customer.send(CART, 0)
    customer.tick(100)
    assert customer.fired == []


def test_an_instance_is_not_stopped_by_one_whose_name_begins_alike() -> None:
    text = """rule: r
per: promise_id
when: [{event: promise.made}, {not: promise.kept, within: 30s}]
do: [{case: hit}]
"""
    customer = Customer(rules_of(text))
    for name in ("pr1", "pr10"):
        customer.send("promise.made", 0, {"promise_id": name, "issue": "x", "due_minutes": 1.0})
    customer.send("promise.kept", 10, {"promise_id": "pr1"})
    customer.tick(100)
    assert [t.instance for t in customer.triggers] == ["pr10"]


def test_an_event_without_the_instance_field_is_nobodys() -> None:
    text = rule(f"when: [{{event: {CART}, where: event.value > 1.0}}]", per="coupon")
    customer = Customer(rules_of(text))
    customer.send(CART, 0, {"value": 500})
    assert customer.fired == []


def test_a_late_first_step_finds_the_second_that_came_before_it() -> None:
    customer = Customer(
        rules_of(rule(f"when: [{{event: {CART}}}, {{event: {CHECKOUT}, within: 10s}}]"))
    )
    customer.send(CHECKOUT, 5, id=event_id("second"))
    customer.send(CART, 1, id=event_id("first"))
    assert [t.events for t in customer.triggers] == [[event_id("first"), event_id("second")]]


def test_a_later_step_may_ask_about_an_earlier_one() -> None:
    where = "where: event.value == cart.value, within: 10s"
    text = rule(f"when: [{{event: {CART}, as: cart}}, {{event: {CHECKOUT}, {where}}}]")
    customer = Customer(rules_of(text))
    customer.send(CART, 0, {"value": 500, "note": "not read by the rule"})
    partial = msgspec.convert(customer.actor.rules["r"].partial[""], Partial)
    kept = partial.runs[0].match.events
    assert kept == {"cart": {"value": 500}}, "only what the rule reads is kept"
    customer.send(CHECKOUT, 1, {"value": 400})
    customer.send(CHECKOUT, 2, {"value": 500})
    assert customer.fired == [(2, "hit")]


def test_a_match_uses_up_the_runs_that_had_begun_before_its_end() -> None:
    body = f"when: [{{event: {CART}}}, {{event: {CHECKOUT}, within: 10s}}]"
    customer = Customer(rules_of(rule(body, repeat="keep-first")))
    customer.send(CART, 3)
    customer.send(CART, 1)  # late: now there are two under way
    customer.send(CHECKOUT, 5)
    customer.send(CHECKOUT, 6)
    assert customer.fired == [(5, "hit")]


def test_a_new_version_drops_what_waits() -> None:
    customer = Customer(rules_of(waits()))
    customer.send(CART, 0)
    customer.rules = rules_of(waits(priority="5"))
    customer.tick(100)
    assert customer.fired == []


def test_a_paused_rule_hears_nothing() -> None:
    text = "owner: a@shop.example\nstatus: paused\n" + rule(f"when: [{{event: {CART}}}]")
    customer = Customer(rules_of(text))
    customer.send(CART, 0)
    assert customer.fired == []


def test_a_rule_that_raises_stops_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"rule: {name}\nwhen: [{{event: {CART}}}]\ndo: [{{case: {name}}}]\n" for name in "abc"]

    def broken(turn: Turn, rule: Rule, found: Match) -> None:
        decide(turn, rule, found)
        if rule.id == "b":
            raise KeyError("ours")

    monkeypatch.setattr(match, "decide", broken)
    customer = Customer(rules_of(*texts))
    with pytest.raises(AssertionError, match=r"rule_error:b:KeyError@test_match\.py"):
        customer.send(CART, 0)
    assert [t.rule for t in customer.triggers] == ["a", "c"]
    assert customer.counts["rule_errors"] == 1


DATE = """rule: r
fresh: 1h
when: [{schedule: {date: profile.birthday, before: 7d, at: "09:00"}}]
do: [{case: hit}]
"""


def test_a_date_comes_up_before_itself_in_the_customers_zone_every_year() -> None:
    customer = Customer(rules_of(DATE)).knows(birthday="1990-03-15", zone="Europe/London")
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.tick(370 * DAY_S)
    nine_in_london = (4 * DAY_S) + 5 * 3600  # 2026-03-08, eight hours behind Shanghai
    assert customer.fired[0] == (nine_in_london, "hit")
    assert len(customer.fired) == 2


def test_who_moves_to_another_zone_on_the_day_has_one_birthday() -> None:
    customer = Customer(rules_of(DATE)).knows(birthday="1990-03-12")
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.tick(DAY_S)
    customer.knows(zone="America/New_York").send("web.page_viewed", DAY_S, {"page": "/"})
    customer.tick(30 * DAY_S)
    assert len(customer.fired) == 1


def test_the_date_of_a_silent_customer_outlives_a_new_version_of_its_rule() -> None:
    customer = Customer(rules_of(DATE)).knows(birthday="1990-03-15")
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.rules = rules_of(DATE + "priority: 3\n")
    customer.tick(30 * DAY_S)
    assert len(customer.fired) == 1


def test_a_forgotten_date_comes_up_no_more() -> None:
    customer = Customer(rules_of(DATE)).knows(birthday="1990-03-15")
    customer.send("web.page_viewed", 0, {"page": "/"})
    del customer.knows().actor.traits["birthday"]
    customer.send("web.page_viewed", 1, {"page": "/"})
    assert not customer.actor.timers


def test_what_two_persons_did_is_one_story_once_they_are_one() -> None:
    rules = rules_of(rule(f"when: [{{event: {CART}, times: 3, within: 1m}}]"))
    one, other = Customer(rules), Customer(rules)
    one.send(CART, 2, id=event_id("b"))
    other.send(CART, 1, id=event_id("a"))
    merge_rules(one.actor, other.actor)
    one.send(CART, 3, id=event_id("c"))
    assert [t.cause for t in one.triggers] == [event_id("c")]


def test_a_rule_about_a_shop_hears_the_shop_only() -> None:
    text = """rule: r
key: store
when: [{event: store.ticket_taken}]
do: [{case: hit}]
"""
    data = {"store_id": "s1", "ticket_id": "t1"}
    person, shop = Customer(rules_of(text)), Customer(rules_of(text), kind="store", node_id="Es1")
    person.send("store.ticket_taken", 0, data)
    shop.send("store.ticket_taken", 0, data)
    assert (person.fired, shop.fired) == ([], [(0, "hit")])


def test_a_text_that_a_rule_asks_for_finds_it_in_the_order_of_priority() -> None:
    texts = [
        f"rule: {name}\npriority: {priority}\n"
        f'when: [{{event: {CART}, where: event.category == "{category}"}}]\n'
        f"do: [{{case: {name}}}]\n"
        for name, priority, category in (("a", 1, "food"), ("b", 9, "food"), ("c", 5, "books"))
    ]
    texts.append(f"rule: d\npriority: 4\nwhen: [{{event: {CART}}}]\ndo: [{{case: d}}]\n")
    customer = Customer(rules_of(*texts))
    customer.send(CART, 0, {"category": "food"})
    assert [t.rule for t in customer.triggers] == ["b", "d", "a"]


def test_an_unknown_value_is_counted_and_does_not_fire() -> None:
    customer = Customer(rules_of(rule(f'when: [{{event: {CART}, where: profile.tier == "gold"}}]')))
    customer.send(CART, 0)
    customer.actor.traits["tier"] = Trait("silver", "test", NOON)
    customer.send(CART, 1)
    assert customer.fired == []
    assert customer.counts["unknown:r"] == 1


@pytest.mark.parametrize(
    ("first", "where"),
    [
        ("order.placed", "1 / event.items > 1"),
        ("order.placed", "7 % event.items > 1"),
        ("order.placed", "int(event.cart_id) > 3"),
        ("order.placed", 'last("checkout.started", it.value) > 3.0'),
        ("cart.updated", "start.items == 2"),  # not there, while the order has its own
    ],
)
def test_what_cannot_be_worked_out_is_counted_too_per_rule(first: str, where: str) -> None:
    begin = "" if first == ORDER else f"{{event: {first}, as: start}}, "
    within = "" if first == ORDER else ", within: 1h"
    step = f"{{event: {ORDER}, where: '{where}'{within}}}"
    customer = Customer(rules_of(rule(f"when: [{begin}{step}]")))
    customer.send(CART, 0, {"value": 100, "cart_id": "a"})
    customer.send(ORDER, 1, {"value": 100, "cart_id": "a", "items": 0})
    assert customer.fired == []
    assert customer.counts == {"unknown": 1, "unknown:r": 1}
