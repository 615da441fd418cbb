"""The meaning of an expression (checked, typed, money in minor units), and where mistakes go."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True)
class Const:
    """A value known when the rule is loaded."""

    type: FieldType
    value: Any


@dataclass(frozen=True, slots=True)
class Read:
    """A field of an event (`source` event, of step `alias`), a profile fact, a feature, or of `it`.

    `reader`: of a derived profile fact; None for a trait. `text`: as it was written.
    """

    type: FieldType
    source: str
    alias: str
    name: str
    text: str
    reader: Any = None


@dataclass(frozen=True, slots=True)
class Aggregate:
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


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list written out; unknown when one of its items is."""

    items: tuple["Meaning", ...]
    type: FieldType = LIST


@dataclass(frozen=True, slots=True)
class Compare:
    """`== != < <= > >=` of two values of one kind."""

    operator: str
    left: "Meaning"
    right: "Meaning"
    type: FieldType = BOOL


@dataclass(frozen=True, slots=True)
class Member:
    """`item in container`."""

    item: "Meaning"
    container: "Meaning"
    type: FieldType = BOOL


@dataclass(frozen=True, slots=True)
class Given:
    """The value is there: `has(x)`, `x != null`. Never unknown."""

    value: "Meaning"
    type: FieldType = BOOL


@dataclass(frozen=True, slots=True)
class Not:
    """`!x`."""

    operand: "Meaning"
    type: FieldType = BOOL


@dataclass(frozen=True, slots=True)
class All:
    """`a && b && ...`."""

    operands: tuple["Meaning", ...]
    type: FieldType = BOOL


@dataclass(frozen=True, slots=True)
class Either:
    """`a || b || ...`."""

    operands: tuple["Meaning", ...]
    type: FieldType = BOOL


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`; unknown when the condition is."""

    type: FieldType
    condition: "Meaning"
    yes: "Meaning"
    no: "Meaning"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * / %`; of two ints `/` and `%` cut towards zero, as in CEL; by zero is unknown."""

    type: FieldType
    operator: str
    left: "Meaning"
    right: "Meaning"


@dataclass(frozen=True, slots=True)
class Size:
    """Characters of a text, or items of a list."""

    of: "Meaning"
    type: FieldType = INT


@dataclass(frozen=True, slots=True)
class Convert:
    """`int(x)`, `double(x)`, `string(x)`: `type` is what it makes of `of`, or unknown."""

    type: FieldType
    of: "Meaning"


@dataclass(frozen=True, slots=True)
class TextTest:
    """`text.startsWith(x)`, `endsWith`, `contains`."""

    method: str
    target: "Meaning"
    argument: "Meaning"
    type: FieldType = BOOL


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


def parts(node: Meaning) -> tuple[Meaning, ...]:
    """Return the meanings that a meaning is made of, in the order in which they were written."""
    match node:
        case Aggregate():
            return tuple(part for part in (node.column, node.where) if part is not None)
        case ListOf(items=items) | All(operands=items) | Either(operands=items):
            return items
        case Compare(left=left, right=right) | Arithmetic(left=left, right=right):
            return left, right
        case Member(item=item, container=container):
            return item, container
        case Given(value=part) | Not(operand=part) | Size(of=part) | Convert(of=part):
            return (part,)
        case Choice(condition=condition, yes=yes, no=no):
            return condition, yes, no
        case TextTest(target=target, argument=argument):
            return target, argument
        case Const() | Read():
            return ()


def walk(node: Meaning) -> Iterator[Meaning]:
    """Yield a meaning and all that is in it, outermost first."""
    yield node
    for part in parts(node):
        yield from walk(part)


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
