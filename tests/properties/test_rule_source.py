"""libyaml and Python's own parser read every file alike: values, places and mistakes."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ContractError, RulesError
from engine.events import contract
from engine.rules.text import source

TOPICS = [path.read_text() for path in sorted(Path("topics").rglob("*.yaml"))]
FILES = [path.read_text() for path in sorted(Path("rules").rglob("*.yaml"))]
PIECES = [
    *"\n \t:-?,[]{}#&*!|>'\"%@`<=~.0a。：，“é中\r\ufeff\x85\u2028\x07\\",
    *("- ", "? ", ": ", "---\n", "\n\n", "  ", "\r\n", "%YAML 1.1\n", "|-\n", ">+\n", "|2\n"),
    *("|#", "!!str ", "! ", "!x ", "<<: ", "# c", '"\\x', '"\\u4e2d"', "''", "[a: b]", "{a: }"),
    *("{a?b}", "a://x:80/", "\U0001f600", "::", "-\n", "?\n", "{? a : b}", "[? a]", "&a ", "*a"),
]

pytestmark = pytest.mark.skipif(source._QUICK is None, reason="this PyYAML is without libyaml")


def read(text: str) -> object:
    try:
        return source.parse_source("r.yaml", text)
    except RulesError as error:
        return error.problems


def read_slowly(text: str) -> object:
    quick, source._QUICK = source._QUICK, None
    try:
        return read(text)
    finally:
        source._QUICK = quick


def mangled(text: str, random: Random) -> str:
    """Return some lines of a file, with a few pieces put in, taken out and moved."""
    lines = text.split("\n")
    first = random.randrange(len(lines))
    text = "\n".join(lines[first : first + random.randrange(1, 14)])
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        at, other = random.randrange(len(text) + 1), random.randrange(len(text) + 1)
        piece = random.choice((*PIECES, text[other : other + random.randrange(20)]))
        text = text[:at] + piece + text[at + random.choice((0, 0, 0, 1, 3)) :]
    return text


@given(st.randoms(use_true_random=False))
def test_both_parsers_read_what_is_left_of_a_file_alike(random: Random) -> None:
    for _ in range(20):
        text = mangled(random.choice(FILES), random)
        assert read(text) == read_slowly(text), repr(text)


def test_every_shipped_file_is_read_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = [read_slowly(text) for text in FILES]
    monkeypatch.setattr(source, "_slowly", None)
    assert [read(text) for text in FILES] == slow


def loaded(text: str, load: Callable[[str, str], Any]) -> Any:
    try:
        return placed(load(text, "c.yaml"))
    except ContractError as error:
        return str(error)


def placed(value: Any) -> Any:
    """Return a value with the lines of its keys and the types of its scalars."""
    if isinstance(value, contract.Placed):
        return [value.lines, {name: placed(each) for name, each in value.items()}]
    if isinstance(value, list):
        return [placed(each) for each in value]
    return type(value).__name__, repr(value)


@given(st.randoms(use_true_random=False))
def test_both_parsers_load_what_is_left_of_a_contract_alike(random: Random) -> None:
    for _ in range(10):
        text = mangled(random.choice(TOPICS), random)
        assert loaded(text, contract.load_yaml) == loaded(text, contract._slowly), repr(text)


def test_every_contract_is_loaded_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path.read_text() for path in sorted(Path("topics/events").rglob("*.yaml"))]
    slow = [loaded(text, contract._slowly) for text in files]
    monkeypatch.setattr(contract, "_slowly", None)
    assert [loaded(text, contract.load_yaml) for text in files] == slow
