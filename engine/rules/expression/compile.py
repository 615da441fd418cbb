"""Text in, function out: `compile_condition` and `compile_value`, which is all that others call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from engine.profile.logs.exact import Columns
from engine.profile.model import Actor
from engine.profile.things.tally import Tallied
from engine.rules.expression import words
from engine.rules.expression.check import Checker
from engine.rules.expression.generate import Writer
from engine.rules.expression.meaning import (
    Aggregate,
    All,
    Compare,
    Const,
    ListOf,
    Meaning,
    Member,
    Read,
    walk,
)
from engine.rules.expression.operators import AGGREGATES_MAX
from engine.rules.expression.parse import parse
from engine.rules.expression.reading import STEPS_MAX, TooLarge
from engine.rules.expression.types import ExpressionErrors, FieldType, Problem, Scope

SHARED_FROM = 3  # conditions of one function: for fewer an exact count is more than they need
_UNREAD = "E110"  # what is no part of any expression

Events = Mapping[str, dict[str, Any]]
"""Alias of a step -> the data of the event that it matched."""
Answer = Callable[[Events, Actor, int], Any]


class Reads(msgspec.Struct, frozen=True, gc=False):
    """What an expression looks at.

    `columns`: event type -> columns that its log must keep; `tallies`: what a thing must count by
    day. `fields`: (alias, name) of events.
    `pins`: field of the trigger -> the only texts with which the condition can hold.
    """

    columns: Mapping[str, Columns] = {}
    tallies: Mapping[str, Tallied] = {}
    profile: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    fields: frozenset[tuple[str, str]] = frozenset()
    pins: Mapping[str, tuple[str, ...]] = {}


class Condition:
    """A compiled condition.

    `holds(events, actor, at)`: is it definitely true; never raises. `at`: UTC ms, the end of all
    windows.
    """

    __slots__ = ("_fails", "_inputs", "_labels", "holds", "meaning", "reads", "text")

    def __init__(self, text: str, meaning: Meaning, reads: Reads, scope: Scope) -> None:
        self.text = text
        self.reads = reads
        self.meaning = meaning
        self._labels = scope
        # Many are only asked together with others (`chooser`): code is written when it is needed.
        self.holds: Callable[[Events, Actor, int], bool] = self._first_asked
        self._fails: Answer | None = None
        self._inputs: Answer | None = None

    def _first_asked(self, events: Events, actor: Actor, at: int) -> bool:
        self.holds = _truth(self.meaning, True)
        found: bool = self.holds(events, actor, at)
        return found

    def unknown(self, events: Events, actor: Actor, at: int) -> bool:
        """Return whether it neither holds nor definitely fails: something it needs is missing."""
        return not self.holds(events, actor, at) and self.is_open(events, actor, at)

    def is_open(self, events: Events, actor: Actor, at: int) -> bool:
        """Return, of one that does not hold, whether something that it needs is missing."""
        if self._fails is None:
            self._fails = _truth(self.meaning, False)
        return not self._fails(events, actor, at)

    def inputs(self, events: Events, actor: Actor, at: int) -> dict[str, Any]:
        """Return what it reads, by the text that reads it: money in major units, None = unknown."""
        if self._inputs is None:
            self._inputs = _inputs(self.meaning)
        found: dict[str, Any] = self._inputs(events, actor, at)
        return found

    def clauses(self) -> tuple["Condition", ...]:
        """Return the parts that must all hold, in the order in which they are written."""
        clauses = self.meaning.operands if isinstance(self.meaning, All) else ()
        made = (Condition(self.text, part, self.reads, self._labels) for part in clauses)
        return tuple(made) or (self,)

    def words(self, lang: str) -> str:
        """Return the condition in plain words, `lang` en or zh."""
        return words.told(self.meaning, lang, self._labels)


T = TypeVar("T")
Chooser = Callable[[Mapping[str, Any], Actor, int], tuple[T, ...]]


def chooser(given: Sequence[tuple[Condition, T]]) -> Chooser[T]:
    """Return one function for many conditions on an event: what stands beside those that hold.

    It is a function of (the event's data, actor, at); an aggregate that several of them read is
    worked out once. It raises where a value is of a wrong type: then ask each condition.
    """
    writer = Writer("fast", alone=True, shares=len(given) >= SHARED_FROM)
    codes = []
    for condition, beside in given:
        writer.steps = 0  # the limit is of one condition
        codes.append((writer.says(condition.meaning, True), beside))
    choose: Chooser[T] = writer.chooser(codes)
    return choose


class Value(msgspec.Struct, frozen=True, gc=False):
    """A compiled value; `get` answers None for unknown, money in major units, times in ms."""

    text: str
    type: FieldType
    reads: Reads
    get: Answer


def compile_condition(text: str, scope: Scope, *, trigger: str) -> Condition:
    """Compile the text of `where` or `if`; `event` in it means the step `trigger`.

    Raises
    ------
    ExpressionErrors
        With every mistake of the text.
    """
    problems: list[Problem] = []
    meaning, found = _checked(text, scope, trigger, problems, Checker.condition)
    condition = Condition(text, meaning, _reads(meaning, found, trigger), scope)
    # So few parts never take more, even each inside the one before; of others only code can tell.
    if 3 << len(found) > STEPS_MAX and _steps_most(meaning) > STEPS_MAX:
        try:
            condition.holds = _truth(meaning, True)
        except TooLarge:
            raise ExpressionErrors([_too_costly(text)]) from None
    return condition


def compile_value(text: str, scope: Scope, *, trigger: str) -> Value:
    """Compile the text between `{{` and `}}`. Raises ExpressionErrors with every mistake."""
    problems: list[Problem] = []
    meaning, found = _checked(text, scope, trigger, problems, Checker.meaning)
    try:
        get = _answer(lambda writer: _shown(writer, meaning))
    except TooLarge:
        raise ExpressionErrors([_too_costly(text)]) from None
    return Value(text, meaning.type, _reads(meaning, found, trigger), get)


def _checked(
    text: str,
    scope: Scope,
    trigger: str,
    problems: list[Problem],
    check: Callable[[Checker, Any], Meaning],
) -> tuple[Meaning, list[Meaning]]:
    """Return (the meaning of a text, all that is in it)."""
    tree = parse(text, problems)
    meaning = None if tree is None else check(Checker(scope, trigger, text, problems), tree)
    if meaning is not None and not problems:
        found = walk(meaning)
        if sum([part.__class__ is Aggregate for part in found]) <= AGGREGATES_MAX:
            return meaning, found
        problems.append(_too_costly(text))
    raise ExpressionErrors(_first(problems))


def _first(problems: list[Problem]) -> list[Problem]:
    """Return problems in order, without what only follows from a word that could not be read."""
    unread = [problem.offset for problem in problems if problem.code == _UNREAD]
    return [
        problem
        for problem in sorted(set(problems))
        if problem.code == _UNREAD
        or not any(problem.offset <= at < problem.offset + problem.length for at in unread)
    ]


def _steps_most(meaning: Meaning) -> int:
    """Return more steps than a writer of its code takes: each part may be written twice."""
    return 3 + 2 * sum([_steps_most(part) for part in meaning.parts()])


def _too_costly(text: str) -> Problem:
    message = f"too much for one condition: at most {AGGREGATES_MAX} aggregates, few nested ?:"
    return Problem(0, max(len(text), 1), "E122", message, "split it into several rules")


def _truth(meaning: Meaning, truth: bool) -> Answer:
    return _answer(lambda writer: writer.says(meaning, truth))


def _answer(write: Callable[[Writer], str]) -> Answer:
    """Return the fast function, with the careful one behind it for values of a wrong type."""

    def careful() -> Answer:
        writer = Writer("careful")
        code = write(writer)
        answer: Answer = writer.function(code)
        return answer

    writer = Writer("fast")
    code = write(writer)
    writer.names["otherwise"] = _later(careful)
    answer: Answer = writer.function(code)
    return answer


def _later(build: Callable[[], Answer]) -> Answer:
    """Return a function that is compiled when it is first called."""
    built: list[Answer] = []

    def answer(events: Events, actor: Actor, at: int) -> Any:
        if not built:
            built.append(build())
        return built[0](events, actor, at)

    return answer


def _inputs(meaning: Meaning) -> Answer:
    def write(writer: Writer) -> str:
        shown = {
            part.text: _shown(writer, part)
            for part in walk(meaning)
            if isinstance(part, Aggregate) or (isinstance(part, Read) and part.source != "it")
        }
        pairs = (f"{writer.constant(text)}: {code}" for text, code in shown.items())
        return "{" + ", ".join(pairs) + "}"

    return _answer(write)


def _shown(writer: Writer, meaning: Meaning) -> str:
    """Return code for a value as people read it."""
    code, base = writer.nullable(meaning), meaning.type.base
    if base == "money":
        return f"major({code})"
    return f"whole({code})" if base in ("int", "time", "duration") else code


def _reads(meaning: Meaning, found: list[Meaning], trigger: str) -> Reads:
    columns: dict[str, Columns] = {}
    tallies: dict[str, Tallied] = {}
    for part in found:
        if isinstance(part, Aggregate) and part.tallied:
            tallies[part.event] = _tallied(part, tallies.get(part.event, Tallied()))
        elif isinstance(part, Aggregate):
            columns[part.event] = _columns(part, columns.get(part.event, Columns()))
    reads = [part for part in found if isinstance(part, Read)]
    return Reads(
        columns=columns,
        tallies=tallies,
        profile=frozenset(read.name for read in reads if read.source == "profile"),
        features=frozenset(read.name for read in reads if read.source == "feature"),
        fields=frozenset((read.alias, read.name) for read in reads if read.source == "event"),
        pins=_pins(meaning, trigger),
    )


def _columns(aggregate: Aggregate, known: Columns) -> Columns:
    numbers, words = set(known.numbers), set(known.words)
    for part in walk(aggregate):
        if isinstance(part, Read) and part.source == "it":
            (words if part.type.base == "string" else numbers).add(part.name)
    return Columns(tuple(sorted(numbers)), tuple(sorted(words)))


def _tallied(aggregate: Aggregate, known: Tallied) -> Tallied:
    if aggregate.column is None:
        return known
    name = (aggregate.column.name,)
    if aggregate.function == "distinct":
        return known._replace(distinct=tuple(sorted({*known.distinct, *name})))
    if aggregate.percent:
        return known._replace(spread=tuple(sorted({*known.spread, *name})))
    return known._replace(sums=tuple(sorted({*known.sums, *name})))


def _pins(meaning: Meaning, trigger: str) -> dict[str, tuple[str, ...]]:
    """Return what an index may hash on: fields that must equal one of a few texts."""
    pins: dict[str, tuple[str, ...]] = {}
    for part in meaning.operands if isinstance(meaning, All) else (meaning,):
        match part:
            case Compare(operator="==", left=Read() as read, right=Const(value=str() as word)):
                wanted: tuple[Any, ...] = (word,)
            case Compare(operator="==", left=Const(value=str() as word), right=Read() as read):
                wanted = (word,)
            case Member(item=Read() as read, container=ListOf(items=items)):
                wanted = tuple(each.value for each in items if isinstance(each, Const))
                if len(wanted) < len(items):
                    continue
            case _:
                continue
        own = read.source == "event" and read.alias == trigger and read.type.base == "string"
        if own and read.name not in pins:
            pins[read.name] = wanted
    return pins
