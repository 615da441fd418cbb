"""What may be compared, calculated and aggregated; money is scaled here, once, at load."""

import re
from collections.abc import Callable
from decimal import Decimal

from engine.clock import DAY_MS, parse_iso
from engine.profile.calendar import PERIODS
from engine.profile.logs.exact import LOG_MAX
from engine.profile.things.tally import CUSTOMER, DAYS_MAX
from engine.rules.expression.meaning import (
    MISTAKEN,
    Aggregate,
    Arithmetic,
    Compare,
    Const,
    Given,
    Meaning,
    Not,
    Place,
    Read,
    Report,
    say,
    walk,
)
from engine.rules.expression.tree import Call, Infix, Literal, Node, Path
from engine.rules.expression.types import (
    DOUBLE,
    DURATION,
    INT,
    MINOR_UNITS,
    MONEY,
    STRING,
    TIME,
    WRONG,
    FieldType,
    did_you_mean,
)

_CEL_UNITS_NS = {
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_CEL_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)")
_CEL_DURATION = re.compile(r"-?(?:\d+(?:\.\d+)?(?:ms|us|ns|h|m|s))+")
# A thing has them by day:
TALLIED = frozenset({"count", "sum", "avg", "distinct", "median", "percentile"})
AGGREGATES_MAX = 10  # of one expression: each may look at every row of a log

# What an aggregate reads of each event; `None` for those that read only that it happened.
AGGREGATES: dict[str, frozenset[str] | None] = {
    "count": None,
    "age": None,
    "sum": frozenset({"money", "int", "double"}),
    "avg": frozenset({"money", "int", "double"}),
    "min": frozenset({"money", "int", "double", "time"}),
    "max": frozenset({"money", "int", "double", "time"}),
    "median": frozenset({"money", "int", "double"}),
    "percentile": frozenset({"money", "int", "double"}),  # such as 90: which one
    "distinct": frozenset({"money", "int", "double", "time", "string", "bool"}),
    "first": frozenset({"money", "int", "double", "time", "string", "bool"}),
    "last": frozenset({"money", "int", "double", "time", "string", "bool"}),
    "rate": frozenset({"money", "int", "double"}),
}
_NEEDS_NO_FIELD = frozenset({"rate"})  # without one it is of counts
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_NUMBERS = frozenset({"int", "double"})
_ORDERED = frozenset({"money", "int", "double", "string", "time", "duration"})


def comparison(report: Report, node: Infix, left: Meaning, right: Meaning) -> Meaning:
    """Return the meaning of `left op right`; null on a side asks for presence."""
    operator = node.operator
    bases = left.type.base, right.type.base
    if "null" in bases:
        other = right if bases[0] == "null" else left
        if operator not in ("==", "!=") or other.type.base == "null":
            return report.tell(node, "E210", "null can only be compared with a value", "x == null")
        return Given(other) if operator == "!=" else Not(Given(other))
    pair = unified(report, node, left, right)
    if pair is None:
        message = f"{say(left.type)} cannot be compared with {say(right.type)}"
        hint = unquoted(left, right) or unquoted(right, left)
        return report.tell(node, "E210", message, hint)
    left, right = pair
    if WRONG in (left.type, right.type):
        return MISTAKEN
    if operator not in ("==", "!=") and left.type.base not in _ORDERED:
        message = f"{say(left.type)} is neither more nor less"
        return report.tell(node, "E210", message, "use == or !=")
    for counted, bound in ((left, right), (right, left)):
        if isinstance(counted, Aggregate) and counted.function == "count" and not counted.tallied:
            if isinstance(bound, Const) and bound.value > LOG_MAX:
                message = f"count() sees the newest {LOG_MAX} events, so it is never {bound.value}"
                return report.tell(node, "E224", message, "ask for less, or over fewer days")
    for place, field, constant in ((node.right, left, right), (node.left, right, left)):
        check_range(report, place, field, constant)
        if operator in ("==", "!="):
            check_choice(report, place, field, constant)
    return Compare(operator, left, right)


def unified(
    report: Report, place: Place, left: Meaning, right: Meaning
) -> tuple[Meaning, Meaning] | None:
    """Return both as one kind: numbers beside money scaled, times out of text; None: no way."""
    bases = left.type.base, right.type.base
    if bases[0] == bases[1] or set(bases) <= _NUMBERS:
        return left, right
    if bases[0] == "money" and bases[1] in _NUMBERS:
        return left, in_minor(report, place, right)
    if bases[1] == "money" and bases[0] in _NUMBERS:
        return in_minor(report, place, left), right
    if bases == ("time", "string") and isinstance(right, Const):
        return left, instant(report, place, right)
    if bases == ("string", "time") and isinstance(left, Const):
        return instant(report, place, left), right
    return None


def in_minor(report: Report, place: Place, number: Meaning) -> Meaning:
    """Return a number of major units in minor ones: a constant exactly, the rest by a product."""
    if not isinstance(number, Const):
        return Arithmetic(MONEY, "*", number, Const(INT, MINOR_UNITS))
    minor = Decimal(repr(number.value)) * MINOR_UNITS
    if minor != minor.to_integral_value():
        message = f"{number.value} has more than two digits after the point"
        return report.tell(place, "E232", message, f"write {number.value:.2f}")
    return Const(MONEY, int(minor))


def instant(report: Report, place: Place, text: Const) -> Meaning:
    """Return the instant that a text says; one that says none is told."""
    try:
        return Const(TIME, parse_iso(text.value))
    except ValueError:
        hint = 'write "2026-01-31" or "2026-01-31T09:00:00+08:00"'
        return report.tell(place, "E211", f'"{text.value[:40]}" is no time', hint)


def cel_duration_ms(text: str) -> int | None:
    """Return a length of time as CEL writes it, in ms; None for what is none.

    >>> cel_duration_ms("1h30m"), cel_duration_ms("-1.5s"), cel_duration_ms("7d")
    (5400000, -1500, None)
    """
    if not _CEL_DURATION.fullmatch(text):
        return None
    parts = _CEL_PART.findall(text)
    total = sum(Decimal(number) * _CEL_UNITS_NS[unit] for number, unit in parts)
    return int(total / 1_000_000) * (-1 if text[0] == "-" else 1)


def unquoted(text: Meaning, number: Meaning) -> str:
    """Return the hint for a number that was written in quotes, else ''."""
    if not isinstance(text, Const) or text.type != STRING:
        return ""
    try:
        float(text.value)
    except ValueError:
        return ""
    numeric = number.type.base in ("money", "int", "double")
    return f"write {text.value.strip()[:40]} without quotes" if numeric else ""


def check_choice(report: Report, place: Place, field: Meaning, word: Meaning) -> None:
    """Tell a constant that is in no case what the field can be."""
    choices = report.scope.sets.get(field.type.choices or "")
    if not choices or not isinstance(word, Const) or not isinstance(word.value, str):
        return
    if word.value not in choices:
        message = f'"{word.value[:60]}" is not one of {field.type.choices}'
        near = did_you_mean(word.value, choices)
        report.tell(place, "E213", message, near or "one of " + ", ".join(choices[:12]))


def check_range(report: Report, place: Place, field: Meaning, number: Meaning) -> None:
    """Tell a constant that the field can neither reach nor pass."""
    if not isinstance(field, Read) or not isinstance(number, Const) or report.scope.is_published:
        return
    known = {"profile": report.scope.profile, "feature": report.scope.features}
    between = getattr(known.get(field.source, {}).get(field.name), "between", None)
    if between is None or between[0] <= number.value <= between[1]:
        return
    least, most = between
    message = f"{number.value:g} is outside of {least:g} to {most:g}"
    is_percent = most == 1.0 and 1.0 < number.value <= 100.0
    report.tell(place, "E214", message, f"write {number.value / 100:g}" if is_percent else "")


def arithmetic(report: Report, node: Infix, left: Meaning, right: Meaning) -> Meaning:
    """Return the meaning of `left op right` for `+ - * / %`."""
    operator = node.operator
    kind = _result(operator, left.type.base, right.type.base)
    if kind is None:
        verb = {"+": "added", "-": "subtracted", "*": "multiplied", "/": "divided"}
        message = f"{say(left.type)} and {say(right.type)} cannot be {verb.get(operator, 'split')}"
        return report.tell(node, "E211", message)
    if kind == MONEY and operator in "+-":
        pair = unified(report, node, left, right)
        assert pair is not None, "_result allows only money and numbers here"
        left, right = pair
        if WRONG in (left.type, right.type):
            return MISTAKEN
    return Arithmetic(kind, operator, left, right)


def _result(operator: str, left: str, right: str) -> FieldType | None:
    """Return the type of `left op right` by their bases, None where it has no meaning."""
    pair = (left, right)
    numbers = left in _NUMBERS, right in _NUMBERS
    if all(numbers):
        if operator == "%":
            return INT if pair == ("int", "int") else None
        return INT if pair == ("int", "int") else DOUBLE
    if operator in "+-":
        if pair == ("money", "money") or ("money" in pair and any(numbers)):
            return MONEY
        if pair == ("duration", "duration") or (pair == ("time", "time") and operator == "-"):
            return DURATION
        if pair == ("time", "duration") or (pair == ("duration", "time") and operator == "+"):
            return TIME
        return STRING if pair == ("string", "string") and operator == "+" else None
    if operator == "*":
        return MONEY if "money" in pair and any(numbers) else None
    if operator == "/":
        if pair in (("money", "money"), ("duration", "duration")):
            return DOUBLE
        return MONEY if left == "money" and numbers[1] else None
    return None


def negative(report: Report, place: Place, operand: Meaning) -> Meaning:
    """Return the meaning of `-x`."""
    if operand.type == WRONG:
        return MISTAKEN
    if operand.type.base not in ("int", "double", "money", "duration"):
        return report.tell(place, "E211", f"{say(operand.type)} has no negative")
    if isinstance(operand, Const):
        return Const(operand.type, -operand.value)
    return Arithmetic(FieldType(operand.type.base), "-", Const(operand.type, 0), operand)


def aggregated_event(report: Report, node: Call) -> str | None:
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
    kinds = AGGREGATES[name]
    windows = [each for each in node.arguments[1:] if _is_window(each)]
    column: Meaning | None = None
    where: Meaning | None = None
    percent = _percent(report, name, node)
    if percent is None:
        return MISTAKEN
    for argument in node.arguments[1:]:
        if _is_window(argument) or (name == "percentile" and _is_percent(argument)):
            continue
        if kinds is not None and column is None and _may_be_field(name, argument):
            column = _column(report, name, argument, kinds, column_of)
        elif where is None:
            where = condition_of(argument)
        else:
            return report.tell(argument, "E222", f"{name}() has one condition; join two by &&")
    if kinds is not None and column is None and name not in _NEEDS_NO_FIELD:
        message = f"{name}() needs the field that it looks at"
        return report.tell(node, "E222", message, f'write {name}("{event}", it.value, 30d)')
    if MISTAKEN in (column, where):
        return MISTAKEN
    assert column is None or isinstance(column, Read)
    found = _window(report, name, node, windows)
    if found is None:
        return MISTAKEN
    window_ms, period, over_ms = found
    days = bool(period) or (window_ms is not None and not window_ms % DAY_MS)
    tallied = bool(report.scope.thing) and name in TALLIED and where is None and days
    if tallied and period in ("", "this_year") and (window_ms or DAYS_MAX + 1) > DAYS_MAX * DAY_MS:
        return report.tell(node, "E225", f"a thing remembers {DAYS_MAX} days", "write 30d or less")
    heads = [each for part in (column, where) if part is not None for each in walk(part)]
    named = any(isinstance(each, Read) and each.name == CUSTOMER for each in heads)
    if report.scope.thing and named and not (tallied and name == "distinct"):
        hint = f'write distinct("{event}", it.{CUSTOMER}, 7d)'
        return report.tell(node, "E225", "customers are only counted, over whole days", hint)
    kind, text = _aggregated(name, column), report.written(node)
    return Aggregate(
        kind, name, event, window_ms, column, where, text, period, over_ms, tallied, percent
    )


def _percent(report: Report, name: str, node: Call) -> int | None:
    """Return which percentile is meant, 0 of another function; None if told."""
    if name != "percentile":
        return 50 if name == "median" else 0
    found = [n.value for n in node.arguments if isinstance(n, Literal) and n.kind == "int"]
    if len(found) == 1 and 1 <= found[0] <= 99:
        return int(found[0])
    hint = 'write percentile("call.answered", it.wait_s, 7d, 90)'
    report.tell(node, "E222", "percentile() needs which one, from 1 to 99", hint)
    return None


def _is_percent(argument: Node) -> bool:
    return isinstance(argument, Literal) and argument.kind == "int"


def _is_window(argument: Node) -> bool:
    if isinstance(argument, Literal):
        return argument.kind == "duration"
    return isinstance(argument, Path) and argument.parts[0].text in PERIODS


def _may_be_field(name: str, argument: Node) -> bool:
    return name not in _NEEDS_NO_FIELD or isinstance(argument, Path)


def _window(
    report: Report, name: str, node: Call, windows: list[Node]
) -> tuple[int | None, str, int] | None:
    """Return (length in ms, calendar period, what a rate is held against); None if told."""
    wanted = 2 if name == "rate" else 1
    lengths = [each.value for each in windows if isinstance(each, Literal)]
    if name == "rate":
        if len(windows) == len(lengths) == wanted and 0 < lengths[0] < lengths[1]:
            return lengths[0], "", lengths[1]
        hint = 'write rate("order.placed", 7d, 28d)'
        report.tell(node, "E222", "rate() needs a short window and a longer one", hint)
        return None
    if len(windows) > wanted or any(length <= 0 for length in lengths):
        report.tell(windows[-1], "E222", f"{name}() needs one window, longer than 0")
        return None
    period = windows[0].parts[0].text if windows and isinstance(windows[0], Path) else ""
    return (lengths[0] if lengths else None), period, 0


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


def _aggregated(name: str, column: Read | None) -> FieldType:
    if name == "rate":
        return DOUBLE
    if column is None or name == "distinct":
        return DURATION if name == "age" else INT
    if name in ("avg", "median", "percentile"):
        return MONEY if column.type.base == "money" else DOUBLE
    return FieldType(column.type.base, column.type.choices)
