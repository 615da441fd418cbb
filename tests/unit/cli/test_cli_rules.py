"""`engine rules`: what a marketer reads when a file has mistakes, in both languages."""

from pathlib import Path

import orjson
import pytest

from engine.cli.main import main
from tests.turns import ROOT

TOPICS = ["--topics", str(ROOT / "topics")]
RULE = """rule: r
owner: a@shop.example
status: {status}
when: [{{event: cart.updated}}]
do: [{{case: look}}]
limits: [1 per 1d]
"""


@pytest.mark.parametrize(("status", "code"), [("live", 1), ("shadow", 0), ("draft", 0)])
def test_a_live_rule_without_tests_is_an_error_of_its_author(
    status: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RULE.format(status=status), encoding="utf-8")
    assert main(["rules", "check", str(path), "--lang", "en", *TOPICS]) == code
    level = "error" if code else "warning"
    assert f"{path}:1:7: {level} R131: a rule has a test that fires" in capsys.readouterr().out


def test_the_language_is_that_of_the_locale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RULE.format(status="live").replace("cart.", "crat."), encoding="utf-8")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["rules", "check", str(path), *TOPICS]) == 1
    shown = capsys.readouterr()
    assert "错误 E231: 没有事件类型“crat.updated”" in shown.out
    assert "1个文件" in shown.err


def test_a_file_of_another_encoding_is_a_mistake_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = RULE.format(status="draft")
    (tmp_path / "a.yaml").write_bytes(("# 购物车\n" + text).encode("gbk"))
    (tmp_path / "b.yaml").write_text(text.replace("cart.", "crat."), encoding="utf-8")
    assert main(["rules", "check", str(tmp_path), "--lang", "zh", *TOPICS]) == 1
    shown = capsys.readouterr().out
    assert "a.yaml:1:3: 错误 R107: 此文件不是 UTF-8 编码" in shown
    assert "= 请另存为 UTF-8 编码" in shown
    assert "错误 E231" in shown


def test_a_file_is_checked_with_what_the_folder_shares(tmp_path: Path) -> None:
    (tmp_path / "cart").mkdir()
    (tmp_path / "shared.yaml").write_text("conditions: {rich: profile.trade.total > 1.0}\n")
    path = tmp_path / "cart" / "r.yaml"
    path.write_text(RULE.format(status="draft") + "if: conditions.rich\n", encoding="utf-8")
    assert main(["rules", "check", str(path), *TOPICS]) == 0


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "schema", *TOPICS]) == 0
    assert orjson.loads(capsys.readouterr().out)["title"] == "Touchpoint rule"
