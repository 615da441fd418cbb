"""What a marketer reads of `publish`, `diff`, `history`, `list`: whole in one language."""

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from engine.api.refusals import chinese
from engine.cli import bars, published, reading
from tests.turns import ROOT

HOLES = re.compile(r"\{[a-z_]+[^}']*\}")
HAN = re.compile("[\u4e00-\u9fff]")
NAMES = "keen left new q li wang topic v1 v2-ab v3-cd live@ CNY UTC engine rules approve catch-up"
NAMES += " as path status retired where count web.page_viewed REDIS_URL wait thanks rules/new.yaml"
NAMES += " log q.x"
CHECKS = {
    "rules": 5, "tests": 6,
    "backtest": {
        "over": "topic", "events": 300, "decisions": 111, "held_out": 1, "currency": "CNY",
        "cost": {"messages": 1.5, "offers_at_most": 20.0}, "more": {"new": 92},
        "fewer": {"keen": 9},
        "followed": [{"rule": "keen", "event": "web.page_viewed", "times": 3, "within_ms": 600_000,
                      "events": 90, "share": 0.3}],
        "duplicates": 9, "without_contract": {"q.x": 2},
        "passed_over": {"count": 5, "first": ["log:7: q"] * 3},
    },
}  # fmt: skip
DIFF = {
    "added": ["new"], "removed": ["q"], "changed": ["keen"], "scope": ["left"],
    "status": [{"rule": "q", "from": "shadow", "to": "live"}], "unchanged": ["left"],
}  # fmt: skip
SAME: dict[str, list[str]] = {name: [] for name in DIFF}
AT = "2026-03-01T08:30:00.000Z"
DONE = {
    "number": 2, "version": "v2-ab", "previous": "v1", "author": "li", "at": AT, "asked": 2,
    "unasked": "", "why": "thanks",
}  # fmt: skip
RELEASE = {**DONE, "kind": "publish", "approver": "wang", "begin_with_the_next_event": ["q"]}
PROPOSED = {"version": "v2-ab", "author": "li", "checks": CHECKS, "diff": DIFF, "live": False,
            "others": [{"version": "v3-cd", "author": "wang"}]}  # fmt: skip
HISTORY = {
    "live": "v3-cd",
    "releases": [
        {"number": 1, "version": "v1", "kind": "publish", "author": "li", "why": "the first rules",
         "at": "1970-01-01T00:00:00.000Z"},
        {**DONE, "number": 2, "kind": "publish", "approver": "wang"},
        {**DONE, "number": 3, "version": "v3-cd", "kind": "rollback"},
    ],
    "waiting": [{"version": "v2-ab", "author": "li", "at": AT, "why": "thanks"}],
}  # fmt: skip
LONG = "+" + " left" * 100
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("publish", PROPOSED, "Back-test over topic: 300 events", "回测（topic）：300 个"),
    ("publish", PROPOSED, '`where: count("web.page_viewed", 10m) >= 3` and a', "占全部事件的 30%"),
    ("publish", PROPOSED, "5 lines or rows are no events", "有 5 行不是事件，已略过：\n  log:7"),
    ("publish", PROPOSED, "  log:7: q\n  ... and 2 more\n", "  ……另有 2 行\n"),
    ("publish", PROPOSED, "9 events came twice", "没有契约的事件类型：q.x (2)"),
    ("publish", PROPOSED, "These wait too: v3-cd (wang).", "其中一个生效后，其余须重新提交。"),
    ("publish", PROPOSED, "Another status: q (shadow -> live).", "状态变化：q (影子 -> 生效)。"),
    ("publish", {**PROPOSED, "live": True, "asked": 0, "unasked": "--wait 0",
                 "checks": {**CHECKS, "backtest": "none"}}, "was not back-tested", "未做回测。"),
    ("approve", RELEASE, "asked for by li, let in by wang; before", "li 提交，wang 批准；"),
    ("approve", RELEASE, "of 2 partitions have it ready.", "2 个分区的工作进程已准备好。"),
    ("approve", {**RELEASE, "asked": 0, "unasked": "REDIS_URL"}, "not asked", "未询问工作进程"),
    ("rollback", {**DONE, "kind": "rollback"}, "is live again: li went back", "v2-ab 重新生效"),
    ("rollback", {**DONE, "kind": "rollback", "unfit": ["rules/new.yaml"]},
     "so these may never come true:\nrules/new.yaml", "可能永远不会触发：\nrules/new.yaml"),
    ("retire", {**DONE, "kind": "retire", "file": "rules/new.yaml", "file_changed": False},
     "write `status: retired` into it yourself", "请自行写入 status: retired"),
    ("catch-up", {"looked_at": 1234}, "1,234 people were looked at.", "已查看 1,234 位客户。"),
    ("diff", {"live": "v1", "diff": SAME, "text": ""}, "Nothing would change.", "没有任何变化。"),
    ("diff", {"live": "", "diff": DIFF, "text": ""}, "Live: nothing.", "生效中：无。"),
    ("diff", {"live": "v1", "diff": DIFF, "text": ""}, "As before: 0.", "不变：0 条规则。"),
    ("diff", {"live": "v1", "diff": DIFF, "text": LONG}, LONG, LONG),  # for `patch`, too
    ("history", HISTORY, "3  2026-03-01 08:30  went back  v3-cd", "3  2026-03-01 08:30  回滚"),
    ("history", HISTORY, "the first rules", "最初的规则"),
]  # fmt: skip


def shown(action: str, found: dict[str, Any], lang: str) -> str:
    """Return what is printed."""
    out = io.StringIO()
    published.show(action, found, Console(file=out, width=300), lang=lang)
    return out.getvalue()


@pytest.mark.parametrize(("action", "found", "en", "zh"), CASES)
def test_an_order_is_told_in_sentences_of_one_language(
    action: str, found: dict[str, Any], en: str, zh: str
) -> None:
    english, text = shown(action, found, "en"), shown(action, found, "zh")
    assert en in english and not HAN.search(english), english
    assert zh in text, text
    left = set(re.findall(r"[A-Za-z][A-Za-z0-9_@/.-]*[A-Za-z0-9]", text)) - set(NAMES.split())
    assert not left, f"{left} in {text}"


def test_both_languages_have_the_same_sentences_with_the_same_holes() -> None:
    every: tuple[dict[str, dict[str, Any]], ...] = (published.WORDS, reading.WORDS)
    for words in every:
        assert words["en"].keys() == words["zh"].keys()
        for name, en in words["en"].items():
            zh = words["zh"][name]
            assert sorted(HOLES.findall(str(en))) == sorted(HOLES.findall(str(zh))), name
            assert isinstance(en, str) or len(en) == len(zh), name


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_columns_stand_under_their_names_where_characters_are_two_wide(lang: str) -> None:
    lines = shown("history", HISTORY, lang).splitlines()
    words: dict[str, dict[str, Any]] = published.WORDS
    column = words[lang]["releases"][3]
    place = cell_len(lines[0][: lines[0].index(column)])
    for line, version in zip(lines[1:4], ("v1", "v2-ab", "v3-cd"), strict=True):
        assert cell_len(line[: line.index(version)]) == place


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("width", [40, 80])
def test_names_are_not_broken_at_the_end_of_a_line(lang: str, width: int) -> None:
    """With 、 between them a terminal broke `promise-about-to-break` in the midst of a word."""
    names = [f"a-rule-of-some-{'n' * n}-length" for n in range(1, 15)]
    out = io.StringIO()
    found = {**RELEASE, "begin_with_the_next_event": names}
    published.show("approve", found, Console(file=out, width=width), lang=lang)
    lines = out.getvalue().splitlines()
    assert all(any(name in line for line in lines) for name in names), lines
    assert max(map(cell_len, lines)) <= width
    assert bars.folded("一二三，四五六七八九", 8) == "一二三，\n四五六七八九", (
        "left to the terminal"
    )


ROWS = [
    {
        "rule": "keen", "status": "shadow", "fired": 1_234_567, "held_out": 120_000, "goals": 3,
        "goals_held_out": 9_000, "effect": {"share": 0.1, "low": 0.05, "high": 0.15},
        "stopped": {"limit": 4, "expired": 5},
    },
    {
        "rule": "a-rule-with-a-long-name-that-nobody-could-copy-if-it-were-broken-in-two-or-cut",
        "status": "live", "fired": 0, "held_out": 0, "goals": 0, "goals_held_out": 0,
        "effect": None, "stopped": {},
    },
    {
        "rule": "q", "status": "live", "fired": 5, "held_out": 0, "goals": 0, "goals_held_out": 0,
        "effect": None, "stopped": {"no_channel": 123_456, "suppressed": 99_999, "scope": 77_777},
    },
]  # fmt: skip


def listed(lang: str, width: int) -> list[str]:
    """Return the lines of `engine rules list`."""
    out = io.StringIO()
    found = {"version": "v1", "others": 2, "rules": ROWS}
    reading._show(found, Console(file=out, width=width), lang)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_list_of_rules_is_in_chinese() -> None:
    title, _, keen, name, *rest = listed("zh", 160)
    assert title == "规则集 v1。 还有 2 个分区在用其他版本。"
    assert keen.split()[:3] == ["keen", "影子", "1,234,567"]
    assert keen.endswith("  效果 +10.0%（+5.0% 至 +15.0%）  未触发：频次上限 4，已过时效 5")
    assert name == ROWS[1]["rule"]
    assert set(re.findall("[A-Za-z]{2,}", " ".join([keen, *rest]))) == {"keen"}


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_list_of_rules_fits_a_terminal_of_80_columns(lang: str) -> None:
    lines = listed(lang, 80)
    assert max(map(cell_len, lines)) <= 80, lines
    assert ROWS[1]["rule"] in lines, "whole, on a line of its own"
    rows = [line for line in lines[1:] if line.endswith((" -", "%)", lines[1][-4:]))]
    widths = {cell_len(line) for line in rows}
    assert len(rows) == 4
    assert len(widths) == 1, "numbers end under each other, also where characters are two wide"
    told = " ".join(" ".join(line.split()) for line in lines if line.startswith("    "))
    assert "123,456" in told and "77,777" in told and "+15.0%" in told, lines


MODULES = (
    *("cli/publishing.py", "cli/reading.py", "cli/backtest.py", "adapters/files.py"),
    *(str(p.relative_to(ROOT / "engine")) for p in (ROOT / "engine/runtime/rulesets").glob("*.py")),
    *("runtime/past/explain.py", "runtime/past/backtest.py", "runtime/past/mapped.py"),
    *(
        "adapters/rows.py",
        "adapters/kafka/topics.py",
        "runtime/orders/staff.py",
        "runtime/lookup.py",
    ),
    *(str(p.relative_to(ROOT / "engine")) for p in (ROOT / "engine/api").glob("*.py")),
)
# What says why, by the place of the words among what it is called with.
PLACES = {"EngineError": 0, "ConfigError": 0, "MappingError": 0, "StoreError": 0, "LogError": 0}
PLACES |= {"Refused": 2, "BadBody": 2, "_refused": 1}


def refusals(path: Path) -> Iterator[str]:
    """Yield what the errors of a module say, with x in their holes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if (place := PLACES.get(node.func.id, 9)) < len(node.args):
            said = node.args[place]
            if isinstance(said, ast.Constant):
                yield str(said.value)
            elif isinstance(said, ast.JoinedStr):
                parts = (str(v.value) if isinstance(v, ast.Constant) else "x" for v in said.values)
                yield "".join(parts)


@pytest.mark.parametrize("module", MODULES)
def test_every_refusal_has_its_chinese(module: str) -> None:
    for said in refusals(ROOT / "engine" / module):
        assert HAN.search(chinese(said)), said


def test_there_is_something_to_refuse() -> None:
    assert sum(len(list(refusals(ROOT / "engine" / module))) for module in MODULES) > 20
