"""Short cuts of the compiler say what the long way says: plain tokens, the size of code."""

import re
from random import Random

import pytest

from engine.rules.expression import lex
from engine.rules.expression.compile import _steps_most, compile_condition
from engine.rules.expression.generate import Writer
from engine.rules.expression.types import Problem
from tests.properties.expressions import Maker
from tests.properties.worlds import SCOPE

MARKS = [
    *"<>=!&|+-*/%?:.,()[]\"'\\ \t\n0159aegmxEX_#，３“”≥é中",
    *("//", "0x1", "1e5", "1h30m", "<>", "\\n", "9" * 19, ".5", "1.", "１2"),
]


def tokens(text: str) -> tuple[object, ...]:
    problems: list[Problem] = []
    return text, lex.tokens(text, problems), problems


def test_plain_tokens_are_what_the_careful_reading_makes_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = Random(6)
    maker = Maker(random, for_cel=False)
    texts = []
    for _ in range(3_000):
        text = maker.condition(1).text
        for _ in range(random.randrange(4)):
            at = random.randrange(len(text) + 1)
            text = text[:at] + random.choice(MARKS) + text[at + random.randrange(3) :]
        texts.append(text)
    quick = [tokens(text) for text in texts]
    monkeypatch.setattr(lex, "_PLAIN", re.compile("(?!)"))
    for found in quick:
        assert found == tokens(str(found[0]))


def test_code_takes_no_more_steps_than_are_foreseen() -> None:
    maker = Maker(Random(5), for_cel=False)
    for _ in range(400):
        meaning = compile_condition(maker.condition(3).text, SCOPE, trigger="x").meaning
        for truth in (True, False):
            for form in ("fast", "careful"):
                writer = Writer(form)
                writer.says(meaning, truth)
                assert writer.steps <= _steps_most(meaning), meaning
