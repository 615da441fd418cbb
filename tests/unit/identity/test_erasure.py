"""Erasure: nothing of a person stays in the store, and nobody else is touched."""

import asyncio

import msgspec
import pytest

from engine.clock import DAY_MS
from engine.delivery.model import Job
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.identity.messages import Erase
from engine.identity.node import Tombstone
from engine.identity.registrar import ADDRESS, ERASED_MS
from engine.keys import TABLE
from engine.pipeline.state import Live
from tests.simulation.world import TENANT, end_of_chain
from tests.unit.identity.shop import ANN, ANNS, BOB, BOBS, Shop, both_shop, clear, played


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


def test_the_table_of_keys_says_what_an_erasure_does_to_each() -> None:
    """A new kind of key must say it, and be looked at here."""
    shop = played(both_shop, erase=ANNS["user_id"])
    store = shop.store
    held = {"tm": store._timers, "ob": store._outbox, "mv": store._moves, "m": store._meta}
    states = [item for each in store._states.values() for item in each.items()]
    held["s:<tenant>:<id>"] = {name: value for name, value in states if name[0] == "s"}
    held["R:<tenant>/<x>"] = {name: value for name, value in states if name[0] == "R"}
    job = Job(b"Ann, " + ANN["phone"].encode(), "crm", state="sent")
    held["d:<trigger>"] = {"a pending one is refused, see test_sender_ends": job.settled()}
    nothing = ("l", "i", "b", "due")  # offsets, counts, and ids of triggers with their times
    assert {row.name for row in TABLE} == {*held, *nothing}
    erased = {row.name: row.erased for row in TABLE}
    for name, values in held.items():
        assert not any(value in repr(values) for value in ANN.values()), (name, erased[name])
    assert {erased[name] for name in nothing} == {"no person"} == {erased["m"]}
    assert not any((*store._outbox.values(), *store._moves.values()))
    hashes = [name for name in held if ANNS["phone"] in repr(held[name])]
    assert {erased[name] for name in hashes} == {"tombstone", "null mark", "removed"}
    timers = [member for each in store._timers.values() for member in each]
    assert all(f":{ADDRESS}/" in member for member in timers if ANNS["phone"] in member)


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
