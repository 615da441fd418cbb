"""Why a trigger fired, in words that a marketer understands, in English and Chinese."""

from collections.abc import Mapping, Sequence

from engine.rules.model import Rule
from engine.rules.sentence import LANGUAGES

SHOWN_MAX = 6
LENGTH_MAX = 60  # of one value
_ENDS = {"en": (". ", "."), "zh": ("。", "。")}


def reasons(rule: Rule, inputs: Mapping[str, object]) -> dict[str, str]:
    """Return the reason by language: the rule, what happened or did not, and on which values."""
    known = [(name, value) for name, value in inputs.items() if value is not None][:SHOWN_MAX]
    shown = [f"{name} = {value_words(value)}" for name, value in known]
    return {lang: _reason(rule, shown, lang) for lang in LANGUAGES}


def _reason(rule: Rule, shown: list[str], lang: str) -> str:
    stop, end = _ENDS[lang]
    values = value_list(shown, lang)
    sentence = rule.sentence.get(lang, "")
    return f"{rule.title[lang]}{stop}{sentence}{values}{end}" if sentence else rule.title[lang]


def untitled(title: str, reason: str, lang: str) -> str:
    """Return a reason without the title that it begins with and the stop that it ends with.

    >>> untitled("A cart", "A cart. Cart updated (a = 1).", "en")
    'Cart updated (a = 1)'
    """
    stop, end = _ENDS[lang]
    return reason.removeprefix(title).removeprefix(stop).removesuffix(end)


def value_list(shown: Sequence[str], lang: str) -> str:
    """Return `name = value` each behind a sentence, in brackets; '' of none."""
    if not shown:
        return ""
    return f" ({', '.join(shown)})" if lang == "en" else f"（{'，'.join(shown)}）"


def value_words(value: object) -> str:
    """Return a value as rules write it, a long one cut short.

    >>> value_words(0.5), value_words(1234567.89), value_words(True), value_words("gold")
    ('0.5', '1234567.89', 'true', 'gold')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, float):  # :g would tell 12,345.67 as 12345.7, a million as 1e+06
        text = f"{value:.4f}".rstrip("0").removesuffix(".")
    return text if len(text) <= LENGTH_MAX else text[:LENGTH_MAX] + "..."
