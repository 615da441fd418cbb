"""The meaning of an expression (checked, typed, money in minor units), and where mistakes go.

`parts()` of a meaning: those that it is made of, in the order in which they were written.
"""

from typing import Any, Protocol

import msgspec

from engine.rules.expression.types import BOOL, INT, LIST, WRONG, FieldType, Problem, Scope

_SAY = {
    "money": "an amount of money",
    "string": "text",
    "int": "a number",
    "double": "a number",
    "bool": "true or false",
    "time": "a time",
    "duration": "a length of time",
    "list": "a list",
    "null": "null",
}


Parts = tuple["Meaning", ...]


class Const(msgspec.Struct, frozen=True, gc=False):
    """A value known when the rule is loaded."""

    type: FieldType
    value: Any

    def parts(self) -> Parts:
        return ()


class Read(msgspec.Struct, frozen=True, gc=False):
    """A field of an event (`source` event, of step `alias`), a profile fact, a feature, or of `it`.

    `reader`: of a derived profile fact; None for a trait. `text`: as it was written.
    """

    type: FieldType
    source: str
    alias: str
    name: str
    text: str
    reader: Any = None

    def parts(self) -> Parts:
        return ()


class Aggregate(msgspec.Struct, frozen=True, gc=False):
    """A function over the log of one event type; `window_ms` None: over all that the log holds.

    `period`: of calendar.PERIODS, instead of a length. `over_ms`: what a rate is held against.
    `tallied`: read from the days of a thing, not from a log. `percent`: of a median, a percentile.
    """

    type: FieldType
    function: str
    event: str
    window_ms: int | None
    column: Read | None
    where: "Meaning | None"
    text: str
    period: str = ""
    over_ms: int = 0
    tallied: bool = False
    percent: int = 0

    def parts(self) -> Parts:
        return tuple(part for part in (self.column, self.where) if part is not None)


class ListOf(msgspec.Struct, frozen=True, gc=False):
    """A list written out; unknown when one of its items is."""

    items: tuple["Meaning", ...]
    type: FieldType = LIST

    def parts(self) -> Parts:
        return self.items


class Compare(msgspec.Struct, frozen=True, gc=False):
    """`== != < <= > >=` of two values of one kind."""

    operator: str
    left: "Meaning"
    right: "Meaning"
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return self.left, self.right


class Member(msgspec.Struct, frozen=True, gc=False):
    """`item in container`."""

    item: "Meaning"
    container: "Meaning"
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return self.item, self.container


class Given(msgspec.Struct, frozen=True, gc=False):
    """The value is there: `has(x)`, `x != null`. Never unknown."""

    value: "Meaning"
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return (self.value,)


class Not(msgspec.Struct, frozen=True, gc=False):
    """`!x`."""

    operand: "Meaning"
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return (self.operand,)


class All(msgspec.Struct, frozen=True, gc=False):
    """`a && b && ...`."""

    operands: tuple["Meaning", ...]
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return self.operands


class Either(msgspec.Struct, frozen=True, gc=False):
    """`a || b || ...`."""

    operands: tuple["Meaning", ...]
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return self.operands


class Choice(msgspec.Struct, frozen=True, gc=False):
    """`condition ? yes : no`; unknown when the condition is."""

    type: FieldType
    condition: "Meaning"
    yes: "Meaning"
    no: "Meaning"

    def parts(self) -> Parts:
        return self.condition, self.yes, self.no


class Arithmetic(msgspec.Struct, frozen=True, gc=False):
    """`+ - * / %`; of two ints `/` and `%` cut towards zero, as in CEL; by zero is unknown."""

    type: FieldType
    operator: str
    left: "Meaning"
    right: "Meaning"

    def parts(self) -> Parts:
        return self.left, self.right


class Size(msgspec.Struct, frozen=True, gc=False):
    """Characters of a text, or items of a list."""

    of: "Meaning"
    type: FieldType = INT

    def parts(self) -> Parts:
        return (self.of,)


class Convert(msgspec.Struct, frozen=True, gc=False):
    """`int(x)`, `double(x)`, `string(x)`: `type` is what it makes of `of`, or unknown."""

    type: FieldType
    of: "Meaning"

    def parts(self) -> Parts:
        return (self.of,)


class TextTest(msgspec.Struct, frozen=True, gc=False):
    """`text.startsWith(x)`, `endsWith`, `contains`."""

    method: str
    target: "Meaning"
    argument: "Meaning"
    type: FieldType = BOOL

    def parts(self) -> Parts:
        return self.target, self.argument


Meaning = (
    Const
    | Read
    | Aggregate
    | ListOf
    | Compare
    | Member
    | Given
    | Not
    | All
    | Either
    | Choice
    | Arithmetic
    | Size
    | Convert
    | TextTest
)


def walk(node: Meaning) -> list[Meaning]:
    """Return a meaning and all that is in it, outermost first."""
    found = [node]
    for part in node.parts():
        found += walk(part)
    return found


ALWAYS_KNOWN = ("count", "sum", "distinct")  # of no event they are 0


def may_be_unknown(node: Meaning) -> bool:
    """Tell whether a meaning may be unknown although nothing that it reads is missing."""
    return any(
        (isinstance(part, Arithmetic) and part.operator in ("/", "%"))
        or isinstance(part, Convert)
        or (isinstance(part, Aggregate) and part.function not in ALWAYS_KNOWN)
        for part in walk(node)
    )


MISTAKEN = Const(WRONG, None)  # the meaning of a part whose mistake has been told


class Place(Protocol):
    """Anything with a start and an end in the text."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class Report:
    """The problems of one text, and what it may name."""

    def __init__(self, scope: Scope, text: str, problems: list[Problem]) -> None:
        self.scope = scope
        self.text = text
        self.problems = problems
        self.inside_aggregate = False

    def tell(self, place: Place, code: str, message: str, hint: str = "") -> Const:
        """Note a problem, and return what stands for the meaning of its place."""
        length = max(place.end - place.start, 1)
        self.problems.append(Problem(place.start, length, code, message, hint))
        return MISTAKEN

    def written(self, place: Place) -> str:
        """Return the text of a place in one line."""
        return " ".join(self.text[place.start : place.end].split())


def say(type: FieldType) -> str:
    """Return a type in words that a marketer uses."""
    return _SAY[type.base]
