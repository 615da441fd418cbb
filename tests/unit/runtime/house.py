"""A publication over a log in memory, and rule files of one rule."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.config import Settings
from engine.errors import EngineError
from engine.events import topics
from engine.events.record import header
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.runtime.rulesets.people import Who
from engine.runtime.rulesets.publish import Publication
from engine.runtime.rulesets.readiness import keep_told
from tests.turns import ROOT

LI, WANG = Who("li@shop.example"), Who("wang@shop.example")
SECRET = "of the installation"
RULE = """rule: {name}
owner: a@shop.example
status: live   # for now
when: [{{event: cart.updated}}]
do: [{{case: {case}}}]
limits: [1 per 1d]
tests:
  - {{name: fires, events: [{{at: 0m, cart.updated: {{value: 1.0, cart_id: a, items: 1}}}}],
     expect: [{{at: 0m, case: {expect}}}]}}
  - {{name: not, events: [], expect: []}}
"""


def a_rule(name: str = "a", *, case: str = "look", expect: str = "look") -> dict[str, str]:
    """Return one rule file by its path."""
    return {f"{name}.yaml": RULE.format(name=name, case=case, expect=expect)}


class House:
    """A log in memory and a publication over it."""

    def __init__(
        self, *, secret: str = SECRET, topics_dir: Path | None = None, wait_s: float = 5.0
    ) -> None:
        self.log = MemoryLog({topics.RULE_SETS: 1, topics.EVENTS: 2})
        self.settings = replace(
            Settings(), secret=secret, topics_dir=str(topics_dir or ROOT / "topics")
        )
        self.store = MemoryStore()
        self.tasks: list[asyncio.Task[None]] = []
        self.publication = Publication(
            self.settings, self.log, self.log, now=lambda: 5, partition_count=2, store=self.store,
            wait_s=wait_s,
        )  # fmt: skip

    def announced(self) -> list[str]:
        """Return the versions that partition 1 was told, in order."""
        records = [r for r in self.log.records(topics.EVENTS) if r.partition == 1]
        assert all(header(record.headers, "kind") == b"ruleset" for record in records)
        return [record.value.decode().split('"')[3] for record in records]

    async def goes_live(self, texts: dict[str, str]) -> str:
        """Publish with two people; return the version."""
        version = (await self.publication.propose(texts, LI)).version
        await self.publication.approve(version, WANG)
        return version


def told(code: str, what: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """It is refused for this reason."""
    with pytest.raises(EngineError) as caught:
        asyncio.run(what())
    assert caught.value.code == code


async def works(house: House, library: ArtefactLibrary, *partitions: int) -> asyncio.Event:
    """Let a worker own partitions: it compiles what is proposed and tells; return what stops it."""
    tokens = {partition: f"worker of {partition}" for partition in partitions}
    for partition, token in tokens.items():
        await house.store.acquire(partition, token)
    stop = asyncio.Event()
    house.tasks += [
        asyncio.create_task(library.follow(stop)),
        asyncio.create_task(keep_told(house.store, library, lambda: tokens, stop)),
    ]
    return stop


def library_of(house: House, **more: float) -> ArtefactLibrary:
    """Return a worker's book."""
    return ArtefactLibrary(house.log, secret=house.settings.secret_key, **more)
