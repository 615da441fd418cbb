"""Which parts of a condition have one answer whatever happens, as far as that is certain.

Unknown counts as not true, since a rule acts on what is definitely true (RULES.md 1.6): a part that
can only be false or unknown is never true; one that may be unknown is not always true.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from engine.rules.expression.meaning import (
    Aggregate,
    All,
    Choice,
    Compare,
    Const,
    Either,
    Given,
    ListOf,
    Meaning,
    Member,
    Not,
    Read,
    Size,
    walk,
)

_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, words: value in words,
    "out": lambda value, words: value not in words,
}
_OPPOSITE = {"==": "!=", "<": ">=", ">": "<=", "in": "out", "there": "absent"}
_OPPOSITE |= {other: one for one, other in _OPPOSITE.items()}
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_THERE = ("there", None)

Test = tuple[str, Any]  # (a key of _TESTS, there or absent; what is compared with)


class Clause(NamedTuple):
    """A part that must be `truth` for the whole to hold."""

    part: Meaning
    truth: bool


class Finding(NamedTuple):
    """A part with one answer: `always` true, else never; with `other`: never both."""

    part: Meaning
    always: bool = False
    other: Meaning | None = None


def findings(meaning: Meaning) -> Iterator[Finding]:
    """Yield the parts of a condition that have one answer."""
    parts = list(clauses(meaning))
    told = {id(part) for part, _ in parts if _answer(part) is not None}
    for one, other in conflicts(parts):
        if id(one) not in told and id(other) not in told:
            yield Finding(other, other=one)
    for part, _ in parts:
        if isinstance(part, All | Either):
            for operand in part.operands:
                yield from findings(operand)
            continue
        if isinstance(part, Choice):
            yield from findings(part.condition)
        if (answer := _answer(part)) is not None:
            yield Finding(part, always=answer)
        for each in walk(part):
            if isinstance(each, Aggregate) and each.where is not None:
                yield from findings(each.where)


def clauses(meaning: Meaning, truth: bool = True) -> Iterator[Clause]:
    """Yield what must all be so for a meaning to be `truth`."""
    match meaning:
        case Not(operand=operand):
            yield from clauses(operand, not truth)
        case All(operands=operands) if truth:
            yield from _each(operands, truth)
        case Either(operands=operands) if not truth:
            yield from _each(operands, truth)
        case _:
            yield Clause(meaning, truth)


def _each(operands: Sequence[Meaning], truth: bool) -> Iterator[Clause]:
    for operand in operands:
        yield from clauses(operand, truth)


def conflicts(parts: Sequence[Clause]) -> Iterator[tuple[Meaning, Meaning]]:
    """Yield (one, a later one) of clauses about the same thing that exclude each other."""
    known: dict[Any, list[tuple[Meaning, Test]]] = {}
    for part, truth in parts:
        if (asked := _asked(part, truth)) is None:
            continue
        about, test = asked
        before = known.setdefault(about, [])
        for other, its in before:
            if _is_empty([test, its]):
                yield other, part
                break
        before.append((part, test))


def _asked(part: Meaning, truth: bool) -> tuple[Any, Test] | None:
    """Return (what a clause asks about, how it is tested); None of what is not so simple."""
    about: Meaning
    test: Test
    match part:
        case Read():
            about, test = part, ("in", (True,))
        case Given(value=about):
            test = _THERE
        case Compare(left=about, right=Const(value=value)):
            test = (part.operator, value)
        case Compare(left=Const(value=value), right=about):
            test = (_TURNED[part.operator], value)
        case Member(item=about, container=ListOf(items=items)):
            test = ("in", tuple(each.value for each in items if isinstance(each, Const)))
            if len(test[1]) < len(items):
                return None
        case _:
            return None
    test = test if truth else (_OPPOSITE[test[0]], test[1])
    if isinstance(about, Read):
        # The same field may be written in two ways: `event.value`, `cart.value`.
        return (about.source, about.alias, about.name), test
    return (about, test) if isinstance(about, Aggregate | Size) else None


def _is_empty(tests: Sequence[Test]) -> bool:
    """Tell whether no value passes all tests of one thing; `absent` has none to pass any."""
    if ("absent", None) in tests:
        return any(name != "absent" for name, _ in tests)
    tests = [(name, value) for name, value in tests if name != "there"]
    for name, words in tests:
        if name in ("==", "in"):
            words = words if name == "in" else (words,)
            return not any(all(_TESTS[n](word, v) for n, v in tests) for word in words)
    least = max(((v, n == ">") for n, v in tests if n in (">", ">=")), default=None)
    most = min(((v, n != "<") for n, v in tests if n in ("<", "<=")), default=None)
    if least is None or most is None:
        return False
    return bool(least[0] > most[0] or (least[0] == most[0] and (least[1] or not most[1])))


def _answer(part: Meaning) -> bool | None:
    """Return the one answer of a part: True (always true), False (never); None if it has two."""
    match part:
        case Const(value=bool() as value):
            return value
        case Compare(left=Const(value=left), right=Const(value=right)):
            return _TESTS[part.operator](left, right)
        case Member(item=Const(value=item), container=ListOf(items=items)):
            words = [each.value for each in items if isinstance(each, Const)]
            return None if len(words) < len(items) else item in words
        case Compare(operator="!=" | "<" | ">", left=left, right=right) if left == right:
            return False
        case Compare(left=Aggregate() as count, right=Const()):
            return _counted(part, count)
        case Compare(left=Const(), right=Aggregate() as count):
            return _counted(part, count)
    return None


def _counted(part: Compare, count: Aggregate) -> bool | None:
    """Return the answer of a comparison with what is never below 0."""
    asked, opposite = _asked(part, True), _asked(part, False)
    if asked is None or opposite is None or not is_count(count):
        return None
    if _is_empty([asked[1], (">=", 0)]):
        return False
    # Where fields are missing, a count lies between two numbers: how it compares with a third is
    # known, and whether it equals it is not. How many distinct ones there are is not known at all.
    is_known = count.function == "count" and part.operator not in ("==", "!=")
    return True if is_known and _is_empty([opposite[1], (">=", 0)]) else None


def is_count(about: Meaning) -> bool:
    """Tell whether a value is a number of events, or of what they hold."""
    return isinstance(about, Aggregate) and about.function in ("count", "distinct")
