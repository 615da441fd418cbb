"""From the meaning to Python: code that is True only where the condition is definitely true.

Negations are pushed down to the comparisons: `says(x, False)` is code that is True only where x is
definitely false, so unknown needs no third value at run time. The code has none of the user's text
in it: constants and names of fields are parameters k0, k1, ... of the function that makes it, so
that conditions which differ only in them share their code: it is compiled once, and stays warm.

There are two forms of each function. The fast one takes values as of the type that the contract
says; where Python raises because one is not, the careful one runs, whose reads check every type.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from textwrap import indent
from typing import Any

from engine.clock import DAY_MS
from engine.profile.logs.exact import ROW_BYTES
from engine.rules.expression.meaning import (
    Aggregate,
    All,
    Arithmetic,
    Choice,
    Compare,
    Const,
    Convert,
    Either,
    Given,
    ListOf,
    Meaning,
    Member,
    Not,
    Read,
    Size,
    TextTest,
    walk,
)
from engine.rules.expression.reading import CALLED, Known, Reading, Rows, joined

SET_FROM = 5  # a constant list of so many items is looked up in a set

_INVERSE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_ORDERED = frozenset({"money", "int", "double", "string", "time", "duration"})
_EXACT, _AT_LEAST, _AT_MOST = "exact", "at_least", "at_most"
_BOUNDS = {
    ">": (_AT_LEAST, _AT_MOST),
    ">=": (_AT_LEAST, _AT_MOST),
    "<": (_AT_MOST, _AT_LEAST),
    "<=": (_AT_MOST, _AT_LEAST),
    "==": (_EXACT, _EXACT),
    "!=": (_EXACT, _EXACT),
}
_REACHES = {">=": (0, ""), ">": (1, ""), "<": (0, "not "), "<=": (1, "not ")}


class Writer(Reading):
    """Writes the functions of one expression in one form; `names`: what their globals stand for."""

    def says(self, node: Meaning, truth: bool) -> str:
        """Return code that is True exactly where `node` is definitely `truth`."""
        self.step()
        match node:
            case Const(value=value):
                return str(value is truth)
            case Not(operand=operand):
                return self.says(operand, not truth)
            case All(operands=operands) | Either(operands=operands):
                cheap_first = sorted(operands, key=_cost)
                word = "and" if isinstance(node, All) is truth else "or"
                return joined([self.says(each, truth) for each in cheap_first], word)
            case Choice(condition=condition, yes=yes, no=no):
                then = joined([self.says(condition, True), self.says(yes, truth)])
                other = joined([self.says(condition, False), self.says(no, truth)])
                return f"({then} or {other})"
            case Given(value=value):
                return self.given(value, truth)
            case Compare(operator=operator, left=left, right=right):
                return self.compare(operator if truth else _INVERSE[operator], left, right)
            case Member():
                return self.member(node, truth)
            case TextTest():
                known = self.text_test(node)
                return joined([*known.guards, known.code if truth else f"not {known.code}"])
            case _:
                known = self.value(node)
                # A bool of a column is the float 1.0 or 0.0; `is` would never hold for it.
                return joined([*known.guards, f"{known.code} == {truth}"])

    def value(self, node: Meaning, bound: str = _EXACT) -> Known:
        """Return the value of `node`; of a count, `bound` may ask for less than its exact value."""
        self.step()
        match node:
            case Const(value=value):
                return Known((), self.constant(value))
            case Read():
                return self.read(node)
            case Aggregate():
                return self.aggregate(node, bound)
            case ListOf(items=items):
                known = [self.value(item) for item in items]
                guards = tuple(guard for each in known for guard in each.guards)
                return Known(guards, "[" + ", ".join(each.code for each in known) + "]")
            case Arithmetic():
                return self.arithmetic(node)
            case Size(of=of):
                with self.checking(True):
                    inner = self.value(of)
                return Known(inner.guards, f"len({inner.code})")
            case Convert(type=type, of=of):
                with self.checking(True):
                    inner = self.value(of)
                made = self.checked(f"to_{type.base}({inner.code})")
                return Known((*inner.guards, *made.guards), made.code)
            case Choice(condition=condition, yes=yes, no=no):
                first, second = self.nullable(yes), self.nullable(no)
                then, other = self.says(condition, True), self.says(condition, False)
                return self.checked(f"({first} if {then} else {second} if {other} else None)")
            case _:
                true, false = self.says(node, True), self.says(node, False)
                return self.checked(f"(True if {true} else False if {false} else None)")

    def nullable(self, node: Meaning) -> str:
        """Return code for the value of `node`, None where it is unknown."""
        known = self.value(node)
        return f"({known.code} if {joined(known.guards)} else None)" if known.guards else known.code

    def given(self, node: Meaning, truth: bool) -> str:
        if isinstance(node, Read) and node.source != "it" and self.rows is None:
            code = self.raw(node)
            if node.source == "profile" and node.reader is None:
                code = f"actor.traits.get({self.constant(node.name)})"
            return f"{code} is not None" if truth else f"{code} is None"
        with self.checking(True):
            code = joined(self.value(node).guards)
        return code if truth else f"(not {code})"

    def compare(self, operator: str, left: Meaning, right: Meaning) -> str:
        if self.rows is not None and operator in ("==", "!="):
            for word, other in ((left, right), (right, left)):
                if _is_word(word) and not any(_is_it(part) for part in walk(other)):
                    return self.compare_word(operator, word, other)
        if (reached := self.reached(operator, left, right)) is not None:
            return reached
        bounds = _BOUNDS[operator]
        # Beside a constant Python itself raises for a wrong type; two wrong values it compares.
        with self.checking(not isinstance(left, Const) and not isinstance(right, Const)):
            one, two = self.value(left, bounds[0]), self.value(right, bounds[1])
        if operator == "!=" and left.type.base in _ORDERED:
            # Not `!=`: that holds for NaN, and for values of two types, which are unknown.
            one, two = self.named(one), self.named(two)
            differ = f"({one.code} < {two.code} or {one.code} > {two.code})"
            return joined([*one.guards, *two.guards, differ])
        return joined([*one.guards, *two.guards, f"{one.code} {operator} {two.code}"])

    def reached(self, operator: str, left: Meaning, right: Meaning) -> str | None:
        """Return code that holds a count against a whole number: most logs are plainly too short.

        None for anything else, and where many conditions share the exact count.
        """
        if not isinstance(left, Aggregate) or not isinstance(right, Const):
            return None
        is_plain = left.function == "count" and left.where is None and not left.tallied
        if self.shared is not None or not is_plain or type(right.value) is not int:
            return None
        if operator not in _REACHES:
            return None
        more, word = _REACHES[operator]
        least, (log, *rest), guard = right.value + more, self.window(left), ""
        if least > 0:
            found = self.temporary()
            enough = self.constant(least * ROW_BYTES)
            guard = f"({found} := {log}) is not None and len({found}.times) >= {enough} and "
            log = found
        return f"{word}({guard}window_reaches({', '.join([log, *rest, self.constant(least)])}))"

    def window(self, node: Aggregate) -> list[str]:
        """Return code for what every window function is given."""
        period = f"elapsed_{node.period}(actor, at)"
        length = period if node.period else self.constant(node.window_ms)
        return [f"actor.logs.get({self.constant(node.event)})", "at", length]

    def compare_word(self, operator: str, word: Meaning, other: Meaning) -> str:
        """Return code that compares codes of a column: the word is looked up once, not per row."""
        assert isinstance(word, Read)
        column, known = self.column(word), self.value(other)
        guard = joined([*known.guards, f"{known.code}.__class__ is str"])
        found = f"code_of(log, {self.constant(word.name)}, {known.code})"
        code = self.once("w", f"{found} if {guard} else 0")
        # 0 is the code of a missing value: here it says that the word itself is unknown.
        if operator == "==":
            return f"({code} and {column}[row] == {code})"
        return f"({code} and {column}[row] and {column}[row] != {code})"

    def member(self, node: Member, truth: bool) -> str:
        container = node.container
        items = container.items if isinstance(container, ListOf) else (container,)
        constants = all(isinstance(each, Const) for each in items)
        # `in` raises for no type, and `not in` would hold for every value of a wrong one.
        with self.checking(not constants or not truth):
            item = self.value(node.item)
            if constants:
                words = tuple(each.value for each in items if isinstance(each, Const))
                code = self.constant(words if len(words) < SET_FROM else frozenset(words))
                known = Known((), code)
            else:
                known = self.value(container)
        sign = "in" if truth else "not in"
        return joined([*item.guards, *known.guards, f"{item.code} {sign} {known.code}"])

    def text_test(self, node: TextTest) -> Known:
        target, argument = self.value(node.target), self.value(node.argument)
        guards = (*target.guards, *argument.guards)
        if node.method == "contains":
            # Not `in`: a list has that too, and would answer for a text.
            return Known(guards, f"({target.code}.find({argument.code}) >= 0)")
        method = node.method.lower()
        return Known(guards, f"{target.code}.{method}({argument.code})")

    def arithmetic(self, node: Arithmetic) -> Known:
        left, right = self.value(node.left), self.value(node.right)
        guards = (*left.guards, *right.guards)
        if node.operator in "/%":
            whole = node.type.base == "int"
            name = "remainder" if node.operator == "%" else "quotient" if whole else "ratio"
        elif self.checks or node.type.base == "int":  # which may leave int64
            name = {"+": "added", "-": "subtracted", "*": "multiplied"}[node.operator]
        else:
            return Known(guards, f"({left.code} {node.operator} {right.code})")
        result = self.checked(f"{name}({left.code}, {right.code})")
        return Known((*guards, *result.guards), result.code)

    def aggregate(self, node: Aggregate, bound: str) -> Known:
        assert self.rows is None, "check.py refuses an aggregate inside of another"
        if node.tallied:
            return self.tally(node)
        arguments = self.window(node)
        if node.function == "count" and bound == _AT_LEAST and (pair := _one_word(node.where)):
            other = (
                self.nullable(pair[1]) if isinstance(pair[1], Read) else self.value(pair[1]).code
            )
            call = (
                f"window_count_word({', '.join(arguments)}, {self.constant(pair[0].name)}, {other})"
            )
            return Known((), call)
        if node.over_ms:
            arguments.append(self.constant(node.over_ms))
        if node.column is not None:
            arguments.append(self.constant(node.column.name))
        elif node.over_ms:
            arguments.append("None")
        if node.percent:
            arguments.append(repr(node.percent))
        if node.where is not None:
            exact = node.function != "count" or bound == _EXACT
            arguments.append(self.kept(node.where, _EXACT if exact else bound))
        call = f"window_{node.function}({', '.join(arguments)})"
        if self.shared is not None and node.where is None:
            name = self.shared.setdefault(call, f"s{len(self.shared)}")
            call = f"({name} if {name} is not unset else ({name} := {call}))"
        if node.function == "count" and (node.where is None or bound != _EXACT):
            return Known((), call)
        return self.checked(call)

    def tally(self, node: Aggregate) -> Known:
        days = f"days_{node.period}(actor, at)" if node.period else repr(_days(node))
        arguments = ["actor", self.constant(node.event), "at", days]
        if node.column is not None:
            arguments.append(self.constant(node.column.name))
        if node.percent:
            arguments.append(repr(node.percent))
        call = f"tally_{node.function}({', '.join(arguments)})"
        is_sure = node.function != "avg" and not node.percent
        return Known((), call) if is_sure else self.checked(call)

    def kept(self, where: Meaning, bound: str) -> str:
        """Write the function that picks an aggregate's rows; return the call that makes it."""
        outer, self.rows = self.rows, Rows()
        if bound == _AT_MOST:
            loop = [f"if not ({self.says(where, False)}):", "    yield row"]
        else:
            loop = [f"if {self.says(where, True)}:", "    yield row"]
            if bound == _EXACT:
                loop += [f"elif not ({self.says(where, False)}):", "    yield -1"]
        name = f"rows_{len(self.functions)}"
        lines = [
            f"def {name}({self.parameters}):",
            "    def rows(log, low, high):",
            *(f"        {line}" for line in self.rows.prelude),
            "        for row in range(low, high):",
            *(f"            {line}" for line in loop),
            "    return rows",
        ]
        self.functions.append("\n".join(lines))
        self.rows = outer
        return f"{name}({self.parameters})"

    def function(self, code: str) -> Any:
        """Return the function of (events, actor, at) whose answer is `code`."""
        body = [*(f"{name} = {read}" for read, name in self.aliases.items()), f"return {code}"]
        lines = ["def answer(events, actor, at):"]
        if self.careful:
            lines += [f"    {line}" for line in body]
        else:
            lines += ["    try:", *(f"        {line}" for line in body)]
            lines += ["    except caught:", "        return otherwise(events, actor, at)"]
        return _maker(self._source(lines))(*self.names.values())

    def chooser(self, given: Sequence[tuple[str, object]]) -> Any:
        """Return the function of (data, actor, at) that lists what stands beside codes that hold.

        It raises where a value is of a wrong type.
        """
        assert self.alone, "written for one event's data"
        unset = [f"{name} = unset" for name in (self.shared or {}).values()]
        asked: list[str] = []
        for code, beside in given:
            name = f"given{len(asked)}"
            self.names[name] = beside
            asked.append(f"if {code}: found += ({name},)")
        lines = [
            f"def answer({self.parameters}):",
            "    found = ()",
            *(f"    {line}" for line in [*unset, *asked]),
            "    return found",
        ]
        return _maker.__wrapped__(self._source(lines))(*self.names.values())

    def _source(self, lines: Sequence[str]) -> str:
        """Return the function that makes `answer` of what its names stand for."""
        inner = indent("\n".join([*self.functions, *lines, "return answer"]), "    ")
        return f"def make({', '.join(self.names)}):\n{inner}"


@lru_cache(maxsize=2_000)
def _maker(source: str) -> Callable[..., Any]:
    found: dict[str, Any] = {}
    exec(compile(source, "<rule>", "exec"), CALLED, found)
    return found["make"]  # type: ignore[no-any-return]


def _days(node: Aggregate) -> int:
    assert node.window_ms is not None, "operators.py tallies whole days only"
    return node.window_ms // DAY_MS


def _cost(node: Meaning) -> int:
    """Return how dear a part is: conditions have no effects, so the cheap one goes first."""
    found = [part for part in walk(node) if isinstance(part, Aggregate)]
    return max((1 + (part.where is not None) for part in found), default=0)


def _is_it(node: Meaning) -> bool:
    return isinstance(node, Read) and node.source == "it"


def _is_word(node: Meaning) -> bool:
    return isinstance(node, Read) and node.source == "it" and node.type.base == "string"


def _one_word(where: Meaning | None) -> tuple[Read, Meaning] | None:
    """Return (column, other) when the condition is just `it.column == plain value`."""
    if not isinstance(where, Compare) or where.operator != "==":
        return None
    for word, other in ((where.left, where.right), (where.right, where.left)):
        if isinstance(word, Read) and _is_word(word) and isinstance(other, Const | Read):
            return None if _is_it(other) else (word, other)
    return None
