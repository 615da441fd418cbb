"""CEL's language definition, section by section: each expression says what Google's CEL says.

What we do otherwise on purpose is listed with its reason, here and in docs/cel.md; a deviation
that is none any more fails too.
"""

from pathlib import Path
from typing import Any

import pytest

from engine.profile.model import Actor
from engine.rules.expression.compile import compile_value
from engine.rules.expression.types import (
    BOOL,
    DOUBLE,
    INT,
    LIST,
    STRING,
    ExpressionErrors,
    FieldType,
    Scope,
)

cel = pytest.importorskip("cel_expr_python.cel")
EVENT = {
    "i": 7, "j": -3, "zero": 0, "big": 2**62, "least": -(2**63), "d": 2.5, "e": -0.5,
    "s": "tea 茶", "t": "a", "b": True, "c": False, "l": ["a", "tea"],
}  # fmt: skip
FIELDS = {
    **dict.fromkeys(("i", "j", "zero", "big", "least", "gone"), INT),
    **dict.fromkeys(("d", "e"), DOUBLE),
    **dict.fromkeys(("s", "t"), STRING),
    **dict.fromkeys(("b", "c", "off"), BOOL),
    "u": FieldType("string", optional=True),
    "l": LIST,
}
SCOPE = Scope(events={"x": FIELDS}, profile={}, features={}, sets={}, aggregates=lambda _: None)

SECTIONS = {
    "literals": """
        0 | 7 | -7 | 9223372036854775807 | 1.5 | -1.5 | .5 + 1.0 | 1e3 | 1.5e-2 | true | false
        "" | "a" | 'a' | "it's" | 'say "x"' | "茶" | "a\\nb" | "tab\\t" | "back\\\\slash" | "q\\"q"
    """,
    "fields and presence": """
        event.i | event.s | event.b | event.gone | event.u | has(event.i) | has(event.u)
        has(event.gone) | !has(event.u) | has(event.u) && event.u == "x" | event.l == ["a", "tea"]
    """,
    "logic, also where a side is an error": """
        true && true | true && false | true || false | !true | !event.c | event.b && event.c
        event.off && false | false && event.off | event.off || true | true || event.off
        event.off && true | event.off || false | !event.off | event.gone > 1 || event.b
        event.gone > 1 && event.c | (event.i / event.zero == 1) || event.b
        (event.i / event.zero == 1) && event.c | event.off == event.b | event.off != event.b
    """,
    "equality": """
        1 == 1 | 1 == 2 | 1 != 2 | [1, "a"] == [1] | event.i == 7.0 | event.d == 2
        "a" == "a" | "a" == "b"
        true == true | true != false | event.i == event.gone | event.gone != 1 | event.d == 2.5
        [1, 2] == [1, 2] | [1, 3, 2] == [1, 2, 3] | [1] != [2] | event.t == "a" | "a" != event.s
    """,
    "order": """
        1 < 2 | 2 <= 2 | 3 > 4 | 4 >= 4 | event.i < 7.5 | 2.5 >= event.d | "a" < "b" | "B" < "a"
        "a" < "ab" | "茶" > "z" | event.i > event.j | event.j <= -3 | event.gone < 1
        event.big > 4611686018427387903 | event.j < 0.0 | event.least < event.big
    """,
    "arithmetic": """
        1 + 2 | 1 - 2 | 3 * 4 | event.i + event.j | event.i - event.j * 2 | (1 + 2) * 3
        1 + 2 * 3 | 10 - 3 - 2 | 2.5 + 1.0 | event.d * 2.0 | event.d - event.e | -event.i
        --5 | -(-5) | "a" + "b" | event.s + event.t | "" + "" | 2.5 / 0.5 | 7.0 / 2.0
    """,
    "division and remainder": """
        7 / 2 | -7 / 2 | 7 / -2 | -7 / -2 | 7 % 2 | -7 % 2 | 7 % -2 | -7 % -2 | 0 / 5
        event.i / event.j | event.i % event.j | 7 / event.zero | 7 % event.zero
    """,
    "int64 overflow is an error": """
        event.big + event.big | event.big * 2 | event.big * event.i | event.least - 1
        event.least + event.least | 0 - event.least | event.big + event.big - event.big
        9223372036854775807 + 1 | event.big - 1 + event.big | event.big + event.big > 0
        event.least | event.least == event.least | event.big * 2 > 0 || true | -event.least
    """,
    "condition": """
        true ? 1 : 2 | false ? 1 : 2 | event.b ? "a" : "b" | event.off ? 1 : 2
        event.c ? 1 : event.i | event.b ? event.i : event.gone
        event.i > 5 ? (event.j > 0 ? 1 : 2) : 3
        event.c ? 7 / event.zero : 1 | event.b ? 7 / event.zero : 1
    """,
    "lists and membership": """
        1 in [1, 2] | 3 in [1, 2] | event.i in [7.0, 1.5] | "a" in ["a"]
        "a" in event.l | "b" in event.l
        event.t in event.l | event.i in [7] | event.gone in [7] | 7 in [event.gone, 7]
        !(1 in [1]) | event.u in ["x"] | size([]) | size([1, 2]) | size(event.l)
    """,
    "text": """
        size("") | size("茶") | size(event.s) | "tea".size() | event.s.startsWith("tea")
        event.s.endsWith("茶") | event.s.contains("a 茶") | event.s.contains("") | "".contains("a")
        event.s.startsWith("") | event.s.startsWith("tea 茶 more") | event.u.startsWith("x")
        event.s.contains("A") | "abc".startsWith("b") | "abc".contains("bc") | "a.c".contains(".")
    """,
    "conversions": """
        int(2.9) | int(-2.9) | int("42") | int("-42") | int("x") | int("") | int("4.5") | int(7)
        int(event.d) | int(1e18) | int(1e19) | int(-1e19) | int("9223372036854775807")
        int("9223372036854775808") | int(event.gone) | double(7) | double("2.5") | double("x")
        double(event.i) / 2.0 | string(7) | string(-7) | string(true) | string("a") | string(2.5)
        string(event.i) + "x" | string(event.gone) | int(string(event.i)) == event.i
        double("1e3") | int(double("7")) | string(event.least) | string(2.0) | string(0.1)
    """,
    "times and lengths of time": """
        timestamp("2026-03-04T10:00:00Z") == timestamp("2026-03-04T18:00:00+08:00")
        timestamp("2026-03-04T10:00:00Z") < timestamp("2026-03-04T10:00:01Z")
        int(timestamp("2026-03-04T10:00:00Z")) | int(timestamp("1970-01-01T00:00:00Z"))
        int(timestamp("1969-12-31T23:59:59Z"))
        timestamp("2026-03-05T10:00:00Z") - timestamp("2026-03-04T10:00:00Z") == duration("24h")
        timestamp("2026-03-04T10:00:00Z") + duration("90m") == timestamp("2026-03-04T11:30:00Z")
        duration("1h30m") == duration("90m") | duration("1s") > duration("999ms")
        duration("60s") + duration("1m") == duration("2m") | duration("-1s") < duration("0s")
        duration("1.5s") == duration("1500ms") | timestamp("2026-03-04T10:00:00Z") - duration("1h")
        < timestamp("2026-03-04T10:00:00Z")
    """,
    "what binds closer": """
        1 + 2 == 3 | 1 + 2 < 4 && true | true || false && false | !true || true | !(true && false)
        1 < 2 == true | -1 + 2 | 2 * 3 % 4 | 8 / 2 * 2 | true ? false : true ? false : true
        1 in [1] == true | "a" + "b" == "ab" | size("ab") + 1 == 3
    """,
}
# Valid CEL that we answer otherwise: expression -> (our answer, None for unknown; why).
DEVIATIONS: dict[str, tuple[Any, str]] = {
    "1.0 / 0.0": (None, "a division by zero is unknown, so no rule fires on it"),
    "event.d / double(event.zero) > 1.0": (None, "a division by zero is unknown"),
}
# What CEL's own checker refuses and we take: numbers of two kinds that are both written out.
WIDER = {"1 == 1.0": True, "1.5 == 1": False, "1 < 1.5": True, "1.0 in [1, 2]": True}
# Valid CEL that is refused when the rule is loaded: expression -> (code, why).
REFUSED: dict[str, tuple[str, str]] = {
    'event.i == "7"': ("E210", "two kinds are never equal: a slip of the pen, told at once"),
    "event.b ? event.i : event.s": ("E210", "both sides are of one kind, so the result has one"),
    "event.t in [1, 2]": ("E210", "what is asked for is of the list's kind"),
    "1u + 2u == 3u": ("", "no unsigned numbers: contracts have none"),
    'b"abc" == b"abc"': ("", "no bytes: contracts have none"),
    '{"a": 1}["a"] == 1': ("", "no maps and no index: fields have names"),
    "[1, 2][0] == 1": ("", "no index"),
    'event["i"] == 7': ("", "fields are named by a point, so that they can be checked"),
    "[1, 2] + [3] == [1, 2, 3]": ("E211", "lists are looked into, not calculated with"),
    "[[1]] == [[1]]": ("E210", "no lists inside lists"),
    "[1, 2].exists(x, x > 1)": ("", "no loops: count(), sum() look at the customer's own events"),
    '"abc".matches("b+")': ("E220", "no regular expressions: none can be slow"),
    "type(1) == int": ("E220", "types are known when the rule is loaded"),
    "dyn(1) == 1": ("E220", "types are known when the rule is loaded"),
    'bool("true")': ("E220", "truths have a type; a text is compared"),
    'timestamp("2026-03-04T10:00:00Z").getHours() == 10': ("", "local.hour is the customer's own"),
    "timestamp(event.t) == timestamp(event.s)": ("E211", "fields that are times have that type"),
    "null == null": ("E210", "null only asks whether a value is there"),
}


def expressions() -> list[tuple[str, str]]:
    """Return (section, expression): lines that end in an operator go on in the next."""
    found: list[tuple[str, str]] = []
    for section, text in SECTIONS.items():
        parts = [part.strip() for line in text.splitlines() for part in line.split(" | ")]
        for part in filter(None, parts):
            if part.startswith("<"):
                part = f"{found.pop()[1]} {part}"
            found.append((section, part))
    return found


def ours(text: str) -> Any:
    """Return our answer, None for unknown."""
    return compile_value(text, SCOPE, trigger="x").get({"x": EVENT}, Actor(), 0)


def googles(text: str) -> Any:
    """Return what Google's CEL answers, None for an error."""
    types = {"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)}
    answer = cel.NewEnv(variables=types).compile(text).eval(data={"event": EVENT})
    return None if answer.type() == cel.Type.ERROR else answer.value()


@pytest.mark.parametrize(("section", "text"), expressions(), ids=lambda value: value[:40])
def test_each_section_is_as_google_has_it(section: str, text: str) -> None:
    mine, theirs = ours(text), googles(text)
    if mine is not None:
        if isinstance(theirs, list):
            theirs = list(theirs)
        assert isinstance(mine, bool) == isinstance(theirs, bool), (section, mine, theirs)
    assert mine == theirs, section


@pytest.mark.parametrize("text", DEVIATIONS)
def test_a_deviation_is_one(text: str) -> None:
    assert ours(text) == DEVIATIONS[text][0] != googles(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_is_cel_and_told(text: str) -> None:
    googles(text)
    with pytest.raises(ExpressionErrors) as caught:
        compile_value(text, SCOPE, trigger="x")
    assert REFUSED[text][0] in {"", *(problem.code for problem in caught.value.problems)}


@pytest.mark.parametrize("text", WIDER)
def test_numbers_of_two_kinds_may_stand_together(text: str) -> None:
    assert ours(text) == WIDER[text]
    with pytest.raises(RuntimeError):
        googles(text)


def test_the_page_lists_every_deviation() -> None:
    page = (Path(__file__).parents[4] / "docs" / "cel.md").read_text(encoding="utf-8")
    missing = [text for text in (*DEVIATIONS, *REFUSED, *WIDER) if f"`{text}`" not in page]
    assert missing == []


def test_there_is_much_to_compare() -> None:
    assert len(expressions()) > 200
