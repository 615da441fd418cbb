"""Where the mistakes of one expression are told, and the words in which types are named."""

from typing import Protocol

from engine.rules.expression.meaning import Const
from engine.rules.expression.types import WRONG, FieldType, Problem, Scope

MISTAKEN = Const(WRONG, None)  # the meaning of a part whose mistake has been told
_SAY = {
    "money": "an amount of money",
    "string": "text",
    "int": "a number",
    "double": "a number",
    "bool": "true or false",
    "time": "a time",
    "duration": "a length of time",
    "list": "a list",
    "null": "null",
}


class Place(Protocol):
    """Anything with a start and an end in the text."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class Report:
    """The problems of one text, and what it may name."""

    def __init__(self, scope: Scope, text: str, problems: list[Problem]) -> None:
        self.scope = scope
        self.text = text
        self.problems = problems
        self.inside_aggregate = False

    def tell(self, place: Place, code: str, message: str, hint: str = "") -> Const:
        """Note a problem, and return what stands for the meaning of its place."""
        length = max(place.end - place.start, 1)
        self.problems.append(Problem(place.start, length, code, message, hint))
        return MISTAKEN

    def written(self, place: Place) -> str:
        """Return the text of a place in one line."""
        return " ".join(self.text[place.start : place.end].split())


def say(type: FieldType) -> str:
    """Return a type in words that a marketer uses."""
    return _SAY[type.base]
