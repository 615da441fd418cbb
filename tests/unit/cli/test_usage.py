"""Help and wrong calls in both languages; the Chinese is held to the commands."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.main import main, parser_of
from engine.cli.usage import asked, chinese
from engine.registry import plugins

ROOT = Path(__file__).parents[3]
HAN = re.compile("[\u4e00-\u9fff]")


def sentences(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield all that the help of a parser and of those below it says."""
    yield parser.description or ""
    for action in parser._actions:
        yield action.help or ""
        if isinstance(action, argparse._SubParsersAction):
            yield from (each.help or "" for each in action._choices_actions)
            for below in action.choices.values():
                yield from sentences(below)


SAID = sorted({*sentences(parser_of(plugins("engine.cli")))} - {"", argparse.SUPPRESS})


def test_there_is_much_to_say() -> None:
    assert len(SAID) > 80


@pytest.mark.parametrize("text", SAID)
def test_every_line_of_the_help_has_its_chinese(text: str) -> None:
    found = chinese(text)
    assert HAN.search(found), text
    assert "{" not in found


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ("rules check -h --lang zh", 0, "用法：engine rules check [-h]"),
        ("--lang=zh -h", 0, "检查、测试、发布、跟踪营销规则"),
        # What there is to choose from follows, since Python 3.13.1 without quotes.
        ("rules chek --lang zh", 2, "参数 ACTION：没有 'chek'；可选："),
        ("rules check --lang=zh --x", 2, "engine：错误：不认识的参数：--x"),
        ("rules explain --lang zh", 2, "engine rules explain：错误：缺少参数：rule, IDENTIFIER"),
        ("rules check --topics --lang zh", 2, "参数 --topics：需要一个值"),
        ("rules check nowhere --lang zh", 1, "没有文件夹“nowhere”"),
        ("rules check -h --lang en", 0, "show this help message and exit"),
    ],
)
def test_help_and_wrong_calls_are_in_the_language_that_is_asked_for(
    argv: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(argv.split())
    except SystemExit as ended:
        found = int(str(ended.code))
    shown = capsys.readouterr()
    assert (found, said in shown.out + shown.err) == (code, True), shown


def test_a_terminal_that_knows_no_chinese_has_it_escaped() -> None:
    """As under an 8-bit locale; the command ends as it would elsewhere."""
    command = [sys.executable, "-m", "engine.cli.main", "rules", "check", "--lang", "zh"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u6587\\u4ef6" in done.stdout  # 文件


@pytest.mark.parametrize(
    ("argv", "locale", "lang"),
    [
        ("rules check", "zh_CN.UTF-8", "zh"),
        ("rules check --lang en", "zh_CN.UTF-8", "en"),
        ("rules check", "en_GB.UTF-8", "en"),
        ("rules check --lang", "en_GB.UTF-8", "en"),
        ("rules check --lang=fr", "zh_CN.UTF-8", "zh"),
    ],
)
def test_the_language_of_a_call_is_known_before_it_is_parsed(
    argv: str, locale: str, lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert asked(argv.split()) == lang
