"""Contracts: how files are read, and what happens to data that is held against them."""

from typing import Any

import pytest

from engine.errors import ContractError
from engine.events.contract import Contracts, load_yaml, parse_contracts

SETS = """
tiers: [bronze, gold]
categories: {open: true, members: [food, toys]}
"""
ORDER = """
event: order.placed
title: {en: Order placed, zh: 下单}
segment: [Order Completed]
key: person, store(store_id)
fields:
  value: {type: money, from: [total, revenue]}
  order_id: optional string
  items: {type: optional int, min: 0, max: 99}
  share: {type: optional double, min: 0, max: 1}
  gift: optional bool
  due_at: optional time
  tags: optional list
  tier: optional string in tiers
  category: optional string in categories
  store_id: optional string
examples: {good: [{value: 1}], bad: [{event: {}, code: contract/missing}]}
"""


def contracts(**texts: str) -> Contracts:
    """Read the order's contract and others beside it."""
    return parse_contracts({"sets.yaml": SETS, "events/order.yaml": ORDER, **texts})


def check(data: dict[str, Any], currency: str = "CNY") -> dict[str, Any]:
    """Hold data against the order's contract."""
    known = contracts()
    return known.check(known.by_name["order.placed"], data, currency=currency)


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ({}, "contract/missing", "$.value: missing; want number in major units, such as 42.5"),
        (
            {"total": "42,50"},
            "contract/type",
            "$.total: want number in major units, such as 42.5, got string '42,50'",
        ),
        ({"value": True}, "contract/type", None),
        ({"value": [1]}, "contract/type", None),
        ({"value": float("nan")}, "contract/type", None),
        ({"value": 1e13}, "contract/type", None),
        ({"value": 10**5000}, "contract/type", None),  # Python would not even print it
        ({"value": 1, "currency": "yuan"}, "contract/type", None),
        ({"value": 1, "currency": 7}, "contract/type", None),
        ({"value": 1, "items": 1.5}, "contract/type", "$.items: want whole number, got number 1.5"),
        (
            {"value": 1, "items": -1},
            "contract/range",
            "$.items: want at least 0 and at most 99, got -1",
        ),
        ({"value": 1, "items": 100}, "contract/range", None),
        ({"value": 1, "share": 1.01}, "contract/range", None),
        ({"value": 1, "share": "half"}, "contract/type", None),
        ({"value": 1, "gift": 1}, "contract/type", None),
        ({"value": 1, "order_id": 1.5}, "contract/type", None),
        ({"value": 1, "order_id": "x" * 4097}, "contract/type", None),
        ({"value": 1, "due_at": "tomorrow"}, "contract/type", None),
        ({"value": 1, "due_at": "2150-01-01"}, "contract/type", None),
        ({"value": 1, "tags": {"a": 1}}, "contract/type", None),
        ({"value": 1, "tags": [[1]]}, "contract/type", None),
        (
            {"value": 1, "tier": "platinum"},
            "contract/set",
            "$.tier: 'platinum' is not in tiers (bronze, gold)",
        ),
        ({"value": 1, "tier": 3}, "contract/type", None),
        ({"value": 1, "user_id": {"id": 1}}, "contract/type", None),
    ],
)
def test_wrong_data_is_told_where_and_why(
    data: dict[str, Any], code: str, message: str | None
) -> None:
    with pytest.raises(ContractError) as caught:
        check(data)
    assert caught.value.code == code
    if message is not None:
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"value": 42.5}, {"value": 4250, "currency": "CNY"}),
        ({"total": 42.5, "currency": "gbp"}, {"value": 4250, "currency": "GBP"}),
        ({"value": 500, "currency": "JPY"}, {"value": 500, "currency": "JPY"}),
        ({"value": 1.234, "currency": "KWD"}, {"value": 1234, "currency": "KWD"}),
        ({"value": 19.99, "currency": "EUR"}, {"value": 1999, "currency": "EUR"}),  # not 1998
        # The canonical name wins over an alias, wherever it stands; the first alias over the next.
        ({"total": 1, "value": 2}, {"value": 200, "currency": "CNY"}),
        ({"total": 1, "revenue": 2}, {"value": 100, "currency": "CNY"}),
        ({"total": "gone", "value": 2}, {"value": 200, "currency": "CNY"}),
        ({"value": None, "total": 3}, {"value": 300, "currency": "CNY"}),
    ],
)
def test_money_is_minor_units_of_its_currency(data: dict[str, Any], found: dict[str, Any]) -> None:
    assert check(data) == found


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("order_id", 1007, "1007"),
        ("items", 2.0, 2),
        ("share", 1, 1.0),
        ("due_at", "1970-01-01T00:00:01Z", 1000),
        ("due_at", 1000, 1000),
        ("category", "games", "games"),  # an open set takes what it does not know
        ("tags", ["a", 1], ["a", 1]),
        ("colour", "red", "red"),
        ("weight", 1.5, 1.5),
    ],
)
def test_a_value_is_kept_in_its_type(name: str, value: Any, kept: Any) -> None:
    found = check({"value": 1, name: value})[name]
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    "extra",
    [
        {"products": [{"sku": "a"}]},
        {"address": {"city": "上海"}},
        {"huge": 10**400},
        {"nan": float("nan")},
        {"text": "x" * 1025},
        {"k" * 129: 1},
        {"note": "11010519491231002X"},  # an ID number, under any name
        {"nothing": None},
    ],
)
def test_what_no_contract_declares_is_kept_only_as_an_ordinary_scalar(
    extra: dict[str, Any],
) -> None:
    assert check({"value": 1, **extra}) == {"value": 100, "currency": "CNY"}


def test_the_currency_of_the_source_counts_where_none_is_named() -> None:
    assert check({"value": 1}, currency="GBP")["currency"] == "GBP"


def test_an_event_without_money_gets_no_currency() -> None:
    known = contracts(page="event: web.page_viewed\nfields: {page: string}\n")
    assert known.check(known.by_name["web.page_viewed"], {"page": "/"}) == {"page": "/"}


def test_every_contract_knows_the_identifiers_as_personal() -> None:
    fields = contracts().by_name["order.placed"].fields
    assert {"user_id", "phone", "email", "id_number"} <= fields.keys()
    assert all(fields[name].personal for name in ("user_id", "phone", "email", "openid"))


def test_all_mistakes_of_all_files_are_told_with_their_lines() -> None:
    bad = (
        "event: cart.updated\n"
        "stge: shopping\n"
        "stage: shoping\n"
        "key: warehouse(id)\n"
        "fields:\n"
        "  value: mony\n"
        "  tier: {type: string in ranks, formerly: [level]}\n"
        "  who: {type: string, identifier: passport}\n"
        "traits: {levl: tier}\n"
        "examples: {bad: [{}]}\n"
    )
    with pytest.raises(ContractError) as caught:
        contracts(**{"events/a.yaml": bad, "events/b.yaml": "fields: {}\n", "c.yaml": "a: b: c"})
    told = caught.value.message.splitlines()
    assert [line.split(": ")[0] for line in told] == [
        "c.yaml:1:5",
        "events/a.yaml:2",
        "events/a.yaml:3",
        "events/a.yaml:6",
        "events/a.yaml:7",
        "events/a.yaml:8",
        "events/a.yaml:4",
        "events/a.yaml:10",
        "events/b.yaml:1",
    ]
    assert "unknown key `stge`; did you mean `stage`?" in told[1]


def test_a_set_that_is_nowhere_and_a_trait_of_no_field_are_told() -> None:
    with pytest.raises(ContractError) as caught:
        contracts(
            a="event: a.b\nfields: {rank: string in ranks}\ntraits:\n  rnk: tier\n",
        )
    assert "a:4: traits: no field `rnk`" in caught.value.message
    assert (
        "a.b: field `rank`: no set `ranks` in sets.yaml; tiers, categories" in caught.value.message
    )


def test_one_name_cannot_mean_two_events() -> None:
    with pytest.raises(ContractError, match=r"means order\.placed and shop\.sold"):
        contracts(x="event: shop.sold\nsegment: [Order Completed]\nfields: {}\n")


def test_the_key_of_a_thing_cannot_be_optional() -> None:
    with pytest.raises(ContractError, match="`store_id` is the key, so not optional"):
        contracts(x="event: a.b\nkey: store(store_id)\nfields: {store_id: optional string}\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("21:00", "21:00"),
        ("1997-01-01", "1997-01-01"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("true", True),
        ("7", 7),
        ("-0.5", -0.5),
        ("null", None),
    ],
)
def test_yaml_has_no_traps(text: str, value: Any) -> None:
    assert load_yaml(f"x: {text}", "f") == {"x": value}


def test_a_repeated_key_is_a_mistake_with_its_line() -> None:
    with pytest.raises(ContractError, match="key `a` stands here twice") as caught:
        load_yaml("a: 1\nb: 2\na: 3\n", "f.yaml")
    assert caught.value.where == "f.yaml:3:1"
