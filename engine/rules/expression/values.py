"""What compiled code calls: reads that trust no type, and arithmetic that never raises.

All of it answers None for what is unknown.
"""

from math import fmod
from typing import Any

from engine.profile.model import Actor

EMPTY: dict[str, Any] = {}
# What the fast code may meet when a value is not of its declared type: then the careful code runs.
CAUGHT = (TypeError, KeyError, AttributeError, ValueError, ArithmeticError)


def trait(actor: Actor, name: str) -> Any:
    """Return the value of a trait."""
    found = actor.traits.get(name)
    return None if found is None else found.value


def number(value: Any) -> Any:
    """Return an int or a float as it is; a bool is none, nor is NaN."""
    return value if type(value) in (int, float) and value == value else None


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
    """Return `left + right`, None where it is no number."""
    try:
        return _told(left + right)
    except OverflowError:
        return None


def subtracted(left: Any, right: Any) -> Any:
    """Return `left - right`, None where it is no number."""
    try:
        return _told(left - right)
    except OverflowError:
        return None


def multiplied(left: Any, right: Any) -> Any:
    """Return `left * right`, None where it is no number."""
    try:
        return _told(left * right)
    except OverflowError:
        return None


def _told(value: Any) -> Any:
    return value if value == value else None


def ratio(left: Any, right: Any) -> Any:
    """Return `left / right` as a float, None by zero."""
    try:
        return left / right if right else None
    except OverflowError:
        return None


def quotient(left: Any, right: Any) -> Any:
    """Return `left / right` of two ints cut towards zero (CEL), None by zero."""
    if not right:
        return None
    left, right = int(left), int(right)
    result = abs(left) // abs(right)
    return result if (left < 0) == (right < 0) else -result


def remainder(left: Any, right: Any) -> Any:
    """Return what `quotient` leaves, with the sign of `left` (CEL), None by zero."""
    if not right:
        return None
    if max(abs(left), abs(right)) < 2**53:
        return int(fmod(left, right))
    return int(left) - int(right) * quotient(left, right)


def major(minor: Any) -> Any:
    """Return money in major units, rounded to whole minor units."""
    return None if minor is None else round(minor) / 100


def whole(value: Any) -> Any:
    """Return a count, a time or a length of time as an int."""
    return None if value is None else int(value)
