"""A timer that the fold cannot fire: it is given up alone, and the partition's time goes on."""

import asyncio
from typing import Any

import orjson
import pytest

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.clock import HOUR_MS
from engine.events import topics
from engine.keys import node_name
from engine.pipeline import fold, think
from engine.pipeline.book import Book
from engine.pipeline.state import Live, decode_node
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from tests.integration.test_large_tick import START, the_log
from tests.simulation.worker import partitions
from tests.simulation.world import SECRET, TENANT, Shelf
from tests.spine import REMIND, THANK
from tests.turns import rules_of

CUSTOMERS = 9
BROKEN = "0u" + f"{4:016d}"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryLog, MemoryStore]:
    """A log that was folded to its end, though one customer's timer raises; and its store."""
    fire = think.fire

    def broken(state: Any, member: str, book: Book) -> None:
        if BROKEN in member:
            raise TypeError("an hour and a fruit")
        fire(state, member, book)

    monkeypatch.setattr(fold, "fire", broken)
    rules = rules_of(REMIND, THANK)
    book = Book(secret=SECRET, rule_sets={rules.version: rules})
    log, store = the_log(CUSTOMERS), MemoryStore()

    def owner(number: int) -> Owner:
        return Owner(
            number,
            partition_count=1,
            store=store,
            reader=log,
            publisher=log,
            library=Shelf(book),
            topic_partitions=partitions(1),
        )

    async def work() -> None:
        engage = Engage(owner, seen=lambda *_: None, repaired=lambda *_: None)
        offset = await engage.assigned(0) or 0
        while records := log.records(topics.EVENTS)[offset : offset + 200]:
            offset = await engage.batch(0, records)

    asyncio.run(work())
    return log, store


def test_its_tick_is_folded_and_all_others_fire(world: tuple[MemoryLog, MemoryStore]) -> None:
    log, store = world
    meta = asyncio.run(store.meta(0))
    assert (meta.now, meta.clk, meta.sub) == (START + HOUR_MS, START + HOUR_MS, 0)
    assert meta.off == CUSTOMERS + 3
    reminded = [orjson.loads(r.value)["rule"] for r in log.records(topics.TRIGGERS)]
    assert reminded.count("remind") == CUSTOMERS - 1
    assert reminded.count("thank") == 1, "and the record behind the tick is applied"


def test_it_is_told_and_gone(world: tuple[MemoryLog, MemoryStore]) -> None:
    log, store = world
    (letter,) = [orjson.loads(r.value) for r in log.records(topics.DEAD_EVENTS)]
    assert letter["reason"] == "log/poison"
    assert "TypeError: an hour and a fruit" in letter["where"]
    assert letter["id"].startswith(f"channel.events:0:{CUSTOMERS + 2}/t:{BROKEN}|")
    assert store._timers[0] == {}
    name = node_name(TENANT, BROKEN)
    node = decode_node(name, store._states[0][name])
    assert isinstance(node, Live)
    assert node.actor.timers == {}
