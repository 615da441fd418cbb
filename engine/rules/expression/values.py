"""What compiled code calls: reads that trust no type, and arithmetic that never raises.

All of it answers None for what is unknown.
"""

import re
from collections.abc import Callable
from math import isfinite
from operator import add, mul, sub, truediv
from typing import Any

from engine.profile.model import Actor
from engine.rules.expression.lex import INT_MAX
from engine.rules.expression.types import MINOR_UNITS

INT_MIN = -INT_MAX - 1
EMPTY: dict[str, Any] = {}
_INT = re.compile(r"-?\d{1,19}")
_EXACT = 1e15  # whole floats below it are written without a point
# What the fast code may meet when a value is not of its declared type: then the careful code runs.
CAUGHT = (TypeError, KeyError, AttributeError, ValueError, ArithmeticError)


def trait(actor: Actor, name: str) -> Any:
    """Return the value of a trait."""
    found = actor.traits.get(name)
    return None if found is None else found.value


def number(value: Any) -> Any:
    """Return an int64 or a finite float as it is; a bool is no number."""
    if type(value) is int:
        return value if INT_MIN <= value <= INT_MAX else None
    return value if type(value) is float and isfinite(value) else None


def text(value: Any) -> Any:
    """Return a text as it is."""
    return value if type(value) is str else None


def truth(value: Any) -> Any:
    """Return a bool as it is."""
    return value if type(value) is bool else None


def listed(value: Any) -> Any:
    """Return a list as it is."""
    return value if type(value) is list else None


READERS = {
    "money": number,
    "int": number,
    "double": number,
    "time": number,
    "duration": number,
    "string": text,
    "bool": truth,
    "list": listed,
}


def added(left: Any, right: Any) -> Any:
    """Return `left + right`, None where it leaves int64 or is too large for a float."""
    return _tried(add, left, right)


def subtracted(left: Any, right: Any) -> Any:
    """Return `left - right`, None where it leaves int64 or is too large for a float."""
    return _tried(sub, left, right)


def multiplied(left: Any, right: Any) -> Any:
    """Return `left * right`, None where it leaves int64 or is too large for a float."""
    return _tried(mul, left, right)


def ratio(left: Any, right: Any) -> Any:
    """Return `left / right` as a float, None by zero."""
    return _tried(truediv, left, right)


def quotient(left: Any, right: Any) -> Any:
    """Return `left / right` of two ints cut towards zero (CEL), None by zero."""
    return _tried(_quotient, left, right)


def remainder(left: Any, right: Any) -> Any:
    """Return what `quotient` leaves, with the sign of `left` (CEL), None by zero."""
    return _tried(_remainder, left, right)


def to_int(value: Any) -> Any:
    """Return a number cut towards zero, the number that a text is, or a time's seconds (CEL)."""
    try:
        found = int(value, 10) if type(value) is str and _INT.fullmatch(value) else int(value - 0)
    except (ArithmeticError, ValueError, TypeError):
        return None
    return number(found)


def to_double(value: Any) -> Any:
    """Return a number, or the one that a text is, as a float."""
    try:
        found = float(value) if type(value) is not bool else None
    except (ArithmeticError, ValueError, TypeError):
        return None
    return None if found is None else number(found)


def to_string(value: Any) -> Any:
    """Return a text, a number or a truth as text: `true`, `2`, `2.5`."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    return value if type(value) is str else None if value is None else str(value)


def major(minor: Any) -> Any:
    """Return money in major units, rounded to whole minor units."""
    rounded = whole(minor)
    return None if rounded is None else _tried(truediv, rounded, MINOR_UNITS)


def whole(value: Any) -> Any:
    """Return a count, a time or a length of time as an int."""
    return None if value is None else _tried(round, value, None)


def _tried(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Return a result; None by zero, or where it is NaN, too large, or no int64."""
    try:
        result = function(left, right)
    except (ArithmeticError, ValueError):
        return None
    if type(result) is int and not INT_MIN <= result <= INT_MAX:
        return None
    return result if result == result else None


def _quotient(left: Any, right: Any) -> int:
    # abs() first: it raises for a text of digits, which int() would take.
    result = int(abs(left)) // int(abs(right))
    return result if (left < 0) == (right < 0) else -result


def _remainder(left: Any, right: Any) -> int:
    return int(left - 0) - int(right) * _quotient(left, right)
