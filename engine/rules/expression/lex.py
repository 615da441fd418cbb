"""The text of an expression as tokens; look-alikes of other keyboards are told and read on."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from engine.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from engine.rules.expression.types import Problem

INT_MAX = 2**63 - 1

UNIT_MS = {
    "ms": 1,
    "s": SECOND_MS,
    "m": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
}
_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\n]*)+")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdw]))+(?![A-Za-z0-9_])")
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdw])")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"==|!=|<=|>=|&&|\|\||<>|=>|=<|[-+*/%!<>=&|?:.,()\[\]]")
# What nearly every token is; escapes, comments and other keyboards are left to the rest.
_PLAIN = re.compile(
    r"[\x20\t\r\n]*(?:"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator>==|!=|<=|>=|&&|\|\||<(?![>=])|>(?!=)|[-+*%!?:,()\[\]]|/(?!/)|\.(?!\d))"
    r"|(?P<string>\"[^\"\\\n]*\"|'[^'\\\n]*')"
    r"|(?P<int>[0-9]{1,18})(?![\w.])"
    r"|(?P<double>[0-9]{1,18}\.[0-9]{1,18})(?![\w.])"
    r"|(?P<duration>[0-9]{1,9}(?:ms|[smhdw]))(?!\w)"
    r")"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
_MEANT = {"=": "==", "<>": "!=", "=>": ">=", "=<": "<=", "&": "&&", "|": "||"}
_LOOKALIKE = {
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    "\u3000": " ",
    "\u00a0": " ",
    "。": ".",
    "、": ",",
    "【": "[",
    "】": "]",
    "−": "-",
    "–": "-",
    "×": "*",
    "÷": "/",
}
# What looks like an operator is told whole: ＆＆ is && and not twice an & that is none.
_NO_QUOTES = "".join(wide for wide, plain in _LOOKALIKE.items() if plain not in "\"'")
_WIDE = re.compile(f"[{_NO_QUOTES}]+")
_SIGNS = {"≥": ">=", "≤": "<=", "≠": "!=", "∧": "&&", "∨": "||"}
_CURLY = {"“": '”“"', "”": '”“"', "„": '”“"', "「": "」", "『": "』", "‘": "’‘'", "’": "’‘'"}
_NAME_FOLLOWS = re.compile(r"(?:^|[.!]|&&|\|\||(?<!\w)\()\s*$")  # not where a value is compared
_QUOTE = "write text in double quotes"
_STOPS = " \t\r\n()[],"  # where a word that cannot be read is taken to end


class Token(msgspec.Struct, frozen=True, gc=False):
    """`kind`: int, double, string, duration, name, operator or end; `text`: as it is meant."""

    kind: str
    text: str
    start: int
    end: int
    value: Any = None


def tokens(text: str, problems: list[Problem]) -> list[Token]:
    """Return the tokens of `text`, the last of kind `end`; mistakes go to `problems`."""
    found: list[Token] = []
    place = 0
    while True:
        if matched := _PLAIN.match(text, place):
            kind = matched.lastgroup or ""  # each alternative has one
            start, place = matched.span(kind)
            written = text[start:place]
            worth = _WORTH.get(kind)
            value = None if worth is None else worth(written)
            found.append(Token(kind, written, start, place, value))
            continue
        if space := _SPACE.match(text, place):
            place = space.end()
        if place >= len(text):
            break
        if wide := _WIDE.match(text, place):
            text = _plain(text, wide, problems)
            continue
        token = _token(text, place, problems)
        if token.kind != "unreadable":
            found.append(token)
        place = token.end
    end = len(text.rstrip())
    found.append(Token("end", "", end, end))
    return found


def _length(written: str) -> int:
    """Return the ms of a number with one unit."""
    unit = "ms" if written.endswith("ms") else written[-1]
    return int(written.removesuffix(unit)) * UNIT_MS[unit]


_WORTH: dict[str, Callable[[str], Any]] = {  # kind of token -> its value, None where it has none
    "string": lambda written: written[1:-1],
    "int": int,
    "double": float,
    "duration": _length,
}


def _plain(text: str, wide: re.Match[str], problems: list[Problem]) -> str:
    """Return the text with full-width characters as their plain ones, and tell them."""
    place, odd = wide.start(), wide.group()
    last = problems[-1] if problems else None
    if last is not None and last.code == "E115" and last.offset + last.length == place:
        odd = text[last.offset : wide.end()]
        problems.pop()
        place = last.offset
    plain = "".join(_LOOKALIKE.get(each, each) for each in odd)
    what = "a space" if plain.isspace() else plain.strip()
    message = f"{odd!r} is a full-width character"
    problems.append(Problem(place, len(odd), "E115", message, f"write {what}"))
    return text[: wide.start()] + plain[-len(wide.group()) :] + text[wide.end() :]


def _token(text: str, place: int, problems: list[Problem]) -> Token:
    first = text[place]
    if first in "\"'＂＇" or first in _CURLY:
        return _string(text, place, problems)
    if first.isascii() and (first.isdigit() or first == "."):
        number = _number(text, place, problems)
        if number is not None:
            return number
    if word := _WORD.match(text, place):
        return Token("name", word.group(), place, word.end())
    if sign := _SIGNS.get(first):
        problems.append(Problem(place, 1, "E114", f"'{first}' is no operator", f"write {sign}"))
        return Token("operator", sign, place, place + 1)
    if operator := _OPERATOR.match(text, place):
        return _operator(operator.group(), place, problems)
    return _unreadable(text, place, problems)


def _operator(written: str, place: int, problems: list[Problem]) -> Token:
    meant = _MEANT.get(written, written)
    if meant != written:
        hint = f"write {meant}"
        problems.append(Problem(place, len(written), "E114", f"'{written}' is no operator", hint))
    return Token("operator", meant, place, place + len(written))


def _number(text: str, place: int, problems: list[Problem]) -> Token | None:
    if length := _DURATION.match(text, place):
        written = length.group()
        value = sum(int(n) * UNIT_MS[unit] for n, unit in _DURATION_PART.findall(written))
        if value > INT_MAX:
            problems.append(Problem(place, len(written), "E117", f"{written} is too long a time"))
        return Token("duration", written, place, length.end(), value)
    number = _NUMBER.match(text, place)
    if number is None:
        return None
    written, end = number.group(), number.end()
    if rest := _WORD.match(text, end):
        end = rest.end()
        message = f"'{text[place:end]}' is neither a number nor a length of time"
        hint = "write 30s, 30m, 2h, 7d or 1h30m"
        problems.append(Problem(place, end - place, "E116", message, hint))
        return Token("duration", text[place:end], place, end, 1)
    if written.isdigit() or written[:2] in ("0x", "0X"):
        value = int(written, 0) if not written.isdigit() else _decimal(written)
        if value > INT_MAX:
            problems.append(
                Problem(place, end - place, "E117", f"{written[:24]} is above {INT_MAX}")
            )
        return Token("int", written, place, end, min(value, INT_MAX))
    real = float(written)
    if real in (float("inf"),):
        problems.append(Problem(place, end - place, "E117", f"{written[:24]} is too large"))
        real = 0.0
    return Token("double", written, place, end, real)


def _decimal(written: str) -> int:
    """Return a row of digits as int; one too long to be an int64 is not even converted."""
    digits = written.lstrip("0") or "0"
    return int(digits) if len(digits) <= 19 else INT_MAX + 1


def _string(text: str, place: int, problems: list[Problem]) -> Token:
    opening = text[place]
    closing = _CURLY.get(opening, opening)
    if opening not in "\"'":
        problems.append(Problem(place, 1, "E115", f"{opening} is not a quotation mark", 'write "'))
    parts: list[str] = []
    at = place + 1
    while at < len(text) and text[at] not in closing and text[at] != "\n":
        if text[at] == "\\":
            part, at = _escape(text, at, problems)
            parts.append(part)
        else:
            parts.append(text[at])
            at += 1
    if at >= len(text) or text[at] == "\n":
        message = "the text in quotes does not end"
        problems.append(Problem(place, at - place, "E112", message, f"end it with {closing[-1]}"))
        return Token("string", text[place:at], place, at, "".join(parts))
    if opening in "\"'" and text[at] != opening:
        problems.append(Problem(at, 1, "E115", f"{text[at]} is not a quotation mark", 'write "'))
    return Token("string", text[place : at + 1], place, at + 1, "".join(parts))


def _escape(text: str, at: int, problems: list[Problem]) -> tuple[str, int]:
    after = text[at + 1 : at + 2]
    if after in ("u", "x"):
        width = 4 if after == "u" else 2
        digits = text[at + 2 : at + 2 + width]
        if len(digits) == width and all(each in "0123456789abcdefABCDEF" for each in digits):
            point = int(digits, 16)
            if not 0xD800 <= point < 0xE000:
                return chr(point), at + 2 + width
    elif after in _ESCAPES:
        return _ESCAPES[after], at + 2
    problems.append(
        Problem(at, 2, "E113", f"'{text[at : at + 2]}' is no escape", "write \\\\ for a backslash")
    )
    return after, at + 1 + len(after)


def _unreadable(text: str, place: int, problems: list[Problem]) -> Token:
    if text[place] == "#":
        end = len(text) if (line := text.find("\n", place)) < 0 else line
        problems.append(Problem(place, 1, "E110", "'#' is no expression", "write // before a note"))
        return Token("unreadable", "", place, end)
    end = place + 1
    while end < len(text) and text[end] not in _STOPS and not text[end].isascii():
        end += 1
    written = text[place:end]
    hint = ""
    if written.isalpha():
        is_name = _NAME_FOLLOWS.search(text, 0, place)
        hint = "write a field by its name, such as event.value" if is_name else _QUOTE
    problems.append(Problem(place, end - place, "E110", f"'{written}' is no expression", hint))
    # Text of another script stands where a value was meant: read on as if it had its quotes.
    kind = "string" if written.isalpha() else "unreadable"
    return Token(kind, written, place, end, written)
