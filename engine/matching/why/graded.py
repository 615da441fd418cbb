"""Where a rule's table put a customer: the grade on each scale and what made it so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.profile.model import Actor
from engine.rules.expression.compile import Condition
from engine.rules.model import Axis, Table

LANGUAGES = ("zh", "en")
Events = Mapping[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Graded:
    """A grade on one scale, '' where none of them held.

    `clause`: what made it so, by language: the grade's condition; without a grade the first part
    that did not hold of the last one; empty for `otherwise`. `values`: what was read.
    """

    scale: str
    grade: str
    clause: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def graded(table: Table, events: Events, actor: Actor, at: int) -> tuple[Graded, ...]:
    """Return the grade on each scale of a table, in the table's order."""
    return tuple(_on(axis, events, actor, at) for axis in table.axes)


def first_failing(
    condition: Condition, events: Events, actor: Actor, at: int
) -> tuple[dict[str, str], dict[str, Any], bool]:
    """Return (the first clause that does not hold, in words; what it read; is it unknown).

    Empty where all of them hold.
    """
    for clause in condition.clauses():
        if not clause.holds(events, actor, at):
            return (
                words_of(clause),
                clause.inputs(events, actor, at),
                clause.unknown(events, actor, at),
            )
    return {}, {}, False


def words_of(condition: Condition) -> dict[str, str]:
    """Return a condition in words, by language."""
    return {lang: condition.words(lang) for lang in LANGUAGES}


def _on(axis: Axis, events: Events, actor: Actor, at: int) -> Graded:
    asked: list[Condition] = []
    for name, condition in axis.grades:
        if condition is None:
            return Graded(axis.name, name, {}, _read(asked, events, actor, at))
        if condition.holds(events, actor, at):
            values = condition.inputs(events, actor, at)
            return Graded(axis.name, name, words_of(condition), values)
        asked.append(condition)
    clause, values, _ = first_failing(asked[-1], events, actor, at)
    return Graded(axis.name, "", clause, values)


def _read(conditions: Sequence[Condition], events: Events, actor: Actor, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for condition in conditions:
        found.update(condition.inputs(events, actor, at))
    return found
