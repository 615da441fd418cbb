"""Types of event fields, and the one function per event type that checks and scales them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clock import YEAR_2100_MS, parse_iso
from engine.errors import ContractError

BASES = ("money", "string", "int", "double", "bool", "time", "list")
INT_MAX = 2**53  # exact in a float64 column, and in every client's JSON
STRING_LENGTH_MAX = 4_096
MINOR_DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "KWD": 3, "BHD": 3, "TND": 3}
DEFAULT_CURRENCY = "CNY"


@dataclass(frozen=True, slots=True)
class FieldType:
    """`base` of BASES; `choices`: name of the set it must be in, or None; `optional`: may lack."""

    base: str
    choices: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `aliases`: what other specs call it; `identifier`: the type it names a person by."""

    name: str
    type: FieldType
    personal: bool = False
    identifier: str | None = None
    aliases: tuple[str, ...] = ()
    unit: str = ""


def parse_type(text: str) -> FieldType | None:
    """Return the type that a text such as `optional string in tiers` means, None if none.

    >>> parse_type("optional string in tiers")
    FieldType(base='string', choices='tiers', optional=True)
    """
    words = text.split()
    optional = bool(words) and words[0] == "optional"
    if optional:
        words = words[1:]
    match words:
        case [base] if base in BASES:
            return FieldType(base, None, optional)
        case ["string", "in", choices]:
            return FieldType("string", choices, optional)
    return None


def minor_units(value: Any, currency: str) -> int:
    """Return an amount in major units as int minor units of its currency (ISO 4217).

    >>> minor_units(42.5, "CNY"), minor_units(500, "JPY")
    (4250, 500)
    """
    scale = 10 ** MINOR_DIGITS.get(currency, 2)
    return round(value * scale)


def checker_of(
    fields: Mapping[str, Field], sets: Mapping[str, tuple[str, ...]]
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that checks data against fields; what is not declared passes as it is."""
    names = {alias: spec.name for spec in fields.values() for alias in spec.aliases}
    required = [spec.name for spec in fields.values() if not spec.type.optional]
    allowed = {
        spec.name: frozenset(sets.get(spec.type.choices, ()))
        for spec in fields.values()
        if spec.type.choices
    }
    has_money = any(spec.type.base == "money" for spec in fields.values())

    def check(data: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in data.items():
            canonical = name
            if name not in fields and name in names and names[name] not in data:
                canonical = names[name]
            if value is not None:
                found[canonical] = value
        if has_money:
            found["currency"] = _currency(found)
        for name, value in found.items():
            spec = fields.get(name)
            if spec is not None:
                found[name] = _typed(spec, value, found)
                if name in allowed and found[name] not in allowed[name]:
                    near = ", ".join(sorted(allowed[name])[:6])
                    raise ContractError(
                        f"$.{name}: {value!r} is not in {spec.type.choices} ({near})",
                        code="contract/set",
                    )
        for name in required:
            if name not in found:
                raise ContractError(
                    f"$.{name}: missing; want {fields[name].type.base}", code="contract/missing"
                )
        return found

    return check


def _currency(found: Mapping[str, Any]) -> str:
    text = found.get("currency", DEFAULT_CURRENCY)
    if not isinstance(text, str) or len(text) != 3 or not text.isalpha() or not text.isascii():
        raise ContractError(
            f"$.currency: want three letters of ISO 4217, got {text!r}", code="contract/type"
        )
    return text.upper()


def _typed(spec: Field, value: Any, found: Mapping[str, Any]) -> Any:
    base = spec.type.base
    if base == "string":
        if isinstance(value, str) and len(value) <= STRING_LENGTH_MAX:
            return value
        if type(value) is int:
            return str(value)
    elif base == "money":
        if type(value) in (int, float) and abs(value) < INT_MAX / 1000:
            return minor_units(value, found["currency"])
    elif base == "int":
        if type(value) is int and abs(value) < INT_MAX:
            return value
        if type(value) is float and value.is_integer() and abs(value) < INT_MAX:
            return int(value)
    elif base == "double":
        if type(value) in (int, float) and abs(value) < 1e300:
            return float(value)
    elif base == "bool":
        if isinstance(value, bool):
            return value
    elif base == "time":
        return _instant(spec, value)
    elif base == "list" and isinstance(value, list):
        return value
    raise ContractError(
        f"$.{spec.name}: want {_WANTED[base]}, got {_got(value)}", code="contract/type"
    )


_WANTED = {
    "string": "string",
    "money": "number in major units, such as 42.5",
    "int": "whole number",
    "double": "number",
    "bool": "true or false",
    "list": "list",
    "time": "ISO 8601, such as 2026-01-02T03:04:05Z",
}


def _instant(spec: Field, value: Any) -> int:
    if type(value) is int and 0 <= value < YEAR_2100_MS:
        return value
    if isinstance(value, str):
        try:
            return parse_iso(value)
        except ValueError:
            pass
    raise ContractError(
        f"$.{spec.name}: want {_WANTED['time']}, got {_got(value)}", code="contract/type"
    )


def _got(value: Any) -> str:
    kind = {str: "string", int: "number", float: "number", bool: "bool", dict: "object"}
    shown = repr(value)
    return f"{kind.get(type(value), type(value).__name__)} {shown[:40]}"
