"""Types of event fields, and the one function per event type that checks and scales them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clock import YEAR_1970_MS, YEAR_2100_MS, parse_iso
from engine.errors import ContractError
from engine.events.ids import ID_NUMBER_LENGTH, is_id_number

BASES = ("money", "string", "int", "double", "bool", "time", "list")
INT_MAX = 2**53  # exact in a float64 column, and in every client's JSON
DOUBLE_MAX = 1e300
MONEY_MAX = 1e12  # major units; with four digits behind the point still below INT_MAX
STRING_LENGTH_MAX = 4_096  # of a field that a contract declares
EXTRA_LENGTH_MAX = 1_024  # of a field that it does not
NAME_LENGTH_MAX = 128
LIST_COUNT_MAX = 100
MASK = "***"
DEFAULT_CURRENCY = "CNY"
# ISO 4217, list one: currencies whose minor unit is not a hundredth.
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
MINOR_DIGITS = dict.fromkeys(_WHOLE.split(), 0) | dict.fromkeys(_THOUSANDTHS.split(), 3)
_SCALES: dict[str, int] = {currency: 10**digits for currency, digits in MINOR_DIGITS.items()}
_CURRENCIES = frozenset(("CNY", "USD", "EUR", "GBP", "HKD", *MINOR_DIGITS))  # the usual ones
_WANTED = {
    "string": "string",
    "money": "number in major units, such as 42.5",
    "int": "whole number",
    "double": "number",
    "bool": "true or false",
    "list": f"list of at most {LIST_COUNT_MAX} texts or numbers",
    "time": "instant of 1970 to 2100, such as 2026-01-02T03:04:05Z",
}
_KINDS = {str: "string", int: "number", float: "number", dict: "object", type(None): "null"}
_NONE = object()
Check = Callable[[Mapping[str, Any], str], dict[str, Any]]
Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class FieldType:
    """`base` of BASES; `choices`: name of the set it must be in, or None; `optional`: may lack."""

    base: str
    choices: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event.

    `personal`: never leaves a person's own state. `identifier`: the type it names a person by.
    `aliases`: what other specs call it. `unit`: of a number, in words. `least`, `most`: bounds of
    a number as sent (money in major units), both inside; None is no bound.
    """

    name: str
    type: FieldType
    personal: bool = False
    identifier: str | None = None
    aliases: tuple[str, ...] = ()
    unit: str = ""
    least: float | None = None
    most: float | None = None


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


def minor_units(value: float, currency: str) -> int:
    """Return an amount in major units as int minor units of its currency (ISO 4217).

    >>> minor_units(42.5, "CNY"), minor_units(500, "JPY"), minor_units(1.5, "KWD")
    (4250, 500, 1500)
    """
    return round(value * _SCALES.get(currency, 100))


def extra(value: Any) -> bool:
    """Tell whether a value that no contract declares is kept: a scalar of ordinary size."""
    if isinstance(value, str):
        size = len(value)
        return size < ID_NUMBER_LENGTH or (size <= EXTRA_LENGTH_MAX and not is_id_number(value))
    if isinstance(value, int):
        return -INT_MAX < value < INT_MAX
    return isinstance(value, float) and -DOUBLE_MAX < value < DOUBLE_MAX  # False for NaN too


def extras(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of data without a contract."""
    return {
        name: value for name, value in data.items() if extra(value) and len(name) <= NAME_LENGTH_MAX
    }


def checker_of(
    fields: Mapping[str, Field], sets: Mapping[str, tuple[str, ...]], open_sets: Collection[str]
) -> Check:
    """Return the function (data, currency) -> checked data, compiled once for an event type.

    It gives canonical names, types and minor units; `currency` counts where the data names none.
    Of fields that are not declared it keeps `extra` ones; None is the same as missing.
    """
    readers: dict[str, tuple[str, Read | None]] = {}
    for spec in fields.values():
        read = None if spec.type.base == "money" else _reader(spec, sets, open_sets)
        readers[spec.name] = (spec.name, read)
    required = [name for name, spec in fields.items() if not spec.type.optional]
    for spec in fields.values():
        for alias in spec.aliases:
            readers.setdefault(alias, readers[spec.name])
    has_money = any(spec.type.base == "money" for spec in fields.values())
    get = readers.get

    def check(data: Mapping[str, Any], currency: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        scale = 1
        if has_money:
            said = data.get("currency")
            if said is not None:
                usual = type(said) is str and said in _CURRENCIES
                currency = said if usual else _currency(said)
            found["currency"] = currency
            scale = _SCALES.get(currency, 100)
        for name, value in data.items():
            if value is None:
                continue
            known = get(name)
            if known is None:
                if name not in found and extra(value) and len(name) <= NAME_LENGTH_MAX:
                    found[name] = value
                continue
            canonical, read = known
            # The canonical name wins over an alias, and the first alias over the next.
            if name != canonical and (canonical in found or data.get(canonical) is not None):
                continue
            if read is _text and type(value) is str and len(value) < ID_NUMBER_LENGTH:
                found[canonical] = value  # nearly every text: a call of `_text` costs as much again
            elif read is None:
                found[canonical] = _money(fields[canonical], value, scale, name)
            elif (typed := read(value)) is not _NONE:
                found[canonical] = typed
            else:
                raise _wrong(fields[canonical], value, name, sets)
        for name in required:
            if name not in found:
                raise ContractError(
                    f"$.{name}: missing; want {_WANTED[fields[name].type.base]}",
                    code="contract/missing",
                )
        return found

    return check


def _reader(spec: Field, sets: Mapping[str, tuple[str, ...]], open_sets: Collection[str]) -> Read:
    """Return the function from a value as sent to the typed one, or to _NONE if it is wrong."""
    choices = spec.type.choices
    if choices is not None and choices not in open_sets:
        allowed = frozenset(sets.get(choices, ()))
        return lambda value: value if type(value) is str and value in allowed else _NONE
    read = _READ[spec.type.base]
    if read is _string and spec.identifier is None:
        return _text
    if spec.least is None and spec.most is None:
        return read
    least = -DOUBLE_MAX if spec.least is None else spec.least
    most = DOUBLE_MAX if spec.most is None else spec.most

    def bounded(value: Any) -> Any:
        typed = read(value)
        return typed if typed is not _NONE and least <= typed <= most else _NONE

    return bounded


def _string(value: Any) -> Any:
    if type(value) is str:
        return value if len(value) <= STRING_LENGTH_MAX else _NONE
    # Numbers that are names (an order's, a ticket's) come as JSON numbers from some systems.
    return str(value) if type(value) is int and -INT_MAX < value < INT_MAX else _NONE


def _text(value: Any) -> Any:
    """Read a string that is no identifier; an ID number in it is not kept in clear."""
    text = _string(value)
    return MASK if type(text) is str and is_id_number(text) else text


def _int(value: Any) -> Any:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and -INT_MAX < value < INT_MAX else _NONE


def _double(value: Any) -> Any:
    if type(value) is float or type(value) is int:
        return float(value) if -DOUBLE_MAX < value < DOUBLE_MAX else _NONE
    return _NONE


def _bool(value: Any) -> Any:
    return value if type(value) is bool else _NONE


def _list(value: Any) -> Any:
    if type(value) is not list or len(value) > LIST_COUNT_MAX:
        return _NONE
    return value if all(extra(item) for item in value) else _NONE


def _time(value: Any) -> Any:
    if type(value) is str and len(value) <= 64:
        try:
            value = parse_iso(value)
        except (ValueError, OverflowError):
            return _NONE
    return value if type(value) is int and YEAR_1970_MS <= value < YEAR_2100_MS else _NONE


_READ: dict[str, Read] = {
    "string": _string,
    "int": _int,
    "double": _double,
    "bool": _bool,
    "list": _list,
    "time": _time,
}


def _currency(value: Any) -> str:
    if type(value) is str and len(value) == 3 and value.isascii() and value.isalpha():
        return value.upper()
    raise ContractError(
        f"$.currency: want three letters of ISO 4217, got {got(value)}", code="contract/type"
    )


def _money(spec: Field, value: Any, scale: int, name: str) -> int:
    if not (type(value) is float or type(value) is int) or not -MONEY_MAX < value < MONEY_MAX:
        raise ContractError(
            f"$.{name}: want {_WANTED['money']}, got {got(value)}", code="contract/type"
        )
    if (spec.least is not None or spec.most is not None) and _outside(spec, value):
        raise _out_of_range(spec, value, name)
    return round(value * scale)


def _wrong(
    spec: Field, value: Any, name: str, sets: Mapping[str, tuple[str, ...]]
) -> ContractError:
    """Return the error that says what is wrong: the set, the range or the type."""
    choices = spec.type.choices
    if choices is not None and type(value) is str and len(value) <= STRING_LENGTH_MAX:
        members = sets.get(choices, ())
        some = ", ".join(members[:8]) + (", ..." if len(members) > 8 else "")
        return ContractError(
            f"$.{name}: {value[:40]!r} is not in {choices} ({some})", code="contract/set"
        )
    if type(value) in (int, float) and _outside(spec, value):
        return _out_of_range(spec, value, name)
    return ContractError(
        f"$.{name}: want {_WANTED[spec.type.base]}, got {got(value)}", code="contract/type"
    )


def _outside(spec: Field, value: float) -> bool:
    return (spec.least is not None and value < spec.least) or (
        spec.most is not None and value > spec.most
    )


def _out_of_range(spec: Field, value: float, name: str) -> ContractError:
    least = "" if spec.least is None else f"at least {spec.least:g}"
    most = "" if spec.most is None else f"at most {spec.most:g}"
    bounds = " and ".join(part for part in (least, most) if part)
    return ContractError(f"$.{name}: want {bounds}, got {_shown(value)}", code="contract/range")


def got(value: Any) -> str:
    """Return a wrong value's kind and its beginning, for messages."""
    return f"{_KINDS.get(type(value), type(value).__name__)} {_shown(value)}".rstrip()


def _shown(value: Any) -> str:
    if type(value) is int and not -INT_MAX < value < INT_MAX:
        return "beyond 2^53"  # Python refuses to write out an int of thousands of digits.
    return f"{value!r:.40}" if type(value) in (str, int, float, bool) else ""
