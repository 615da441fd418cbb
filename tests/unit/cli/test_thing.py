"""`engine customer store:s7`: what stands of a shop, in words of one language."""

import asyncio
import io
import re

import pytest
from rich.console import Console

from engine.cli.main import main
from engine.cli.thing import show
from engine.runtime.cards import worded
from engine.runtime.lookup import Lookup
from tests.simulation.test_explain import CASE, told
from tests.simulation.test_explain_things import (
    MONDAY,
    QUEUE,
    S7,
    TICKETS,
    lived,
    some,
)
from tests.simulation.world import SECRET, TENANT

HAN = re.compile("[\u4e00-\u9fff]")


def shown(lang: str) -> str:
    """Return what is told of a shop where five took a number, one was rated, and a rule acted."""
    texts = {**told("r", QUEUE + CASE), **told("monday", MONDAY + CASE)}
    world = lived(texts, some(*TICKETS, ("touchpoint.rated", 7)))
    lookup = Lookup(world.store, partition_count=world.count, tenant=TENANT, secret=SECRET)
    found = asyncio.run(lookup.find(S7))
    assert found is not None
    rules = world.book.rule_sets["v1"]
    out = io.StringIO()
    card = worded(found, rules, world.now, masked=False)
    show(S7, card, Console(file=out, width=200), lang)
    return out.getvalue()


def test_a_shop_is_told_in_english() -> None:
    text = shown("en")
    for part in (
        "store:s7  (shop, Es",
        "Took a number in the queue  (store_id = s7",
        "it looks every Monday at 09:00, next at",
        "acted: ",
        "limit (2 times): ",
        "engine rules explain RULE store:s7",
    ):
        assert part in text, text
    assert re.search(r"Touchpoint rated +1 +1 +1\n", text), text
    assert not HAN.search(text), text


def test_and_in_chinese() -> None:
    text = shown("zh")
    for part in (
        "（门店，Es",
        "取号排队",
        "每周一09:00查看",
        "已触发：",
        "频次上限 (2 次)：",
        "今天",
    ):
        assert part in text, text
    for word in ("shop", "acted", "limit", "days", "Waits", "last", "Took", "rated"):
        assert not re.search(rf"\b{word}\b", text), text


@pytest.mark.parametrize("name", ["shop:s7", "stor:s7"])
def test_a_kind_that_is_none_is_told_with_those_that_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["customer", name]) == 1
    assert "user_id, " in (said := capsys.readouterr().err) and "store, ad, agent" in said
