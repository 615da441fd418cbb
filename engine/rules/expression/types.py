"""What an expression may name and with which type, and how its mistakes are told."""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from engine.errors import RulesError

BASES = ("money", "string", "int", "double", "bool", "time", "list")
MINOR_UNITS = 100  # of a major unit of money: rule files write major units, state holds minor ones


class FieldType(msgspec.Struct, frozen=True, gc=False):
    """Type of a field: one of `BASES`, inside an expression also duration and null.

    `choices`: name of the set that a string is one of. `optional`: may be missing by contract.
    """

    base: str
    choices: str | None = None
    optional: bool = False


MONEY, STRING, INT, DOUBLE = (FieldType(base) for base in ("money", "string", "int", "double"))
BOOL, TIME, LIST = FieldType("bool"), FieldType("time"), FieldType("list")
DURATION, NULL = FieldType("duration"), FieldType("null")
WRONG = FieldType("wrong")  # of a part with a mistake that has been told: no further complaint


class Scope(msgspec.Struct, frozen=True, gc=False):
    """Everything that one rule's expressions may name.

    A field is anything with `base`, `choices` and `optional`, or with a `type` that has them; a
    fact of `profile` may also have `read(actor, at)` (engine/profile/schema.py), else it is the
    trait of that name.

    events
        Alias of a step -> its event's fields.
    sets
        Name of a set -> its members (`choices`, and `x in sets.<name>`).
    aggregates
        Event type -> its fields, None for a type without contract.
    event_types, types, labels
        For messages only: names to propose; alias -> event type; names in words:
        name -> {"en": .., "zh": ..}.
    conditions
        Name of a shared condition -> what has its `meaning`, which takes the name's place.
    thing
        The kind of thing that the rule is about, '' for a person: its windows of whole days are
        counted by day (engine/profile/things/tally.py).
    is_published
        The rule was taken once: what can be run and never comes true is no mistake any more.
    """

    events: Mapping[str, Mapping[str, Any]]
    profile: Mapping[str, Any]
    features: Mapping[str, Any]
    sets: Mapping[str, tuple[str, ...]]
    aggregates: Callable[[str], Mapping[str, Any] | None]
    event_types: Collection[str] = ()
    types: Mapping[str, str] = {}
    labels: Mapping[str, Mapping[str, str]] = {}
    conditions: Mapping[str, Any] = {}
    thing: str = ""
    is_published: bool = False


class Problem(NamedTuple):
    """One mistake: where in the text (characters), what is wrong, what would be right ('' = ?)."""

    offset: int
    length: int
    code: str
    message: str
    hint: str = ""


class ExpressionErrors(RulesError):
    """All the mistakes of one expression, in order of place."""

    code = "rules/expression"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(
            "; ".join(problem.message for problem in problems), problems=tuple(problems)
        )
        self.problems: tuple[Problem, ...] = tuple(problems)


def field_type(field: Any) -> FieldType:
    """Return the type of a field as contracts and schemas have it."""
    found = field if hasattr(field, "base") else field.type
    return FieldType(found.base, found.choices, found.optional)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return the hint that names the nearest known name, or '' when none is near.

    >>> did_you_mean("valu", ["value", "items"])
    'did you mean "value"?'
    """
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""
