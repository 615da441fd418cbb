"""Random expressions, each as our text, as CEL's, and as what it means by a naive interpreter."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.properties.worlds import FIELDS, NOW, WORDS, World

TESTS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
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
