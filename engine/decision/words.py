"""Why a trigger fired, in words that a marketer understands, in English and Chinese."""

from collections.abc import Mapping

from engine.rules.model import Rule
from engine.rules.sentence import LANGUAGES

SHOWN_MAX = 6
LENGTH_MAX = 60  # of one value
_ENDS = {"en": (". ", ".", ", "), "zh": ("。", "。", ",")}


def reasons(rule: Rule, inputs: Mapping[str, object]) -> dict[str, str]:
    """Return the reason by language: the rule, what happened or did not, and on which values."""
    known = [(name, value) for name, value in inputs.items() if value is not None][:SHOWN_MAX]
    shown = [f"{name} = {_value(value)}" for name, value in known]
    return {lang: _reason(rule, shown, lang) for lang in LANGUAGES}


def _reason(rule: Rule, shown: list[str], lang: str) -> str:
    stop, end, comma = _ENDS[lang]
    values = f" ({comma.join(shown)})" if shown else ""
    sentence = rule.sentence.get(lang, "")
    return f"{rule.title[lang]}{stop}{sentence}{values}{end}" if sentence else rule.title[lang]


def untitled(title: str, reason: str, lang: str) -> str:
    """Return a reason without the title that it begins with and the stop that it ends with.

    >>> untitled("A cart", "A cart. Cart updated (a = 1).", "en")
    'Cart updated (a = 1)'
    """
    stop, end, _ = _ENDS[lang]
    return reason.removeprefix(title).removeprefix(stop).removesuffix(end)


def _value(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LENGTH_MAX else text[:LENGTH_MAX] + "..."
