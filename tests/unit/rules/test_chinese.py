"""Every sentence that the checker may say has its Chinese; the list is held to the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.rules
from engine.rules.text.chinese import chinese
from engine.rules.text.problems import Problem, told

ROOT = Path(engine.rules.__file__).parent
SILENT = {"words.py", "sentence.py", "reading.py", "generate.py", "chinese.py", "schema.py"}
SILENT |= {"offers.py"}  # its mistakes are of the house's settings, not of a rule
HAN = re.compile("[\u4e00-\u9fff]")
# Strings that look like sentences and are none: annotations, patterns, reports of tests, places.
NO_SENTENCES = re.compile(
    r".* \| None|\^?\(.*|_result .*|\{\} \{\} at .*|nobody expected .*|expected \{\}.*"
    r"| at \{\}| for \{\}| \(held out\)|suppress: \{\}|event\.segment == .*|dict\[.*|\^.*"
)


def template(node: ast.AST) -> str:
    """Return a text or f-string with {} for its holes, '' for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return ""


def sentences(source: str) -> Iterator[str]:
    """Yield what a module may say: its strings with a space, but docstrings."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in ast.walk(node) if part is not node)
    for node in ast.walk(tree):
        text = template(node)
        if id(node) not in skipped and " " in text and re.search("[a-z]{2}", text):
            yield text


def said() -> list[str]:
    """Return all sentences of the checker."""
    found = {
        text
        for path in ROOT.rglob("*.py")
        if path.name not in SILENT
        for text in sentences(path.read_text(encoding="utf-8"))
    }
    return sorted(text for text in found if not NO_SENTENCES.fullmatch(text))


# Halves of sentences: the code puts a name behind them.
JOINED = {
    "the profile has no": " 'x'",
    "there is no feature": " 'x'",
    "there is no set": " 'x'",
    "there is no shared condition": " 'x'",
    "the customer's local time has no": " 'x'",
    "event '{}' has no field": " 'x'",
    "one of ": "x",
    "it has ": "x",
    "it does: ": "x",
    "these do: ": "x",
}


# A half-width mark beside Chinese; a colon may be YAML's own, in what is to be written.
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff”」）][,;!?()]|[,;!?()][\u4e00-\u9fff“「（]")


def test_what_is_written_in_chinese_has_full_width_marks() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in ROOT.parent.rglob("*.py")}
    said = [(path, template(n)) for path, text in texts.items() for n in ast.walk(ast.parse(text))]
    console = (ROOT.parent / "api" / "static").iterdir()
    said += [(path, path.read_text(encoding="utf-8")) for path in console]
    wrong = [(path.name, text[:60]) for path, text in said if HALF_WIDTH.search(text)]
    assert len(said) > 10_000 and wrong == []


def test_there_is_much_to_say() -> None:
    assert len(said()) > 150


@pytest.mark.parametrize("text", said())
def test_every_sentence_has_its_chinese(text: str) -> None:
    whole = text + JOINED.get(text, "")
    filled = whole if whole.startswith("{at:") else whole.replace("{}", "x")
    assert HAN.search(chinese(filled)), filled


def test_a_hole_that_is_a_word_of_ours_is_told_in_chinese_and_a_name_stays() -> None:
    assert chinese("a number cannot be compared with an amount of money") == "数字不能与金额比较"
    assert chinese("event 'cart.updated' has no field 'valu'") == "事件“cart.updated”没有字段“valu”"
    assert chinese("'x' where ) was expected") == "应为 )，写的是“x”"
    assert chinese("key 'event' stands here twice") == "键“event”重复"
    assert chinese("'' is no name") == "“”不能作为名称"


def test_a_mistake_is_told_in_chinese_with_its_caret() -> None:
    problem = Problem("r.yaml", 1, 4, 5, "R101", "unknown key 'limit'", 'did you mean "limits"?')
    assert told(problem, "一二 limit: 1", "zh").splitlines() == [
        "r.yaml:1:4: 错误 R101: 没有“limit”这个键",
        "     1 | 一二 limit: 1",
        "       |      ^^^^^",
        '       = 您是不是想写 "limits"？',
    ]
