"""Scalars of rule files: lengths of time, shares, limits, times of day; what is wrong with each."""

import re
from functools import lru_cache

from engine.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from engine.profile.sums import added

_UNITS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_LENGTH = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_LIMIT = re.compile(r"(\d+) per (\S+)(?: in group (\S+))?")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
LENGTH_MS_MAX = 3_650 * DAY_MS  # ten years: a longer wait is a slip of the finger
LENGTH_HINT = "write 30s, 30m, 2h, 7d or 1h30m"


_QUOTES = {"“": '"', "”": '"', "「": '"', "」": '"', "‘": "'", "’": "'"}
_MARKS = {"。": ".", "、": ",", "【": "[", "】": "]", "\u3000": " ", **_QUOTES}


def plain_of(character: str) -> str | None:
    """Return the plain character that a full-width one stands for, None if it is none.

    >>> plain_of("，"), plain_of("３"), plain_of("中")
    (',', '3', None)
    """
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    return _MARKS.get(character)


@lru_cache(maxsize=1_000)  # all rules together have few
def length_ms(text: str) -> int | None:
    """Return a length of time in ms, None if the text is none, or is beyond LENGTH_MS_MAX.

    >>> length_ms("1h30m"), length_ms("30 minutes"), length_ms("9999999d")
    (5400000, None, None)
    """
    if not _LENGTH.fullmatch(text):
        return None
    found = added([float(n) * _UNITS[unit] for n, unit in _PART.findall(text)])
    return round(found) if found <= LENGTH_MS_MAX else None


def share(text: str) -> float | None:
    """Return a share of 0 to 1 from `10%` or `0.1`, None if the text is none.

    >>> share("10%"), share("0.25"), share("40")
    (0.1, 0.25, None)
    """
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None


@lru_cache(maxsize=1_000)
def limit(text: str) -> tuple[int, int | None, str] | None:
    """Return (count, span in ms or None for a local day, group) of `3 per day in group promo`.

    >>> limit("1 per 7d"), limit("3 per day in group promo")
    ((1, 604800000, ''), (3, None, 'promo'))
    """
    found = _LIMIT.fullmatch(" ".join(text.split()))
    if not found or int(found[1]) < 1:
        return None
    if found[2] == "day":
        return int(found[1]), None, found[3] or ""
    span = length_ms(found[2])
    return None if not span else (int(found[1]), span, found[3] or "")


def minutes_of_day(text: str) -> int | None:
    """Return minutes since midnight of `09:30`, None if the text is no time of day.

    >>> minutes_of_day("09:30"), minutes_of_day("9.30")
    (570, None)
    """
    found = _CLOCK.fullmatch(text)
    return int(found[1]) * 60 + int(found[2]) if found else None


def plain(text: str, style: str) -> bool | int | float | str | None:
    """Return what a scalar of test data means: quoted is text, the rest JSON's four kinds.

    >>> plain("150.0", ""), plain("150.0", '"'), plain("true", ""), plain("no", "")
    (150.0, '150.0', True, 'no')
    """
    if style:
        return text
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~", ""):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
