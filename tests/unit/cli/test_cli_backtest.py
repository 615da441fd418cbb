"""`engine backtest` over files: dumps, mapped files, one rule among the live ones, costs."""

import gzip
import json
from argparse import Namespace
from pathlib import Path
from random import Random

import msgspec
import pytest
from rich.console import Console

from engine.adapters.files import read_contracts
from engine.cli import publishing
from engine.cli.backtest import instant, proposed
from engine.cli.bars import show
from engine.cli.difference import refused_today
from engine.cli.main import main
from engine.cli.mistakes import mistaken
from engine.config import Settings
from engine.errors import ConfigError, RulesError
from engine.events.contract import Contracts, parse_contracts
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.text.problems import Problem, report
from tests.simulation.test_backtest import HEAD, KEEN, LEFT, story
from tests.turns import ROOT


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dump, live rules, and a draft beside them."""
    monkeypatch.chdir(ROOT)
    events = story(Random(5), now=1_700_000_000_000)
    lines = [msgspec.json.encode(event) for event in events]
    lines.insert(3, b'{"now":1700000000000,"passed":1700000000000}')
    (tmp_path / "log.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "log.ndjson.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "left.yaml").write_text(LEFT + HEAD.format(status="live"))
    (tmp_path / "live" / "offers.yaml").write_text("offers: {cart-10-off: 10.0}\n")
    (tmp_path / "keen.yaml").write_text(KEEN + HEAD.format(status="draft"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    """Run the command; return its JSON."""
    assert main(["backtest", "--json", *map(str, arguments)]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_dump_is_read_packed_or_not(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        run(capsys, "--rules", here / "live", "--events", here / name)
        for name in ("log.ndjson", "log.ndjson.gz")
    ]
    for each in found:
        each.pop("events_per_s")
    assert found[0] == found[1]
    assert found[0]["events"] == 160, "the tick among them is no event"
    assert found[0]["decisions"] > 0  # type: ignore[operator]
    assert found[0]["cost"]["offers_at_most"] == found[0]["decisions"] * 10  # type: ignore[index,operator]


def test_one_file_takes_its_place_among_the_live_rules_and_acts_though_it_is_a_draft(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(
        capsys, "--rules", here / "keen.yaml", "--live", here / "live",
        "--events", here / "log.ndjson",
    )  # fmt: skip
    rules = {rule["rule"]: rule for rule in found["rules"]}  # type: ignore[attr-defined]
    assert rules.keys() == {"keen", "left"}
    assert rules["keen"]["beats"] == {"left": rules["left"]["lost_to"]["keen"]}
    assert found["diff"]["more"]["keen"]["count"] == rules["keen"]["decisions"]  # type: ignore[index]


def test_a_mapped_file_is_the_one_of_replay(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n % 3} 1997010{n} 1 200.00\n" for n in range(1, 9))
    (here / "sales.txt").write_text("header\n" + rows)
    rule = "rule: bought\nwhen: [{event: order.placed}]\ndo: [{case: look}]\n"
    (here / "live" / "left.yaml").write_text(rule + HEAD.format(status="live"))
    found = run(
        capsys, "--rules", here / "live", "--events", here / "sales.txt",
        "--mapping", "topics/mappings/cdnow.yaml", "--since", "1997-01-04T00:00:00-05:00",
    )  # fmt: skip
    assert (found["events"], found["customers"], found["decisions"]) == (8, 3, 5)


def test_what_never_came_true_says_for_want_of_what(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = "rule: gold\nwhen: [{event: cart.updated, where: 'profile.tier in [\"gold\"]'}]\n"
    text = rule + "do: [{case: a}]\n" + HEAD.format(status="live")
    (here / "live" / "gold.yaml").write_text(text)
    found = run(capsys, "--rules", here / "live", "--events", here / "log.ndjson")
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    show(found, console, lang="en")
    text = " ".join(console.export_text().split())
    carts = (here / "log.ndjson").read_text().count("cart.updated")
    assert f"gold (something missing {carts})" in text and "…" not in text, text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_says_all_of_it(
    here: Path, capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    found = run(
        capsys, "--rules", here / "keen.yaml", "--live", here / "live",
        "--events", here / "log.ndjson",
    )  # fmt: skip
    console = Console(width=160, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    show(found, console, lang=lang)
    text = console.export_text()
    for rule in found["rules"]:  # type: ignore[attr-defined]
        assert f"{rule['decisions']:,}" in text and rule["rule"] in text
    assert "█" in text and "+" in text
    assert ("would act" in text) == (lang == "en")


@pytest.mark.parametrize(
    "wrong", [b'{"id":"cut of', b"no JSON", b'\xff\xfe"ids":', b'{"ids":[],"at":"noon"}', b"[1]"]
)
def test_a_line_that_is_no_event_is_told_with_its_place_and_the_others_count(
    here: Path, capsys: pytest.CaptureFixture[str], wrong: bytes
) -> None:
    lines = (here / "log.ndjson").read_bytes().splitlines()
    broken = [b"\xef\xbb\xbf" + lines[0], b"", *lines[1:80], wrong, *lines[80:]]
    (here / "broken.ndjson").write_bytes(b"\r\n".join(broken))
    wanted, found = (
        run(capsys, "--rules", here / "live", "--live", here / "live", "--events", here / name)
        for name in ("log.ndjson", "broken.ndjson")
    )
    passed = found.pop("passed_over")
    assert passed["count"] == 1 and len(passed["first"]) == 1, "once, though two sets look at it"  # type: ignore[index]
    assert f"{here}/broken.ndjson:82: no event: " in passed["first"][0]  # type: ignore[index]
    assert wanted.pop("passed_over") == {"count": 0, "first": []}
    assert found.pop("events_per_s") and wanted.pop("events_per_s")
    assert found == wanted


def test_a_row_that_the_mapping_cannot_read_is_told_and_the_others_count(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{n % 3} 1997010{n} 1 200.00" for n in range(1, 9)]
    rows[4], rows[5] = "1 noon 1 200.00", "1 19970106 1 dear"
    (here / "sales.txt").write_text("\n".join(["header", *rows]))
    found = run(
        capsys, "--rules", here / "live", "--events", here / "sales.txt",
        "--mapping", "topics/mappings/cdnow.yaml",
    )  # fmt: skip
    passed: dict[str, object] = found["passed_over"]  # type: ignore[assignment]
    assert (found["events"], passed["count"]) == (6, 2)
    assert f"{here}/sales.txt: row 5: " in passed["first"][0]  # type: ignore[index]
    assert "dear" in passed["first"][1]  # type: ignore[index]


def torn(path: Path, lines: list[bytes], how: str) -> None:
    """Write lines of which all but the last few can be read."""
    packed = bytearray(gzip.compress(b"\n".join([*lines[:120], b""])))
    more = gzip.compress(b"\n".join(lines[120:]))
    if how == "cut":
        packed += more[: len(more) // 2]
    elif how == "other bytes":
        packed += more[:60] + bytes(200)
    elif how == "checksum":
        packed[-8:-4] = b"sums"
    path.write_bytes(packed)


@pytest.mark.parametrize("how", ["cut", "other bytes", "checksum"])
def test_of_a_torn_gzip_what_can_be_read_counts_and_the_place_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    lines = (here / "log.ndjson").read_bytes().splitlines()
    torn(here / "torn.gz", lines, how)
    found = run(capsys, "--rules", here / "live", "--events", here / "torn.gz", "--lang", "zh")
    (told,) = found["passed_over"]["first"]  # type: ignore[index]
    place, _, reason = told.partition(": ")
    number = int(place.removeprefix(f"{here}/torn.gz:"))
    assert reason.startswith("从此处起无法读取：") and number > 120
    # The same as of a file that ends there; a tick is the fourth line.
    (here / "short.ndjson").write_bytes(b"\n".join(lines[: number - 1]))
    short = run(capsys, "--rules", here / "live", "--events", here / "short.ndjson")
    assert found["events"] == number - 2
    for each in (found, short):
        del each["passed_over"], each["events_per_s"]
    assert found == short


@pytest.mark.parametrize("form", ["csv", "ndjson", "whitespace"])
def test_of_a_mapped_file_that_is_torn_what_can_be_read_counts(
    here: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    row = {"csv": "u{0},199701{1:02},2.0\n", "whitespace": "u{0} 199701{1:02} 2.0\n"}.get(
        form, '{{"who": "u{0}", "day": "199701{1:02}", "amount": 2.0}}\n'
    )
    rows = [row.format(n % 3, n + 1) for n in range(20)]
    text = "".join([*(["who,day,amount\n"] if form == "csv" else []), *rows])
    (here / "sales").write_bytes(gzip.compress(text.encode())[:-8])
    columns = "[who, day, amount]" if form == "whitespace" else "[]"
    (here / "map.yaml").write_text(
        f"format: {form}\ncolumns: {columns}\ntype: order.placed\n"
        'time: {field: day, format: "%Y%m%d", zone: Asia/Shanghai}\n'
        'ids: {user_id: who}\ndata: {value: amount, currency: "=CNY"}\n'
    )
    arguments = ("--rules", here / "live", "--mapping", here / "map.yaml", "--events")
    found = run(capsys, *arguments, here / "sales")
    line = 22 if form == "csv" else 21
    assert (found["events"], found["passed_over"]["count"]) == (20, 1)  # type: ignore[index]
    assert f"sales:{line}: from here on" in found["passed_over"]["first"][0]  # type: ignore[index]
    if form != "csv":  # a line of the same file that is none is told, and the others count
        wrong = {"ndjson": "no JSON", "whitespace": "1 values, the mapping names 3"}[form]
        (here / "sales").write_text("".join([*rows[:4], "odd\n", *rows[4:]]))
        found = run(capsys, *arguments, here / "sales")
        assert (found["events"], found["passed_over"]["count"]) == (20, 1)  # type: ignore[index]
        assert f"sales:5: {wrong}" in found["passed_over"]["first"][0]  # type: ignore[index]
    (here / "sales").write_bytes("".join([*rows, "u王,19970109,2.0"]).encode("gb18030"))
    assert main(["replay", str(here / "sales"), "--mapping", str(here / "map.yaml")]) == 1
    assert "sales:1: from here on it cannot be read: it is no UTF-8" in capsys.readouterr().err


def test_who_publishes_is_told_what_of_the_history_was_passed_over(here: Path) -> None:
    lines = (here / "log.ndjson").read_bytes().splitlines()
    (here / "odd.ndjson").write_bytes(b"\n".join([*lines, *[b"no event"] * 5, lines[0]]))
    arguments = Namespace(
        path=here / "live", events=str(here / "odd.ndjson"), mapping=None, lang="zh", json=True
    )
    checks = publishing._tried(arguments, Settings(), None)["backtest"]
    assert (checks["passed_over"]["count"], checks["duplicates"]) == (5, 1)
    first = checks["passed_over"]["first"]
    assert len(first) == 3 and first[0].startswith(f"{here}/odd.ndjson:162: 不是事件："), first


def test_what_counts_for_nothing_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (here / "log.ndjson").read_bytes().splitlines()
    odd = [line.replace(b"order.placed", b"order.palced") for line in lines]
    (here / "odd.ndjson").write_bytes(b"\n".join([*odd, *odd[:10]]))
    found = run(capsys, "--rules", here / "live", "--events", here / "odd.ndjson")
    orders = sum(b"order.placed" in line for line in lines)
    again = sum(b"order.placed" in line for line in lines[:10])
    assert found["without_contract"] == {"order.palced": orders + again}
    assert found["duplicates"] == 9, "the tick among them is no event"
    for lang, *words in (
        ("en", "9 events came twice", "No contract knows order.palced (", "... and 1 more"),
        ("zh", "9 个事件重复", "没有契约的事件类型：order.palced", "另有 1 行"),
    ):
        console = Console(width=160, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
        show({**found, "passed_over": {"count": 21, "first": ["a:1: b"] * 20}}, console, lang=lang)
        text = console.export_text()
        assert all(each in text for each in (*words, "a:1: b")), text


def test_mistakes_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.ndjson").write_text('{"ids":[],"id":1}\n')
    (here / "empty.ndjson").write_text("")
    packed = bytearray((here / "log.ndjson.gz").read_bytes())
    packed[40:44] = b"torn"
    (here / "torn.gz").write_bytes(packed)
    for arguments, words in (
        (["--events", here / "nothing.ndjson"], "cannot read it"),
        (["--events", here / "bad.ndjson"], "no line of it is an event: "),
        (["--events", here / "bad.ndjson"], "bad.ndjson:1: no event"),
        (["--events", here / "empty.ndjson"], "no line of it is an event: it is empty"),
        (["--events", here / "torn.gz"], "torn.gz:1: from here on it cannot be read: "),
        (["--events", here / "log.ndjson", "--rule", "kene"], "no rule kene"),
        (
            ["--events", here / "log.ndjson", "--since", "1d", "--until", "2d"],
            "nothing lies between",
        ),
        (["--events", here / "log.ndjson", "--decisions", here / "no/where"], "no folder `"),
        (["--events", here / "log.ndjson", "--since", "yesterday"], "`yesterday` is no time"),
    ):
        assert main(["backtest", "--rules", str(here / "live"), *map(str, arguments)]) == 1
        assert words in capsys.readouterr().err


def test_a_time_is_a_day_an_instant_or_a_length_of_time() -> None:
    assert instant("") == 0
    assert instant("1970-01-02") == 86_400_000
    assert instant("1970-01-02T08:00:00+08:00") == 86_400_000
    assert instant("1d") - instant("2d") == pytest.approx(86_400_000, abs=5_000)
    with pytest.raises(ConfigError):
        instant("soon")


def gone(here: Path) -> tuple[RuleSet, Contracts]:
    """Return live rules whose contract had a field more than that of today, and that of today."""
    texts = read_contracts(ROOT / "topics")
    path = next(name for name in texts if name.endswith("cart.updated.yaml"))
    had = texts[path].replace("\nfields:", "\nfields:\n  points: optional int", 1)
    rule = "rule: points\nwhen: [{event: cart.updated, where: event.points > 9}]\ndo: [{case: a}]\n"
    files = {"points.yaml": rule + HEAD.format(status="live"), "shared.yaml": "cases: {a: {}}\n"}
    then = parse_contracts({**texts, path: had})
    return compile_rules(files, then, version="v1"), parse_contracts(texts)


def test_live_rules_are_as_they_went_live_whatever_the_contracts_say_today(here: Path) -> None:
    live, today = gone(here)
    assert proposed(here / "live", today, live)[1] == [], "a folder stands for itself"
    texts, names = proposed(here / "keen.yaml", today, live)
    assert names == ["keen"] and texts["points.yaml"] == live.files.texts["points.yaml"]
    with pytest.raises(RulesError) as caught:
        compile_rules(texts, today, version="new")
    assert mistaken(caught.value, "en") == 1, "it shows the line, though no such file is here"
    found = [each for each in caught.value.problems if isinstance(each, Problem)]
    assert "event.points > 9" in report(found, dict(caught.value.texts))


def test_what_of_old_rules_does_not_fit_the_contracts_of_today_is_told(here: Path) -> None:
    live, _ = gone(here)
    (told,) = refused_today(live.files.texts, str(ROOT / "topics"), "en")
    assert "event 'cart.updated' has no field 'points'" in told and "event.points > 9" in told
    rest = {path: text for path, text in live.files.texts.items() if path != "points.yaml"}
    assert refused_today(rest, str(ROOT / "topics"), "en") == []
    assert refused_today(live.files.texts, str(here / "nowhere"), "en") == []


def test_a_file_has_one_name_from_wherever_it_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, today = gone(here)
    (here / "shared.yaml").write_text(live.files.texts["shared.yaml"])
    monkeypatch.chdir(here)
    names = [
        sorted(proposed(path, today, live)[0]) for path in (Path("keen.yaml"), here / "keen.yaml")
    ]
    assert names == [["keen.yaml", "points.yaml", "shared.yaml"]] * 2
    monkeypatch.chdir("live")
    assert sorted(proposed(Path("../keen.yaml"), today, live)[0])[1:] == [
        "../shared.yaml",
        "points.yaml",
    ]
