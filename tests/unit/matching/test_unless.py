"""What calls a rule off, by example: under way, waiting, held by the night; and silences."""

import pytest

from tests.turns import NOON, Customer, event_id, rules_of

CART, CHECKOUT, ORDER, REMOVED = (
    "cart.updated",
    "checkout.started",
    "order.placed",
    "cart.product_removed",
)
DAY_S = 86_400


def rule(when: str, **more: str) -> str:
    """Return a rule that has an `unless`; `more` are further keys."""
    keys = "".join(f"{name}: {value}\n" for name, value in more.items())
    head = f"rule: r\nfresh: 30d\n{keys}"
    return f"{head}when: [{when}, {{unless: {REMOVED}}}]\ndo: [{{case: hit}}]\n"


WAIT = f"{{event: {CART}}}, {{not: {ORDER}, within: 30s}}"
PAIR = f"{{event: {CART}}}, {{event: {CHECKOUT}, within: 1h}}"
THREE = f"{{event: {CART}, times: 3, within: 1h}}"

# (what happens, at which second; arrives in this order), what fires
CASES = [
    (WAIT, [(CART, 0)], [30]),
    (WAIT, [(CART, 0), (REMOVED, 10)], []),
    (WAIT, [(CART, 0), (REMOVED, 30)], []),  # as late as what must not happen
    (WAIT, [(CART, 0), (REMOVED, 31)], [30]),
    (WAIT, [(REMOVED, 10), (CART, 0)], []),  # it arrived first, it happened later
    (WAIT, [(REMOVED, 0), (CART, 5)], [35]),  # before the first step: nothing to call off
    (WAIT, [(CART, 0), (REMOVED, 10), (CART, 20)], [50]),  # it begins anew
    (PAIR, [(CART, 0), (CHECKOUT, 20)], [20]),
    (PAIR, [(CART, 0), (REMOVED, 10), (CHECKOUT, 20)], []),
    (PAIR, [(CART, 0), (REMOVED, 10), (CHECKOUT, 5)], [5]),  # it was complete by then
    (PAIR, [(REMOVED, 10), (CART, 0), (CHECKOUT, 20)], []),
    (PAIR, [(CART, 0), (REMOVED, 10), (CART, 15), (CHECKOUT, 20)], [20]),
    (PAIR, [(CART, 0), (CHECKOUT, 20), (REMOVED, 10)], [20]),  # a decision is never taken back
    (THREE, [(CART, 0), (CART, 5), (CART, 10)], [10]),
    (THREE, [(CART, 0), (REMOVED, 3), (CART, 5), (CART, 10)], []),
    (THREE, [(CART, 0), (REMOVED, 3), (CART, 5), (CART, 10), (CART, 15)], [15]),
    (THREE, [(CART, 5), (CART, 10), (REMOVED, 3), (CART, 0)], []),
]


@pytest.mark.parametrize("where", ["", ", where: event.product_id == 'p1'"])
@pytest.mark.parametrize(("when", "happens", "fires"), CASES)
def test_what_calls_it_off(
    when: str, happens: list[tuple[str, int]], fires: list[int], where: str
) -> None:
    text = rule(when).replace(REMOVED + "}", REMOVED + where + "}")
    customer = Customer(rules_of(text))
    for type, at in happens:
        data = {"product_id": "p1"} if type == REMOVED else {"value": 100}
        customer.send(type, at, data)
    customer.tick(2 * 3600)
    assert [at for at, _ in customer.fired] == fires
    assert not customer.actor.timers


def test_an_event_that_its_condition_does_not_mean_calls_nothing_off() -> None:
    text = rule(WAIT).replace(REMOVED + "}", REMOVED + ", where: event.product_id == cart.coupon}")
    customer = Customer(rules_of(text.replace(CART + "}", CART + ", as: cart}")))
    customer.send(CART, 0, {"coupon": "p1"})
    customer.send(REMOVED, 10, {"product_id": "p2"})
    customer.tick(100)
    assert customer.fired == [(30, "hit")]


def test_an_instance_is_called_off_alone() -> None:
    text = rule(WAIT.replace(ORDER, CHECKOUT), per="cart_id").replace(REMOVED, ORDER)
    customer = Customer(rules_of(text))
    for name in ("a", "b"):
        customer.send(CART, 0, {"cart_id": name, "value": 1})
    customer.send(ORDER, 10, {"cart_id": "a", "value": 1})
    customer.tick(100)
    assert [each.instance for each in customer.triggers] == ["b"]


@pytest.mark.parametrize(
    ("when", "at", "fires"),
    [(WAIT, 3600, []), (WAIT, 32, []), (f"{{event: {CART}}}", 3600, []), (WAIT, None, [7 * 3600])],
)
def test_what_the_night_holds_is_called_off(when: str, at: int | None, fires: list[int]) -> None:
    text = rule(when, quiet_hours='"12:00-19:00"')
    customer = Customer(rules_of(text))
    customer.send(CART, 0, {"value": 100})
    for second in (at or 0, 30, 60):
        if second == at:
            customer.send(REMOVED, second, {"product_id": "p1"})
        customer.tick(second)
    customer.tick(DAY_S)
    assert [second for second, _ in customer.fired] == fires


SILENCE = "rule: r\nfresh: 1d\nwhen: [{schedule: {silence: 30d%s}}]\ndo: [{case: hit}]\n"


def test_a_silence_is_told_once_and_the_next_one_again() -> None:
    customer = Customer(rules_of(SILENCE % ""))
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.tick(20 * DAY_S)
    customer.send(CART, 20 * DAY_S, {"value": 100})
    customer.tick(100 * DAY_S)
    assert customer.fired == [(50 * DAY_S, "hit")]
    customer.send("web.page_viewed", 100 * DAY_S, {"page": "/"})
    customer.send("web.page_viewed", 10 * DAY_S, {"page": "/"}, id=event_id("late"))
    customer.tick(200 * DAY_S)
    assert customer.fired == [(50 * DAY_S, "hit"), (130 * DAY_S, "hit")]


def test_what_we_do_ourselves_is_no_sign_of_life() -> None:
    customer = Customer(rules_of(SILENCE % ""))
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.send("email.delivered", 10 * DAY_S)
    customer.tick(40 * DAY_S)
    assert customer.fired == [(30 * DAY_S, "hit")]


def test_a_silence_of_one_type_begins_with_the_last_of_it() -> None:
    customer = Customer(rules_of(SILENCE % ", of: order.placed, at: '14:00'"))
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.tick(60 * DAY_S)
    assert customer.fired == [], "who never ordered is not silent in this way"
    customer.send(ORDER, 60 * DAY_S, {"value": 100})
    customer.tick(70 * DAY_S)
    customer.send("web.page_viewed", 70 * DAY_S, {"page": "/"})
    customer.tick(120 * DAY_S)
    assert customer.fired == [(90 * DAY_S + 2 * 3600, "hit")]


def test_a_new_version_of_a_silence_takes_over() -> None:
    customer = Customer(rules_of(SILENCE % ""))
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.rules = rules_of((SILENCE % "").replace("30d", "40d"))
    customer.tick(60 * DAY_S)
    assert customer.fired == [(40 * DAY_S, "hit")]


def test_the_anniversary_of_the_first_purchase_comes_every_year() -> None:
    text = """rule: r
fresh: 1h
when: [{schedule: {date: profile.trade.first_at, at: "10:00"}}]
do: [{case: hit}]
"""
    customer = Customer(rules_of(text))
    customer.actor.trade.first_at = NOON - 100 * DAY_S * 1000
    customer.send("web.page_viewed", 0, {"page": "/"})
    customer.tick(800 * DAY_S)
    anniversary = (365 - 100) * DAY_S - 2 * 3600
    assert customer.fired == [(anniversary, "hit"), (anniversary + 365 * DAY_S, "hit")]
