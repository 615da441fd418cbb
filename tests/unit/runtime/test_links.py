"""A first load of who is whom: the same persons as their events would have made, without events."""

import asyncio
from typing import Any

import msgspec
import pytest

from engine.events import topics
from engine.events.ids import birth_id
from engine.identity.messages import Claim
from engine.pipeline.book import Book
from engine.runtime.orders.links import RECORDS_MAX, Linked, Links
from tests.simulation.world import SECRET, TENANT, World, end_of_chain
from tests.unit.identity.shop import ANN, ANNS, BOB, BOBS, Shop, played

MEMBER = {"member_no": "m-1", "user_id": "ann-4711"}


def linked(world: World, rows: list[dict[str, Any]], **more: Any) -> Linked:
    """Load rows into a world."""
    links = Links(world.log, partition_count=world.count, tenant=TENANT, secret=SECRET)
    return asyncio.run(links.link(rows, **more))


def claims(world: World) -> list[Claim]:
    """Return the claims in the log, in order."""
    found = (r for r in world.log.records(topics.EVENTS) if dict(r.headers)["kind"] == b"claim")
    return [msgspec.json.decode(record.value, type=Claim) for record in found]


def test_identifiers_of_a_row_are_one_person_from_the_first_event_on() -> None:
    def load_then_show(shop: Shop) -> None:
        assert linked(shop, [ANN, BOB]) == Linked(linked=2)
        asyncio.run(shop.rest())
        assert shop.counts()["customers"] == 0
        for kind in ANN:
            shop.sends(ANN, kind)
        shop.sends(BOB, "device_id")

    shop = Shop()
    load_then_show(shop)
    asyncio.run(shop.rest())
    nodes = shop.nodes()
    assert {end_of_chain(nodes, name) for name in ANNS.values()} == {ANNS["user_id"]}
    assert end_of_chain(nodes, BOBS["device_id"]) == BOBS["user_id"]
    assert shop.counts()["customers"] == 2
    assert shop.counts()["applied"] == 4


def test_a_row_said_again_changes_nothing() -> None:
    shop = played(lambda shop: None)
    linked(shop, [ANN])
    asyncio.run(shop.rest())
    entries, absorbed = shop.entries(), shop.counts()["absorbed"]
    linked(shop, [ANN, ANN])
    asyncio.run(shop.rest())
    assert shop.entries() == entries
    assert shop.counts()["absorbed"] == absorbed == len(ANN) - 1


def test_two_of_a_persons_own_identifiers_are_joined_with_trust() -> None:
    world = World(1, book=Book(secret=SECRET))
    linked(world, [{**MEMBER, "phone": ANN["phone"]}])
    user, member, phone = (
        birth_id(kind, value, tenant=TENANT, secret=SECRET)
        for kind, value in (*sorted(MEMBER.items(), reverse=True), ("phone", ANN["phone"]))
    )
    home, other = sorted((user, member))
    assert claims(world) == [Claim(TENANT, home, [other], 1), Claim(TENANT, home, [phone], 0)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"user_id": "u1"}, Linked(alone=1)),
        ({"user_id": "u1", "phone": ""}, Linked(alone=1)),
        ({"user_id": "u1", "phone": None, "name": "Ann"}, Linked(alone=1)),
        ({"user_id": "u1", "email": "no mail"},
         Linked(alone=1, wrong_count=1, wrong=["row 7: `no mail` is no email"])),
        ({"user_id": 4711, "email": "a@x.example"}, Linked(linked=1)),  # a number is written out
        ({"user_id": "undefined", "email": "a@x.example", "device_id": "d"},
         Linked(linked=1, wrong_count=1, wrong=["row 7: `undefined` is no user_id"])),
    ],
)  # fmt: skip
def test_what_is_none_of_its_type_is_left_out_and_told(row: dict[str, Any], told: Linked) -> None:
    assert linked(World(1, book=Book(secret=SECRET)), [row], first=7) == told


def test_many_rows_go_out_in_several_publications() -> None:
    world = World(1, book=Book(secret=SECRET))
    rows = [{"user_id": f"u{n}", "device_id": f"d{n}"} for n in range(RECORDS_MAX + 2)]
    assert linked(world, rows).linked == len(claims(world)) == RECORDS_MAX + 2
