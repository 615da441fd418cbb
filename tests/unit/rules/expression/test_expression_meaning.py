"""What conditions and values mean, by example."""

import pytest
from msgspec.structs import replace

from engine.profile.logs.exact import Columns
from engine.profile.model import Actor, Trait
from engine.rules.expression.compile import compile_condition, compile_value
from engine.rules.expression.types import DOUBLE, ExpressionErrors
from tests.unit.rules.expression.expression_scope import (
    CART,
    EVENTS,
    NOW,
    SCOPE,
    an_actor,
    holds,
    value,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.value > 100.0", True),
        ("event.value > 150.0", False),
        ("event.value >= 150", True),  # a whole number of major units
        ("event.value == 150.00 && cart.value == 150", True),
        ("100.00 < event.value", True),
        ("event.value - 50 > 100", False),
        ("event.value - 50.01 < 100", True),
        ("event.value * 2 == 300", True),
        ("event.value / event.items == 75", True),
        ("event.value / profile.trade.total > 1.8", True),  # 150 / 80, no unit
        ("event.value > features.churn_risk", True),  # 150.00 against 0.7 major units
        ("event.items / 0 == 1", None),
        ("event.items % 0 == 1", None),
        ("event.value / 0.0 > 1", None),
        ("7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1", True),  # as CEL cuts
        ("features.churn_risk > 0.4 && profile.consent.email", True),
        ("features.clv > 1", None),
        ("!(features.clv > 1)", None),
        ("features.clv > 1 || event.items == 2", True),
        ("features.clv > 1 && event.items == 3", False),
        ("profile.consent.sms", None),
        ("!profile.consent.sms", None),
        ("!profile.consent.email", False),
        ("profile.consent.email == true", True),
        ("profile.tier in ['gold', \"diamond\"]", True),
        ("!(profile.tier in ['silver'])", True),
        ("profile.tier in sets.tiers", True),
        ("profile.city in ['上海']", None),
        ("!(profile.city in ['上海'])", None),
        ('"gift" in event.tags', True),
        ('!("gift" in event.tags)', False),
        ("has(event.coupon)", False),
        ("!has(event.coupon)", True),
        ("event.coupon == null", True),
        ("event.coupon != null || has(profile.tier)", True),
        ("features.clv == null", True),
        ('event.coupon == "x"', None),
        ('event.coupon != "x"', None),
        ('event.category.startsWith("fo") && event.category.endsWith("od")', True),
        ('event.category.contains("oo")', True),
        ("size(event.tags) == 2 && event.category.size() == 4", True),
        ('(event.items > 1 ? "many" : "one") == "many"', True),
        ('(features.clv > 1 ? "a" : "a") == "a"', None),  # as CEL: the condition decides first
        ('profile.trade.last_at > "1970-01-01"', True),
        ("event.due_at - profile.trade.last_at == 10d", True),
        ("profile.trade.age > 1w", True),
        ("profile.trade.age > 1w3d1ms", False),
        ("profile.rfm.recency == 5 && profile.rfm.frequency == 1", True),
        ("profile.complaint.open == 0", True),
        ("true ? false : true", False),
    ],
)
def test_a_condition_says_yes_no_or_unknown(text: str, expected: bool | None) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('count("web.page_viewed", 1h) == 3', True),
        ('count("web.page_viewed", 30m) == 2', True),  # the old edge is outside
        ('count("web.page_viewed") == 4', True),
        ('count("web.page_viewed", 1h, it.category == cart.category) >= 2', True),
        ('count("web.page_viewed", 1h, it.category != cart.category) == 1', True),
        ('count("web.page_viewed", 2h, it.page in ["/90", "/10"]) == 2', True),
        ('count("review.posted", 1h) == 0', True),
        ('count("web.page_viewed", 1h, it.category == event.coupon) == 0', None),
        ('count("web.page_viewed", 1h, it.category == event.coupon) >= 1', None),
        ('count("web.page_viewed", 1h, it.category == event.coupon) <= 3', True),  # at most all
        ('count("web.page_viewed", 1h, it.category == event.coupon) >= 4', False),
        ('sum("order.placed", it.value, 90d) == 80', True),
        ('sum("order.placed", it.value, 1d) == 0', True),
        ("sum('order.placed', it.value, 90d, it.category == 'food') > 79.99", True),
        ('avg("order.placed", it.value, 1d) > 0', None),
        ('max("order.placed", it.value) >= 80.0 && min("order.placed", it.value) < 81', True),
        ('distinct("web.page_viewed", it.category, 1h) == 2', True),
        ('first("web.page_viewed", it.page) == "/90"', True),
        ('last("web.page_viewed", it.page) == "/10"', True),
        ('age("order.placed") == 10d', True),
        ('age("order.placed", 1d) == null', True),
        ('age("review.posted") > 1d', None),
    ],
)
def test_an_aggregate_looks_at_the_customers_own_log(text: str, expected: bool | None) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "cart"),
    [
        ("event.items > 1", {"items": "2"}),
        ("event.items != 1", {"items": "2"}),
        ("event.items == 1", {}),
        ('event.category != "food"', {"category": 7}),
        ('!(event.category in ["food"])', {"category": 7}),
        ('event.category.contains("x")', {"category": ["x"]}),
        ("size(event.tags) > 0", {"tags": 3}),
        ('!("a" in event.tags)', {"tags": None}),
        ("event.value * 1e308 * 1e308 > 1", {"value": 10**400}),
    ],
)
def test_a_value_of_another_type_than_the_contract_says_is_unknown(
    text: str, cart: dict[str, object]
) -> None:
    assert holds(text, cart) is None


def test_nan_is_unknown_on_every_side() -> None:
    actor = an_actor()
    actor.scores["churn_risk"] = float("nan")
    for sign in ("==", "!=", "<", "<=", ">", ">="):
        assert holds(f"features.churn_risk {sign} 0.5", actor=actor) is None
        assert holds(f"!(features.churn_risk {sign} 0.5)", actor=actor) is None


def test_a_step_that_did_not_match_is_unknown() -> None:
    assert holds("review.stars > 3") is None
    assert holds("!has(review.stars)") is True


def test_event_is_the_step_that_triggers() -> None:
    condition = compile_condition("event.stars == 1 && cart.items == 2", SCOPE, trigger="review")
    assert condition.holds({"cart": CART, "review": {"stars": 1}}, an_actor(), NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.value", 150.0),
        ("event.category", "food"),
        ("event.coupon", None),
        ("sum('order.placed', it.value, 90d)", 80.0),
        ("event.value / 7", 21.43),
        ("count('web.page_viewed', 1h, it.category == 'food')", 2),
        ("profile.trade.age", 10 * 24 * 3_600_000),
        ("event.value > 100", True),
        ("event.coupon == 'x'", None),
        ("event.category + '!'", "food!"),
    ],
)
def test_a_value_has_money_in_major_units_and_none_for_unknown(text: str, expected: object) -> None:
    assert value(text) == expected


def test_money_beside_a_list_of_numbers_is_scaled() -> None:
    assert holds("event.value in [150, 200.5]") is True
    assert holds("event.value in [1.5]") is False


def test_what_a_condition_reads_is_told_for_logs_index_and_reasons() -> None:
    text = (
        'event.category == "food" && features.churn_risk > 0.4 && profile.consent.email'
        ' && count("web.page_viewed", 1h, it.category == cart.category && it.page != "/") >= 2'
        ' && sum("order.placed", it.value, 90d) > 10'
    )
    condition = compile_condition(text, SCOPE, trigger="cart")
    assert condition.reads.columns == {
        "web.page_viewed": Columns((), ("category", "page")),
        "order.placed": Columns(("value",), ()),
    }
    assert condition.reads.profile == {"consent.email"}
    assert condition.reads.features == {"churn_risk"}
    assert condition.reads.fields == {("cart", "category")}
    assert condition.reads.pins == {"category": ("food",)}
    assert condition.inputs({"cart": CART}, an_actor(), NOW) == {
        "event.category": "food",
        "features.churn_risk": 0.7,
        "profile.consent.email": True,
        'count("web.page_viewed", 1h, it.category == cart.category && it.page != "/")': 2,
        "cart.category": "food",
        'sum("order.placed", it.value, 90d)': 80.0,
    }


def test_only_a_text_that_must_hold_is_a_pin() -> None:
    def pins(text: str) -> object:
        return compile_condition(text, SCOPE, trigger="cart").reads.pins

    assert pins('event.category in ["food", "toys"]') == {"category": ("food", "toys")}
    assert pins('"food" == cart.category && event.items > 1') == {"category": ("food",)}
    assert pins('event.category == "food" || event.items > 1') == {}
    assert pins('!(event.category == "food")') == {}
    assert pins("event.category == event.cart_id") == {}


def test_a_contracts_field_object_is_read_for_its_type() -> None:
    class Field:
        type = DOUBLE

    scope = replace(SCOPE, events={"cart": {"score": Field()}})
    condition = compile_condition("event.score > 0.5", scope, trigger="cart")
    assert condition.holds({"cart": {"score": 1}}, Actor(), NOW)


def test_a_trait_that_the_scope_names_is_read_without_a_reader() -> None:
    scope = replace(SCOPE, profile={"points": DOUBLE})
    actor = Actor(traits={"points": Trait(12.5, "crm", 1)})
    assert compile_value("profile.points", scope, trigger="cart").get({}, actor, NOW) == 12.5


def test_the_code_holds_none_of_the_users_text() -> None:
    odd = 'event.category == "__import__(\'os\')" || event.coupon == "\\n\\"); x"'
    scope = replace(SCOPE, sets={})
    assert compile_condition(odd, scope, trigger="cart").holds({"cart": CART}, Actor(), 1) is False
    with pytest.raises(ExpressionErrors):
        compile_condition("event.__class__ == 1", SCOPE, trigger="cart")


def test_every_event_of_the_scope_can_be_counted() -> None:
    for name in EVENTS:
        assert holds(f'count("{name}", 1h) >= 0') is True


def test_conditions_that_differ_only_in_constants_share_their_code_and_not_their_answers() -> None:
    text = 'event.category == "{}" && count("web.page_viewed", {}, it.category == "{}") >= {}'
    one, other = (
        compile_condition(text.format(*each), SCOPE, trigger="cart").holds
        for each in (("food", "1h", "food", 2), ("toys", "2h", "toys", 1))
    )
    assert one.__code__ is other.__code__
    for category, expected in (("food", (True, False)), ("toys", (False, True))):
        events = {"cart": {**CART, "category": category}}
        assert (one(events, an_actor(), NOW), other(events, an_actor(), NOW)) == expected
