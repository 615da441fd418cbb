"""Compiled expressions agree with a naive three-valued interpreter and with Google's CEL."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from engine.profile import schema, windows
from engine.profile.model import Actor, Trait
from engine.rules.expression.compile import compile_condition, compile_value
from engine.rules.expression.types import (
    BOOL,
    DOUBLE,
    INT,
    LIST,
    MONEY,
    STRING,
    FieldType,
    Scope,
)

FIELDS = {
    "i": INT,
    "j": INT,
    "d": DOUBLE,
    "s": STRING,
    "u": FieldType("string", optional=True),
    "b": BOOL,
    "l": LIST,
    "m": MONEY,
}
LOGGED = {"n": INT, "m": MONEY, "w": STRING, "f": BOOL}
SCOPE = Scope(
    events={"x": FIELDS},
    profile={**schema.schema(), "tier": STRING},
    features=schema.FEATURES,
    sets={},
    aggregates={"seen": LOGGED}.get,
)
WORDS = ["", "a", "ab", "茶", 'q"\\']
TESTS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NOW = 1_000


@dataclass
class World:
    """What an expression is evaluated on: absent keys are missing."""

    event: dict[str, Any]
    tier: str | None
    risk: float | None
    orders: int
    rows: list[dict[str, Any]]
    it: dict[str, Any] | None = None


Naive = Callable[[World], Any]  # None is unknown


@dataclass
class Made:
    """An expression as text (our dialect), as CEL, and as what it means."""

    text: str
    means: Naive
    cel: str = ""


class Maker:
    """Makes random expressions; with `for_cel` only what CEL has too, and means the same there."""

    def __init__(self, random: Random, *, for_cel: bool) -> None:
        self.random = random
        self.for_cel = for_cel
        self.inside = False

    def condition(self, depth: int) -> Made:
        kinds = ["compare", "compare", "compare", "field", "member", "text", "has"]
        if depth > 0:
            kinds += ["not", "and", "or", "and", "or", "ternary", "same"]
        if not self.for_cel and not self.inside:
            kinds += ["aggregate", "aggregate", "null", "profile"]
        if self.inside:
            kinds = [*kinds, "it", "it", "it"]
        made: Made = getattr(self, "make_" + self.random.choice(kinds))(depth - 1)
        return made

    def make_not(self, depth: int) -> Made:
        part = self.condition(depth)

        def means(world: World) -> Any:
            found = part.means(world)
            return None if found is None else not found

        return Made(f"!({part.text})", means, f"!({part.cel})")

    def make_and(self, depth: int) -> Made:
        return self.logic(depth, "&&", False)

    def make_or(self, depth: int) -> Made:
        return self.logic(depth, "||", True)

    def logic(self, depth: int, sign: str, decides: bool) -> Made:
        parts = [self.condition(depth) for _ in range(self.random.randint(2, 3))]

        def means(world: World) -> Any:
            found = [part.means(world) for part in parts]
            if decides in found:
                return decides
            return None if None in found else not decides

        texts = f" {sign} ".join(f"({part.text})" for part in parts)
        return Made(texts, means, f" {sign} ".join(f"({part.cel})" for part in parts))

    def make_ternary(self, depth: int) -> Made:
        return self.ternary(*(self.condition(depth) for _ in range(3)))

    def ternary(self, condition: Made, yes: Made, no: Made) -> Made:
        def means(world: World) -> Any:
            found = condition.means(world)
            return None if found is None else (yes if found else no).means(world)

        return Made(
            f"(({condition.text}) ? ({yes.text}) : ({no.text}))",
            means,
            f"(({condition.cel}) ? ({yes.cel}) : ({no.cel}))",
        )

    def make_same(self, depth: int) -> Made:
        return self.compared(
            self.random.choice(["==", "!="]), self.condition(depth), self.condition(depth)
        )

    def make_compare(self, depth: int) -> Made:
        kinds = ["i", "d", "s"] if self.for_cel else ["i", "d", "s", "m"]
        kind = self.random.choice(kinds)
        sign = self.random.choice(list(TESTS))
        return self.compared(sign, self.value(kind, depth), self.value(kind, depth))

    def compared(self, sign: str, left: Made, right: Made) -> Made:
        def means(world: World) -> Any:
            one, two = left.means(world), right.means(world)
            return None if one is None or two is None else TESTS[sign](one, two)

        return Made(
            f"({left.text}) {sign} ({right.text})", means, f"({left.cel}) {sign} ({right.cel})"
        )

    def make_field(self, depth: int) -> Made:
        return self.field("b")

    def make_has(self, depth: int) -> Made:
        name = self.random.choice(list(FIELDS))
        text = f"has(event.{name})"
        return Made(text, lambda world: name in world.event, text)

    def make_null(self, depth: int) -> Made:
        value = self.value("i", depth)
        sign = self.random.choice(["==", "!="])
        return Made(
            f"({value.text}) {sign} null",
            lambda world: (value.means(world) is None) == (sign == "=="),
        )

    def make_member(self, depth: int) -> Made:
        if self.random.random() < 0.3:
            item, items = self.value("s", depth), self.field("l")
        else:
            kind = self.random.choice("is")
            item = self.value(kind, depth)
            make = self.constant if self.random.random() < 0.5 else self.leaf
            parts = [make(kind) for _ in range(self.random.randint(1, 7))]

            def listed(world: World) -> Any:
                found = [part.means(world) for part in parts]
                return None if None in found else found

            items = Made(
                "[" + ", ".join(part.text for part in parts) + "]",
                listed,
                "[" + ", ".join(part.cel for part in parts) + "]",
            )

        def means(world: World) -> Any:
            one, two = item.means(world), items.means(world)
            return None if one is None or two is None else one in two

        return Made(f"({item.text}) in {items.text}", means, f"({item.cel}) in {items.cel}")

    def make_text(self, depth: int) -> Made:
        target, part = self.value("s", depth), self.value("s", depth)
        method = self.random.choice(["startsWith", "endsWith", "contains"])

        def means(world: World) -> Any:
            one, two = target.means(world), part.means(world)
            if one is None or two is None:
                return None
            if method == "contains":
                return two in one
            return one.startswith(two) if method == "startsWith" else one.endswith(two)

        return Made(
            f"({target.text}).{method}({part.text})", means, f"({target.cel}).{method}({part.cel})"
        )

    def make_profile(self, depth: int) -> Made:
        sign = self.random.choice(list(TESTS))
        one, two = self.random.choice(
            [
                (Made("profile.tier", lambda world: world.tier), self.constant("s")),
                (Made("features.churn_risk", lambda world: world.risk), self.constant("d")),
                (Made("profile.trade.orders", lambda world: world.orders), self.value("i", 1)),
            ]
        )
        return self.compared(sign, one, two)

    def value(self, kind: str, depth: int) -> Made:
        if depth <= 0 or self.random.random() < 0.5:
            return self.leaf(kind)
        if self.random.random() < 0.15:
            return self.ternary(
                self.condition(depth - 1), self.value(kind, depth - 1), self.value(kind, depth - 1)
            )
        if kind == "i" and self.random.random() < 0.2:
            inner = self.value("s", depth - 1)
            return Made(
                f"size({inner.text})",
                lambda world: None if (found := inner.means(world)) is None else len(found),
                f"size({inner.cel})",
            )
        if kind == "s":
            return self.calculated("+", operator.add, self.leaf("s"), self.leaf("s"))
        left = self.value(kind, depth - 1)
        if kind == "i":
            sign, function = self.random.choice(INTEGER)
            return self.calculated(sign, function, left, self.value("i", depth - 1))
        sign, function = self.random.choice([("+", operator.add), ("-", operator.sub)])
        return self.calculated(sign, function, left, self.value(kind, depth - 1))

    def calculated(self, sign: str, function: Any, left: Made, right: Made) -> Made:
        def means(world: World) -> Any:
            one, two = left.means(world), right.means(world)
            return None if one is None or two is None else function(one, two)

        return Made(
            f"({left.text}) {sign} ({right.text})", means, f"({left.cel}) {sign} ({right.cel})"
        )

    def leaf(self, kind: str) -> Made:
        roll = self.random.random()
        if roll < 0.35:
            return self.constant(kind)
        if self.inside and kind in "ism" and roll < 0.7:
            return self.row_field({"i": "n", "s": "w", "m": "m"}[kind])
        return self.field(self.random.choice({"i": "ij", "s": "su"}.get(kind, kind)))

    def field(self, name: str) -> Made:
        alias = self.random.choice(["event", "x"])
        return Made(f"{alias}.{name}", lambda world: world.event.get(name), f"event.{name}")

    def constant(self, kind: str) -> Made:
        value: Any
        if kind == "s":
            value = self.random.choice(WORDS)
            text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
            return Made(text, lambda world: value, text)
        if kind == "m":
            value = self.random.randint(-300, 300)
            return Made(f"{value / 100:.2f}", lambda world: value)
        value = self.random.randint(-3, 3) if kind == "i" else self.random.choice([-1.5, 0.0, 2.0])
        return Made(str(value), lambda world: value, str(value))

    def row_field(self, name: str) -> Made:
        def means(world: World) -> Any:
            assert world.it is not None
            return world.it.get(name)

        return Made(f"it.{name}", means)

    def make_it(self, depth: int) -> Made:
        name = self.random.choice(["w", "w", "n", "f", "has"])
        if name == "f":
            return self.row_field("f")
        if name == "has":
            return Made("has(it.w)", lambda world: (world.it or {}).get("w") is not None)
        sign = self.random.choice(["==", "!="] if name == "w" else list(TESTS))
        other = self.value("s" if name == "w" else "i", 0)
        return self.compared(sign, self.row_field(name), other)

    def make_aggregate(self, depth: int) -> Made:
        window = self.random.choice([None, 200, 700])
        self.inside = True
        where = self.condition(self.random.randint(0, 1)) if self.random.random() < 0.7 else None
        self.inside = False
        name = self.random.choice(list(NAIVE))
        arguments = ['"seen"']
        if name in ("sum", "avg", "min", "max"):
            arguments.append("it.n")
        elif name in ("first", "last", "distinct"):
            arguments.append("it.w")
        if window is not None:
            arguments.append(f"{window}ms")
        if where is not None:
            arguments.append(where.text)
        call = f"{name}({', '.join(arguments)})"

        def rows(world: World) -> list[tuple[Any, dict[str, Any]]]:
            found = []
            for row in world.rows:
                if row["at"] <= NOW and (window is None or row["at"] > NOW - window):
                    inner = World(**{**world.__dict__, "it": row})
                    found.append((True if where is None else where.means(inner), row))
            return [(kept, row) for kept, row in found if kept is not False]

        sign = self.random.choice(list(TESTS))
        if name == "count":
            return counted(call, rows, sign, self.random.randint(0, 4))
        other = self.constant("s" if name in ("first", "last") else "i")
        if name == "age":
            other = Made("300ms", lambda world: 300)
        return self.compared(sign, Made(call, lambda world: NAIVE[name](rows(world))), other)


def counted(call: str, rows: Any, sign: str, bound: int) -> Made:
    """A count is certain at least and possible at most: a comparison may hold with either."""

    def means(world: World) -> Any:
        found = [kept for kept, _ in rows(world)]
        low, high = found.count(True), len(found)
        if sign in ("==", "!="):
            return None if low != high else TESTS[sign](low, bound)
        answers = {TESTS[sign](n, bound) for n in (low, high)}
        return answers.pop() if len(answers) == 1 else None

    return Made(f"{call} {sign} {bound}", means)


def over(column: str, function: Callable[[list[Any]], Any], empty: Any) -> Any:
    def naive(rows: list[tuple[Any, dict[str, Any]]]) -> Any:
        values = [row.get(column) if kept else None for kept, row in rows]
        if not values:
            return empty
        return None if None in values else function(values)

    return naive


def edge(column: str, place: int) -> Any:
    def naive(rows: list[tuple[Any, dict[str, Any]]]) -> Any:
        if not rows:
            return None
        kept, row = rows[place]
        return row.get(column) if kept else None

    return naive


NAIVE: dict[str, Any] = {
    "count": None,
    "sum": over("n", sum, 0),
    "avg": over("n", lambda values: sum(values) / len(values), None),
    "min": over("n", min, None),
    "max": over("n", max, None),
    "distinct": over("w", lambda values: len(set(values)), 0),
    "first": edge("w", 0),
    "last": edge("w", -1),
    "age": lambda rows: NOW - rows[-1][1]["at"] if rows and rows[-1][0] else None,
}


def cut(left: int, right: int) -> int | None:
    if right == 0:
        return None
    sign = 1 if (left < 0) == (right < 0) else -1
    return sign * (abs(left) // abs(right))


def rest(left: int, right: int) -> int | None:
    found = cut(left, right)
    return None if found is None else left - right * found


INTEGER = [("+", operator.add), ("-", operator.sub), ("*", operator.mul), ("/", cut), ("%", rest)]


def a_world(random: Random) -> World:
    def some(name: str, value: Any) -> dict[str, Any]:
        return {name: value} if random.random() < 0.7 else {}

    event = {
        **some("i", random.randint(-3, 3)),
        **some("j", random.randint(-3, 3)),
        **some("d", random.choice([-1.5, 0.0, 2.0])),
        **some("s", random.choice(WORDS)),
        **some("u", random.choice(WORDS)),
        **some("b", random.random() < 0.5),
        **some("l", random.sample(WORDS, random.randint(0, 3))),
        **some("m", random.randint(-300, 300)),
    }
    rows = [
        {
            "at": at,
            **some("n", random.randint(-3, 3)),
            **some("m", random.randint(-300, 300)),
            **some("w", random.choice(WORDS)),
            **some("f", random.random() < 0.5),
        }
        for at in sorted(random.sample(range(NOW + 200), random.randint(0, 5)))
    ]
    return World(
        event,
        random.choice([None, *WORDS]),
        random.choice([None, -1.5, 0.0, 2.0]),
        random.randint(0, 3),
        rows,
    )


def an_actor(world: World) -> Actor:
    actor = Actor()
    if world.tier is not None:
        actor.traits["tier"] = Trait(world.tier, "crm", 0)
    if world.risk is not None:
        actor.scores["churn_risk"] = world.risk
    actor.trade.orders = world.orders
    columns = windows.Columns(("f", "m", "n"), ("w",))
    for row in world.rows:
        windows.append(actor.logs, "seen", row["at"], row, columns)
    return actor


@pytest.mark.parametrize("seed", range(40))
def test_a_condition_holds_exactly_where_the_naive_interpreter_says_true(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    for _ in range(50):
        made = maker.condition(random.randint(0, 3))
        condition = compile_condition(made.text, SCOPE, trigger="x")
        value = compile_value(made.text, SCOPE, trigger="x")
        for _ in range(8):
            world = a_world(random)
            given = {"x": world.event}, an_actor(world), NOW
            expected = made.means(world)
            told = (seed, made.text, world)
            assert condition.holds(*given) is (expected is True), told
            assert condition.unknown(*given) is (expected is None), told
            assert value.get(*given) is expected, told


WORLDS = 21  # 20 seeds x 50 conditions x 21: 21,000 evaluations


@pytest.mark.parametrize("seed", range(20))
def test_a_condition_agrees_with_googles_cel_also_where_fields_are_missing(seed: int) -> None:
    cel = pytest.importorskip("cel_expr_python.cel")
    env = cel.NewEnv(variables={"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    random = Random(seed)
    maker = Maker(random, for_cel=True)
    for _ in range(50):
        made = maker.condition(random.randint(0, 3))
        condition = compile_condition(made.text, SCOPE, trigger="x")
        program = env.compile(made.cel)
        for _ in range(WORLDS):
            world = a_world(random)
            given = {"x": world.event}, an_actor(world), NOW
            answer = program.eval(data={"event": world.event})
            unknown = answer.type() == cel.Type.ERROR
            told = (seed, made.text, world.event, answer.value())
            assert condition.unknown(*given) is unknown, told
            assert condition.holds(*given) is (not unknown and answer.value() is True), told


ODD = {  # what a field of this type must not hold; bool is left out, it is an int to Python
    "i": ["7", [], ["a"], {"a": 1}, float("nan")],
    "d": ["", ["a"], float("nan")],
    "s": [7, 7.5, True, ["a"], ["", "ab"], {"a": 1}],
    "b": ["true", "", [], 7],
    "l": ["a", "", 7, {"a": 1}, ("a",)],
    "m": ["7", ["a"], float("nan")],
}


@pytest.mark.parametrize("seed", range(20))
def test_a_value_of_a_wrong_type_counts_as_missing_and_nothing_raises(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    for _ in range(60):
        made = maker.condition(2)
        if "has(" in made.text or "null" in made.text:
            continue  # they ask whether something is there, whatever it is
        condition = compile_condition(made.text, SCOPE, trigger="x")
        for _ in range(4):
            world = a_world(random)
            name = random.choice(list(ODD))
            value = random.choice(ODD[name])
            world.tier = None
            actor = an_actor(world)
            actor.traits["tier"] = Trait(random.choice([7, ["a"], {"a": 1}, True]), "crm", 0)
            given = {"x": {**world.event, name: value}}, actor, NOW
            world.event.pop(name, None)
            expected = made.means(world)
            told = (seed, made.text, name, value, world)
            assert condition.holds(*given) is (expected is True), told
            assert condition.unknown(*given) is (expected is None), told
            condition.inputs(*given)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_raises_whatever_the_values_are(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    odd = [None, "7", 7, 7.5, True, [], ["a"], {"a": 1}, float("nan"), float("inf"), 10**400]
    for _ in range(60):
        condition = compile_condition(maker.condition(2).text, SCOPE, trigger="x")
        for _ in range(4):
            world = a_world(random)
            actor = an_actor(world)
            actor.traits["tier"] = Trait(random.choice(odd), "crm", 0)
            actor.scores["churn_risk"] = random.choice(odd)
            given = {"x": {name: random.choice(odd) for name in FIELDS}}, actor, NOW
            assert condition.holds(*given) in (True, False)
            assert condition.unknown(*given) in (True, False)
            condition.inputs(*given)
