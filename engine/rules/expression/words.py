"""A condition in plain words, for the reason of a trigger: English and Chinese."""

from engine.rules.expression.meaning import Meaning
from engine.rules.expression.types import Scope


def told(meaning: Meaning, lang: str, scope: Scope) -> str:
    """Return the condition in words of `lang`."""
    return str(meaning)
