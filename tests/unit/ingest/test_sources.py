"""Sources: who may send what."""

from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.ingest.sources import Source, parse_sources

FILE = Path(__file__).parents[3] / "topics" / "sources.yaml"


def test_the_shipped_file_is_read() -> None:
    sources = parse_sources(FILE.read_text(encoding="utf-8"))
    assert sources.by_key["demo"].name == "demo"
    assert sources.by_key["demo"].custom
    assert {"web", "app", "shop", "callcentre", "engine"} <= sources.by_name.keys()
    assert sources.by_name["web"].trust == "none"  # its key is public (WIRE.md, trust)


@pytest.mark.parametrize(
    ("types", "event", "may"),
    [
        (("*",), "order.placed", True),
        (("order.*",), "order.placed", True),
        (("order.*",), "reorder.placed", False),
        (("*", "!order.*"), "order.placed", False),
        (("!order.*", "*"), "order.placed", False),
        (("*", "!order.*"), "cart.updated", True),
        ((), "order.placed", False),
    ],
)
def test_patterns_say_what_a_source_may_send(types: tuple[str, ...], event: str, may: bool) -> None:
    source = Source(name="s", key="k", types=types)
    assert source.may_send(event) is may
    assert source.may_send(event) is may  # remembered


def test_the_lateness_of_a_type_is_the_largest_among_those_that_may_send_it() -> None:
    sources = parse_sources(
        "sources:\n"
        "  a: {key: a, types: [order.*], lateness_s: 5}\n"
        "  b: {key: b, types: [order.*, iot.*], lateness_s: 300}\n"
        "  c: {key: c, types: [web.*], lateness_s: 0.5}\n"
    )
    assert sources.lateness_ms("order.placed") == 300_000
    assert sources.lateness_ms("web.page_viewed") == 500
    assert sources.lateness_ms("nobody.sends") == 10_000


def test_all_mistakes_are_told_with_their_lines() -> None:
    text = (
        "sources:\n"
        "  a: {}\n"
        "  b: {key: b, trst: none}\n"
        "  c: {key: c, trust: full, custom: maybe}\n"
        "  d: {key: d, types: web.*, lateness_s: -1, region: 7}\n"
        "  e: {key: e}\n"
        "  f: {key: e}\n"
    )
    with pytest.raises(ConfigError) as caught:
        parse_sources(text, where="s.yaml")
    assert caught.value.message.splitlines() == [
        "s.yaml:2: source `a`: `key` is missing; it is what its events come with",
        "s.yaml:3: source `b`: unknown key `trst`; did you mean `trust`?",
        "s.yaml:4: source `c`: trust `full` is none of none, names, proves",
        "s.yaml:4: source `c`: custom 'maybe' is not true or false",
        "s.yaml:5: source `d`: region 7 is no text",
        "s.yaml:5: source `d`: types 'web.*' is no list of texts",
        "s.yaml:5: source `d`: lateness_s -1 is outside 0 to 604800",
        "s.yaml: key of source `e` is used twice",
        "s.yaml: key of source `f` is used twice",
    ]


@pytest.mark.parametrize("text", ["", "sources:", "sources: [a]", "a: [", "sources: {a: 1, a: 2}"])
def test_what_is_no_file_of_sources_is_a_setting_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_sources(text)
