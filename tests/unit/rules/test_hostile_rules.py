"""Rules that mean harm, or slip: refused or bounded, and in no more time than honest ones take."""

from contextlib import suppress
from time import process_time

import pytest

from engine.errors import RulesError
from engine.rules.compile import RuleSet, compile_rules
from tests.turns import Customer, contracts

HEAD = "rule: r\nowner: a\nstatus: live\nwhen:\n  - event: cart.updated\n"
TAIL = "do: [{case: look}]\nlimits: [1 per 1d]\n"
TIMES = 60  # what a hostile file may cost, in honest ones of the largest size


def condition(text: str) -> str:
    """Return a rule with a condition on a line of its own."""
    return f"{HEAD}if: |\n  {text}\n{TAIL}"


def compiled(text: str) -> RuleSet:
    return compile_rules({"r.yaml": text}, contracts(), version="v")


REFUSED = {
    "import": condition("__import__('os').system('true')"),
    "dunder of a field": condition("event.__class__.__mro__ == 1"),
    "dunder of a text": condition("'a'.__class__ == 'b'"),
    "subscript": condition("event['value'] > 1"),
    "lambda": condition("lambda: 1"),
    "walrus": condition("(x := 1) == 1"),
    "comprehension": condition("[x for x in [1]] == [1]"),
    "code in a string of Python": condition("eval('1') == 1"),
    "backquote": condition("`id` == 'root'"),
    "regular expression": condition("event.cart_id.matches('(a+)+$')"),
    "deep brackets": condition("(" * 500 + "true" + ")" * 500),
    "deep negation": condition("!" * 1_000 + "true"),
    "deep lists": condition("[" * 500 + "1" + "]" * 500 + " == [1]"),
    "deep ternaries": condition("true ? " * 200 + "true" + " : true" * 200),
    "long text": condition('event.cart_id == "' + "a" * 50_000 + '"'),
    "huge list": condition("event.cart_id in [" + ", ".join(["'a'"] * 5_000) + "]"),
    "huge number": condition("event.value > 1" + "0" * 400),
    "number of a million digits": condition("event.value > " + "9" * 60_000),
    "too many aggregates": condition(" + ".join(["count('order.placed', 1d)"] * 60) + " > 1"),
    "deep yaml": "when: " + "[" * 10_000,
    "deep yaml maps": "a: {" * 5_000,
    "billion laughs": "a: &a [x, x]\nb: &b [*a, *a]\nrule: *b\n",
    "yaml tag": "rule: !!python/object/apply:os.system ['true']\n",
    "too large": HEAD + "# " + "x" * 70_000,
    "too many values": HEAD + "tests: [" + "a, " * 6_000 + "]",
    "many steps": HEAD + "  - {event: cart.updated, within: 1d}\n" * 200 + TAIL,
    "a wait of a million years": HEAD + "  - {not: order.placed, within: 365000000d}\n" + TAIL,
    "a count of a million": HEAD + "    times: 1000000\n    within: 1d\n" + TAIL,
    "null byte": "rule: a\x00b\n" + TAIL,
    "bidirectional marks": condition("event.value > 1 \u202e&& true"),
    "a template that computes for ever": HEAD + "do: [{case: a, fields: {x: '{{ 9 ** 9 }}'}}]",
}


def cost(text: str) -> float:
    """Return the CPU seconds of compiling a file, whatever becomes of it."""
    began = process_time()
    with suppress(RulesError):
        compiled(text)
    return process_time() - began


@pytest.fixture(scope="module")
def honest_s() -> float:
    """What an honest rule of some size costs."""
    text = condition(" && ".join(f"event.value > {n}.0" for n in range(100)))
    return min(cost(text) for _ in range(3))


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_place_and_in_time(name: str, honest_s: float) -> None:
    with pytest.raises(RulesError) as caught:
        compiled(REFUSED[name])
    assert all(problem.line >= 1 for problem in caught.value.problems)  # type: ignore[attr-defined]
    assert min(cost(REFUSED[name]) for _ in range(3)) < TIMES * honest_s


def test_the_report_of_a_hostile_file_is_no_flood() -> None:
    with pytest.raises(RulesError) as caught:
        compiled(REFUSED["many steps"])
    assert len(caught.value.problems) < 300
    assert len(caught.value.message) < 100_000


@pytest.mark.parametrize(
    "text",
    [
        "'{x}' == event.cart_id",
        'event.cart_id == "\'; import os #"',
        'event.cart_id == "{{ 1 }}"',
        'event.cart_id == "\\u0027)\\nraise SystemExit"',
    ],
)
def test_text_of_a_rule_never_becomes_code(text: str) -> None:
    customer = Customer(compiled(condition(text)))
    customer.send("cart.updated", 0, {"value": 1, "cart_id": "a"})
    assert customer.fired == []


def test_hostile_names_in_events_and_instances_are_bounded() -> None:
    rules = compiled(f"{HEAD}  - {{not: checkout.started, within: 1h}}\nper: cart_id\n{TAIL}")
    customer = Customer(rules)
    for n in range(300):
        customer.send("cart.updated", n, {"value": 1, "cart_id": f"{n}" + "x" * 5_000})
    assert len(customer.actor.timers) <= 64
    assert len(customer.actor.rules["r"].partial) <= 64
    assert all(len(name) <= 128 for name in customer.actor.rules["r"].partial)
