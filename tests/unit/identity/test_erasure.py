"""Erasure: nothing of a person stays in the store, and nobody else is touched."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from simulation.world import SECRET, TENANT, World, end_of_chain

from engine.adapters.files import read_contracts, read_rules
from engine.clock import DAY_MS
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.events.record import Outgoing, partition_of
from engine.identity.messages import Alias, Erase
from engine.identity.node import Tombstone
from engine.identity.registrar import ADDRESS, ERASED_MS
from engine.pipeline.book import Book
from engine.pipeline.state import Live
from engine.rules.compile import compile_rules
from engine.runtime.learner import version_records

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
        self.send(event)

    async def rest(self, ticks: int = 3, step_ms: int = 1_000) -> None:
        """Let everything come to rest, some ticks long: effects are acknowledged and trimmed."""
        for _ in range(ticks):
            await self.tick(step_ms)
            while await self.step():
                pass

    def stored(self) -> bytes:
        """Return all that the store holds, as one text to search."""
        store = self.store
        held = [store._states, store._timers, store._outbox, store._moves]
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


def test_before_an_erasure_the_store_does_hold_the_identifiers() -> None:
    shop = played(both_shop)
    assert clear(ANN, shop) == list(ANN.values())
    assert clear(BOB, shop) == list(BOB.values())
    assert any(ANNS["user_id"] in member for held in shop.store._timers.values() for member in held)


@pytest.mark.parametrize("by", list(ANN))
def test_an_erasure_by_any_identifier_leaves_nothing_of_the_person(by: str) -> None:
    shop = played(both_shop, erase=ANNS[by])
    assert clear(ANN, shop) == []
    assert clear(BOB, shop) == list(BOB.values())
    nodes = shop.nodes()
    assert all(nodes[name] == Tombstone("", erased=True) for name in ANNS.values())
    bobs = nodes[BOBS["user_id"]]
    assert isinstance(bobs, Live)
    assert shop.counts()["customers"] == 1
    assert shop.counts()["erased"] == 1
    timers = [member for held in shop.store._timers.values() for member in held]
    assert sorted(m for m in timers if any(x in m for x in ANNS.values())) == sorted(
        f"{TENANT}:{ADDRESS}/{x}|x" for x in ANNS.values()
    )


def test_aliases_name_each_old_id_once_and_null_after_an_erasure() -> None:
    shop = played(both_shop)
    ann, bob = ANNS["user_id"], BOBS["user_id"]
    aliases = shop.aliases()
    assert aliases.keys() == {ANNS["phone"], ANNS["device_id"], BOBS["device_id"]}
    assert aliases[ANNS["phone"]] == ann
    assert aliases[ANNS["device_id"]] in (ann, ANNS["phone"])  # then the phone's leads on
    shop = played(both_shop, erase=ann)
    assert shop.aliases() == dict.fromkeys(ANNS.values()) | {BOBS["device_id"]: bob}


def test_events_of_an_erased_person_are_dropped_and_counted() -> None:
    shop = played(both_shop, erase=ANNS["phone"])
    shop.sends(ANN, "device_id")
    shop.sends(ANN, "user_id", "phone")
    asyncio.run(shop.rest())
    assert clear(ANN, shop) == []
    assert shop.counts()["dropped_erased"] == 2


def test_an_erasure_overtakes_a_join_that_is_under_way() -> None:
    def joins_and_is_erased(shop: Shop) -> None:
        both_shop(shop)
        shop.erase(ANNS["user_id"])

    shop = played(joins_and_is_erased, erase=ANNS["user_id"])
    nodes = shop.nodes()
    assert end_of_chain(nodes, ANNS["user_id"]) is None
    assert clear({"user_id": ANN["user_id"]}, shop) == []


def test_a_claim_on_an_erased_identifier_is_refused() -> None:
    shop = played(both_shop, erase=ANNS["user_id"])
    shop.sends({**ANN, **BOB}, "user_id", "phone")  # Bob, with Ann's telephone
    asyncio.run(shop.rest())
    bob = shop.nodes()[BOBS["user_id"]]
    assert isinstance(bob, Live)
    assert bob.links.seen[ANNS["phone"]] <= 0
    assert shop.nodes()[ANNS["phone"]] == Tombstone("", erased=True)


def test_after_retention_and_ring_the_identifier_begins_anew() -> None:
    shop = played(both_shop, erase=ANNS["user_id"])
    asyncio.run(shop.rest(ERASED_MS // DAY_MS - 1, DAY_MS))
    assert shop.nodes()[ANNS["user_id"]] == Tombstone("", erased=True)
    asyncio.run(shop.rest(6, DAY_MS))
    assert shop.nodes().keys() == set(BOBS.values())
    assert shop.entries().keys() == set(BOBS.values())
    assert not any(a in shop.stored().decode() for a in ANNS.values())
    both_shop(shop)
    asyncio.run(shop.rest())
    person = shop.nodes()[ANNS["user_id"]]
    assert isinstance(person, Live)
    assert sum(touch.count for touch in person.actor.touches.values()) == 6
    assert shop.counts()["customers"] == 2


def test_an_erasure_of_what_nobody_has_holds_for_what_comes_later() -> None:
    shop = played(lambda shop: None, erase=ANNS["phone"])
    shop.sends(ANN, "phone")
    asyncio.run(shop.rest())
    assert clear(ANN, shop) == []


def test_an_erasure_without_our_seal_goes_to_the_dead_letters() -> None:
    shop = played(both_shop)
    value = msgspec.json.encode(Erase(TENANT, ANNS["user_id"], shop.now))
    forged = Outgoing(
        topics.EVENTS, partition_of(ADDRESS, shop.count), ADDRESS.encode(), value,
        (("kind", b"erase"), ("mac", b"sixteen bytes...")),
    )  # fmt: skip
    shop.log.append(forged)
    asyncio.run(shop.rest())
    assert clear(ANN, shop) == list(ANN.values())
    (letter,) = shop.log.records(topics.DEAD_EVENTS)
    assert msgspec.json.decode(letter.value)["reason"] == "control/mac"
