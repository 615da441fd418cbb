"""A world with the shipped rules and two people in it, whose events carry identifiers in clear."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from engine.adapters.files import read_contracts, read_rules
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.identity.messages import Alias
from engine.pipeline.book import Book
from engine.rules.compile import compile_rules
from engine.runtime.learner import version_records
from tests.simulation.world import SECRET, TENANT, World

ROOT = Path(__file__).parents[3]
CONTRACTS = parse_contracts(read_contracts(str(ROOT / "topics")))
RULES = compile_rules(read_rules(str(ROOT / "rules")), CONTRACTS, version="v1")
ANN = {"user_id": "ann-4711", "phone": "+8613800138000", "device_id": "ann-ipad"}
BOB = {"user_id": "bob-0815", "device_id": "bob-mobile"}


def of(kind: str, value: str) -> str:
    """Return the birth id of an identifier."""
    return birth_id(kind, value, tenant=TENANT, secret=SECRET)


ANNS = {kind: of(kind, value) for kind, value in ANN.items()}
BOBS = {kind: of(kind, value) for kind, value in BOB.items()}


class Shop(World):
    """A world with the shipped rules, whose events carry identifiers in clear."""

    def __init__(self) -> None:
        super().__init__(1, book=Book(secret=SECRET, rule_sets={"v1": RULES}))
        self._number = 0
        self.route: Callable[[str], str] = lambda home: home  # where the front door writes to
        for record in version_records("ruleset", "v1", self.count, SECRET):
            self.log.append(record)

    def sends(self, who: dict[str, str], *kinds: str, type: str = "cart.updated") -> None:
        """Send one event of somebody who shows some identifiers."""
        self._number += 1
        shown = {kind: who[kind] for kind in kinds}
        ids = sorted(of(kind, value) for kind, value in shown.items())
        event = Event(
            id=sha256(b"%d" % self._number).hexdigest()[:32], tenant=TENANT, source="shop",
            type=type, at=self.now, original_at=self.now, received_at=self.now, ids=ids,
            data={**shown, "sku": "S1", "product": "S1", "value": 15_000, "currency": "CNY"},
        )  # fmt: skip
        self.send(event, to=self.route(ids[0]))

    async def rest(self, ticks: int = 3, step_ms: int = 1_000) -> None:
        """Let everything come to rest, some ticks long: effects are acknowledged and trimmed."""
        for _ in range(ticks):
            await self.tick(step_ms)
            while await self.step():
                pass

    def stored(self) -> bytes:
        """Return all that the store holds, as one text to search."""
        store = self.store
        held: list[dict[int, Any]] = [store._states, store._timers, store._outbox, store._moves]
        return repr([dict(part) for each in held for part in each.values()]).encode()

    def aliases(self) -> dict[str, str | None]:
        """Return `customer.aliases` as compaction leaves it."""
        found: dict[str, str | None] = {}
        for record in self.log.records(topics.ALIASES):
            value = msgspec.json.decode(record.value, type=Alias) if record.value else None
            found[record.key.decode()] = value.customer if value else None
        return found


def played(script: Callable[[Shop], None], *, erase: str = "") -> Shop:
    """Return a shop after a script, and after the erasure of the person of an identifier."""
    shop = Shop()

    async def play() -> None:
        await shop.rest()
        script(shop)
        await shop.rest()
        if erase:
            shop.erase(erase)
            await shop.rest()

    asyncio.run(play())
    return shop


def both_shop(shop: Shop) -> None:
    """Ann shows three identifiers one after the other, Bob two."""
    for _ in range(2):
        shop.sends(ANN, "device_id")
        shop.sends(ANN, "device_id", "phone")
        shop.sends(ANN, "phone", "user_id")
        shop.sends(BOB, "device_id", "user_id")


def clear(who: dict[str, str], shop: Shop) -> list[str]:
    """Return the identifiers of somebody that the store holds in clear."""
    stored = shop.stored()
    return [value for value in who.values() if value.encode() in stored]
