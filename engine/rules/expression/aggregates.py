"""`count("order.placed", 30d, it.value > 100)` and its like: their arguments and their types."""

from collections.abc import Callable

from engine.rules.expression.meaning import Aggregate, Const, Meaning, Read
from engine.rules.expression.report import MISTAKEN, Report, say
from engine.rules.expression.tree import Call, Literal, Node, Path
from engine.rules.expression.types import DOUBLE, DURATION, INT, MONEY, FieldType

AGGREGATES_MAX = 10  # of one expression: each may look at every row of a log

# What an aggregate reads of each event; `None` for those that read only that it happened.
NAMES: dict[str, frozenset[str] | None] = {
    "count": None,
    "age": None,
    "sum": frozenset({"money", "int", "double"}),
    "avg": frozenset({"money", "int", "double"}),
    "min": frozenset({"money", "int", "double", "time"}),
    "max": frozenset({"money", "int", "double", "time"}),
    "distinct": frozenset({"money", "int", "double", "time", "string", "bool"}),
    "first": frozenset({"money", "int", "double", "time", "string", "bool"}),
    "last": frozenset({"money", "int", "double", "time", "string", "bool"}),
}


def event_of(report: Report, node: Call) -> str | None:
    """Return the event type that an aggregate is over, None (told) where it names none."""
    if report.inside_aggregate:
        report.tell(node, "E223", f"{node.name.text}() inside of another aggregate")
        return None
    first = node.arguments[0] if node.arguments else None
    if not isinstance(first, Literal) or first.kind != "string":
        place = first or node
        message = f"{node.name.text}() begins with the type of an event in quotes"
        report.tell(place, "E222", message, f'write {node.name.text}("order.placed", ...)')
        return None
    return str(first.value)


def aggregate(
    report: Report,
    node: Call,
    event: str,
    column_of: Callable[[Node], Meaning],
    condition_of: Callable[[Node], Meaning],
) -> Meaning:
    """Return the meaning of an aggregate over `event`, whose fields `it` has by now."""
    name = node.name.text
    kinds = NAMES[name]
    window_ms: int | None = None
    column: Meaning | None = None
    where: Meaning | None = None
    for argument in node.arguments[1:]:
        if isinstance(argument, Literal) and argument.kind == "duration":
            if window_ms is not None or argument.value <= 0:
                return report.tell(argument, "E222", f"{name}() needs one window, longer than 0")
            window_ms = argument.value
        elif kinds is not None and column is None:
            column = _column(report, name, argument, kinds, column_of)
        elif where is None:
            where = condition_of(argument)
        else:
            return report.tell(argument, "E222", f"{name}() has one condition; join two by &&")
    if kinds is not None and column is None:
        message = f"{name}() needs the field that it looks at"
        return report.tell(node, "E222", message, f'write {name}("{event}", it.value, 30d)')
    if MISTAKEN in (column, where):
        return MISTAKEN
    assert column is None or isinstance(column, Read)
    kind = _result(name, column)
    return Aggregate(kind, name, event, window_ms, column, where, report.written(node))


def _column(
    report: Report,
    name: str,
    argument: Node,
    kinds: frozenset[str],
    column_of: Callable[[Node], Meaning],
) -> Meaning:
    if not isinstance(argument, Path) or argument.parts[0].text != "it":
        hint = f"write {name}(..., it.value, ...)"
        return report.tell(argument, "E222", f"{name}() looks at one field of it", hint)
    found = column_of(argument)
    if isinstance(found, Const):
        return found
    if found.type.base not in kinds:
        return report.tell(argument, "E222", f"{name}() of {say(found.type)} has no meaning")
    return found


def _result(name: str, column: Read | None) -> FieldType:
    if column is None or name == "distinct":
        return DURATION if name == "age" else INT
    if name == "avg":
        return MONEY if column.type.base == "money" else DOUBLE
    return FieldType(column.type.base, column.type.choices)
