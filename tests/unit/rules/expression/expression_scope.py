"""The scope of RULES.md section 2, for the tests of expressions."""

from typing import Any

from engine.profile import schema
from engine.profile.logs import exact
from engine.profile.model import Actor, Trait
from engine.rules.expression.compile import compile_condition, compile_value
from engine.rules.expression.types import (
    DOUBLE,
    INT,
    LIST,
    MONEY,
    STRING,
    TIME,
    ExpressionErrors,
    FieldType,
    Problem,
    Scope,
)

CATEGORY = FieldType("string", choices="categories")
EVENTS: dict[str, dict[str, FieldType]] = {
    "cart.updated": {
        "value": MONEY,
        "cart_id": STRING,
        "category": CATEGORY,
        "coupon": FieldType("string", optional=True),
        "items": INT,
        "tags": LIST,
        "due_at": TIME,
    },
    "order.placed": {"value": MONEY, "cart_id": STRING, "category": CATEGORY, "at": TIME},
    "review.posted": {"sentiment": DOUBLE, "stars": INT},
    "web.page_viewed": {"page": STRING, "category": CATEGORY},
}
SCOPE = Scope(
    events={"cart": EVENTS["cart.updated"], "review": EVENTS["review.posted"]},
    profile=schema.schema(),
    features=schema.FEATURES,
    sets={
        "tiers": ("bronze", "silver", "gold", "diamond"),
        "categories": ("beauty.skin", "food", "toys"),
    },
    aggregates=EVENTS.get,
    event_types=tuple(EVENTS),
    types={"cart": "cart.updated", "review": "review.posted"},
)
NOW = 1_000_000_000
MINUTE = 60_000


def an_actor() -> Actor:
    """A gold customer who looked at food twice and bought for 80.00 ten days ago."""
    actor = Actor()
    actor.traits = {"tier": Trait("gold", "crm", 1), "consent.email": Trait(True, "crm", 1)}
    actor.scores = {"churn_risk": 0.7}
    for minutes, category in ((90, "food"), (30, "food"), (20, "toys"), (10, "food")):
        data: dict[str, Any] = {"page": f"/{minutes}", "category": category}
        columns = exact.Columns((), ("category", "page"))
        at = NOW - minutes * MINUTE
        exact.append(actor.logs, "web.page_viewed", at, data, columns)
    order = {"value": 8_000, "category": "food"}
    columns = exact.Columns(("value",), ("category",))
    exact.append(actor.logs, "order.placed", NOW - 10 * 24 * 60 * MINUTE, order, columns)
    actor.trade.orders, actor.trade.total_minor = 1, 8_000
    actor.trade.last_at = NOW - 10 * 24 * 60 * MINUTE
    return actor


CART = {"value": 15_000, "category": "food", "items": 2, "tags": ["new", "gift"], "due_at": NOW}


def holds(text: str, cart: dict[str, Any] | None = None, actor: Actor | None = None) -> bool | None:
    """Return what a condition on a cart says: None for unknown."""
    given = {"cart": CART if cart is None else cart}, actor or an_actor(), NOW
    condition = compile_condition(text, SCOPE, trigger="cart")
    assert condition.holds(*given) in (True, False)
    return None if condition.unknown(*given) else condition.holds(*given)


def value(text: str) -> Any:
    """Return a value on the same cart."""
    return compile_value(text, SCOPE, trigger="cart").get({"cart": CART}, an_actor(), NOW)


def problems(text: str) -> list[Problem]:
    """Return the mistakes of a condition, [] for none."""
    try:
        compile_condition(text, SCOPE, trigger="cart")
    except ExpressionErrors as errors:
        return list(errors.problems)
    return []
