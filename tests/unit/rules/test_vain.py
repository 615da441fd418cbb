"""Conditions with one answer are told, each at its place; what may be either way is not."""

import pytest

from engine.rules.compile import compile_rules
from engine.rules.text.problems import told
from engine.rules.vain import vain
from tests.turns import contracts

RULE = """rule: good
owner: a@shop.example
when:
  - event: order.placed
    as: order
    where: |
      event.value > 2.0
  - event: cart.updated
    as: cart
    within: 1d
    where: |
      WHERE
if: |
  IF
do:
  - case: look
limits: [1 per 1d]
"""
SHARED = """conditions:
  golden: profile.tier == "gold"
  nobody: profile.tier == "gold" && profile.tier == "silver"
"""


def warned(text: str, **files: str) -> list[str]:
    """Return what is told about files: path, code, and what the caret stands under."""
    texts = {f"{name}.yaml": text for name, text in files.items()} | {"r.yaml": text}
    rules = compile_rules(texts, contracts(), version="v1")
    # It has no tests, which is told too.
    found = [p for p in (*rules.warnings, *vain(rules)) if p.code != "R131"]
    for problem in found:
        assert problem.level == "warning"
        assert "错误" not in told(problem, texts[problem.path], "zh")
    return [
        f"{p.path[0]} {p.code} "
        + texts[p.path].splitlines()[p.line - 1][p.column - 1 : p.column - 1 + p.length]
        for p in found
    ]


def of(where: str = "event.value > 1.0", if_: str = "features.churn_risk > 0.1") -> list[str]:
    return warned(RULE.replace("WHERE", where).replace("IF", if_), shared=SHARED[:45])


ONE_ANSWER = [
    ("1 == 1", "E226 1 == 1"),
    ('"a" in ["a", "b"]', 'E226 "a" in ["a", "b"]'),
    ("2 > 3.5", "E227 2 > 3.5"),
    ("event.value >= 0 || true", "E226 true"),
    ("event.value > 5 || false", "E227 false"),
    ("!(1 == 1) || event.value > 5", "E226 1 == 1"),
    ("event.value > 5 && event.value < 3", "E227 event.value < 3"),
    ("event.value > 5 && cart.value < 3", "E227 cart.value < 3"),  # one event under two names
    ("event.value > 5 && (has(event.coupon) && 3 > event.value)", "E227 3 > event.value"),
    ("event.value > 5 && event.value <= 5", "E227 event.value <= 5"),
    ("!(event.value <= 5 || event.value >= 3)", "E227 event.value >= 3"),
    ('event.cart_id == "a" && event.cart_id == "b"', 'E227 event.cart_id == "b"'),
    ('event.cart_id in ["a"] && !("a" == event.cart_id)', 'E227 "a" == event.cart_id'),
    ('event.coupon == null && event.coupon == "x"', 'E227 event.coupon == "x"'),
    ("event.value != event.value", "E227 event.value != event.value"),
    ('count("cart.updated", 1h) >= 0', 'E226 count("cart.updated", 1h) >= 0'),
    ('0 > count("cart.updated", 1h)', 'E227 0 > count("cart.updated", 1h)'),
    ('distinct("cart.updated", it.cart_id) < 0', 'E227 distinct("cart.updated", it.cart_id) < 0'),
    (
        'count("cart.updated", 1h, it.value > 5 && it.value < 3) > 1',
        "E227 it.value < 3",
    ),
    ("true ? event.value > 1 : event.value > 2", "E226 true"),
    ('conditions.golden && profile.tier == "silver"', 'E227 profile.tier == "silver"'),
]


@pytest.mark.parametrize(("text", "expected"), ONE_ANSWER)
def test_what_has_one_answer_is_told_where_it_stands(text: str, expected: str) -> None:
    assert of(where=text) == [f"r {expected}"]


@pytest.mark.parametrize(
    "text",
    [
        "event.value > 5 && event.value < 6",
        "event.value >= 5 && event.value <= 5",
        "event.value > 5 || event.value < 3",
        "event.value > 5 && event.items < 3",
        "cart.value > 5 && order.value < 3",  # of two events
        "order.value < 1",  # of the other step, whose `where` let it in: rare, so not looked at
        "event.value == event.value",  # asks whether it is there
        "profile.trade.total >= 0",
        'sum("order.placed", it.value, 30d) >= 0',
        'count("cart.updated", 1h, it.coupon == "x") != -1',  # not known without a coupon
        'distinct("cart.updated", it.coupon) >= 0',
        'count("cart.updated", 1h) > 3 && count("cart.updated", 2h) < 9',
        'event.cart_id != "a" && event.cart_id != "b"',
        'event.cart_id in ["a", "b"] && event.cart_id in ["b", "c"]',
        'event.coupon == null || event.coupon == "x"',
        "!has(event.coupon) && event.value > 1",
        "has(event.coupon) && event.coupon != null",
        "conditions.golden && conditions.golden",
    ],
)
def test_what_may_be_either_way_is_not_told(text: str) -> None:
    assert of(where=text) == []


@pytest.mark.parametrize(
    ("where", "if_", "expected"),
    [
        ("event.value > 100", "event.value < 50", ["r E227 event.value < 50"]),
        (
            "cart.value > 100",
            "profile.city == null && 50 > event.value",
            ["r E227 50 > event.value"],
        ),
        ("event.value > 100", "order.value < 2", ["r E227 order.value < 2"]),
        ("event.value > 100", "event.value < 150", []),
        ('profile.tier == "gold"', 'profile.tier == "silver"', []),  # by then it may have changed
    ],
)
def test_what_a_where_shuts_out_cannot_be_so_when_the_rule_is_about_to_act(
    where: str, if_: str, expected: list[str]
) -> None:
    assert of(where, if_) == expected


def test_a_shared_condition_is_told_where_it_stands_and_once() -> None:
    rule = RULE.replace("WHERE", "conditions.nobody").replace("IF", "conditions.nobody")
    assert warned(rule, shared=SHARED) == ['s E227 profile.tier == "silver"']


def test_a_grade_that_nobody_reaches_is_told() -> None:
    grades = "{high: profile.trade.orders > 9 && profile.trade.orders < 3, low: otherwise}"
    table = f"table:\n  worth: {grades}\ndo:\n  high: [{{case: look}}]\n  low: []\n"
    rule = RULE.replace("WHERE", "event.value > 1").replace("IF", "event.items > 1")
    rule = rule.replace("do:\n  - case: look\n", table)
    assert warned(rule) == ["r E227 profile.trade.orders < 3"]


def test_it_is_said_what_excludes_what_in_both_languages() -> None:
    text = RULE.replace("WHERE", 'profile.tier == "gold"   && profile.tier == "silver"')
    rules = compile_rules({"r": text.replace("IF", "event.value > 1")}, contracts(), version="v")
    (found,) = vain(rules)
    assert told(found, text).splitlines() == [
        "r:12:35: warning E227: 'profile.tier == \"gold\"' and 'profile.tier == \"silver\"' "
        "are never true together",
        '    12 |       profile.tier == "gold"   && profile.tier == "silver"',
        "       |                                   ^^^^^^^^^^^^^^^^^^^^^^^^",
        "       = write || where one of them is enough",
    ]
    assert '“profile.tier == "gold"”与“profile.tier == "silver"”不可能同时成立' in told(
        found, text, "zh"
    )


# more of the file, code, what the caret stands under
NOBODY = [
    ("kind: marketing\nholdout: 100%\n", "R150", "100%"),
    ("kind: marketing\nholdout: 1.0\n", "R150", "1.0"),
    ("scope: {city: [杭州], share: 0%}\n", "R150", "0%"),
]


@pytest.mark.parametrize(("more", "code", "under"), NOBODY)
def test_a_rule_that_nobody_ever_gets_is_told(more: str, code: str, under: str) -> None:
    text = RULE.replace("WHERE", "event.value > 1").replace("IF", "event.items > 1")
    assert warned(text + more) == [f"r {code} {under}"]


@pytest.mark.parametrize("more", ["kind: marketing\nholdout: 99%\n", "scope: {share: 1%}\n"])
def test_a_rule_that_few_get_is_not_told(more: str) -> None:
    text = RULE.replace("WHERE", "event.value > 1").replace("IF", "event.items > 1")
    assert warned(text + more) == []


def test_a_length_of_time_in_which_one_event_comes_is_told() -> None:
    text = RULE.replace("WHERE", "event.value > 1").replace("IF", "event.items > 1")
    first = text.replace("    as: order\n", "    as: order\n    within: 10m\n")
    assert warned(first) == ["r R151 within"]
    assert warned(first.replace("within: 10m", "within: 10m\n    times: 2")) == []
