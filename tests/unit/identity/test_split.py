"""Unmerge by staff: one person becomes two, and neither is lost, counted twice, or joined again."""

import asyncio

import msgspec
import pytest

from engine.decision.model import Split
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.identity.node import Tombstone
from engine.identity.registrar import LEVEL_MAX, Root, cut
from engine.keys import node_name
from engine.pipeline.state import Live, encode_node
from engine.runtime.lookup import Lookup
from tests.simulation.world import SECRET, TENANT, end_of_chain
from tests.unit.identity.shop import ANN, ANNS, BOBS, Shop, both_shop, clear, played

USER, PHONE, DEVICE = ANNS["user_id"], ANNS["phone"], ANNS["device_id"]
CUT_OFF = f"-9{DEVICE[2:]}"


def parted(*, erase: str = "") -> Shop:
    """Return a shop where Ann's device has turned out to be somebody else's."""
    shop = played(both_shop)
    shop.split(PHONE, [DEVICE])
    asyncio.run(shop.rest())
    if erase:
        shop.erase(erase)
        asyncio.run(shop.rest())
    return shop


def count(shop: Shop, name: str) -> int:
    """Return how many events the person of an identifier has."""
    nodes = shop.nodes()
    end = end_of_chain(nodes, name)
    assert end is not None
    node = nodes[end]
    assert isinstance(node, Live)
    return sum(touch.count for touch in node.actor.touches.values())


def found(shop: Shop, name: str) -> str | None:
    """Return the customer that a look-up finds for a node id."""
    lookup = Lookup(shop.store, partition_count=shop.count, tenant=TENANT, secret=SECRET)
    person = asyncio.run(lookup.by_node(name))
    return person.customer if person else None


def test_events_of_what_left_go_to_the_new_person_and_history_stays() -> None:
    shop = parted()
    assert count(shop, USER) == 6
    shop.sends(ANN, "device_id")
    shop.sends(ANN, "phone")
    asyncio.run(shop.rest())
    assert [found(shop, x) for x in (USER, PHONE, DEVICE)] == [USER, USER, CUT_OFF]
    assert (count(shop, USER), count(shop, DEVICE)) == (7, 1)
    assert shop.counts()["customers"] == 3


def test_a_look_up_finds_the_new_person_before_any_event_of_theirs() -> None:
    shop = parted()
    assert found(shop, DEVICE) == found(shop, CUT_OFF) == CUT_OFF
    assert shop.aliases()[DEVICE] == CUT_OFF


def test_a_copy_of_an_event_from_before_the_split_is_not_counted_again() -> None:
    shop = parted()
    before = shop.counts()["applied"]
    for record in shop.log.records(topics.EVENTS):
        if not record.headers:
            again = Outgoing(record.topic, record.partition, record.key, record.value)
            shop.log.append(again)  # every event of every source comes once more
    asyncio.run(shop.rest())
    assert shop.counts()["applied"] == before
    assert count(shop, USER) == 6


def test_who_was_parted_is_not_joined_again() -> None:
    shop = parted()
    for _ in range(3):
        shop.sends(ANN, "device_id", "user_id")
        asyncio.run(shop.rest())
    assert found(shop, USER) != found(shop, DEVICE)
    person = shop.nodes()[USER]
    assert isinstance(person, Live)
    assert person.links.seen[DEVICE] <= 0
    assert shop.counts()["refused"] == 1


def test_the_trigger_topic_tells_of_the_split() -> None:
    shop = parted()
    told = [msgspec.json.decode(r.value) for r in shop.log.records(topics.TRIGGERS)]
    (split,) = [item for item in told if item["type"] == "split"]
    assert msgspec.convert(split, Split) == Split(
        tenant=TENANT, customer=USER, part=CUT_OFF, ids=[DEVICE], at=split["at"]
    )


def test_after_the_half_that_stayed_is_erased_the_other_half_still_lives() -> None:
    shop = parted(erase=USER)
    assert clear(ANN, shop) == []
    assert shop.aliases()[DEVICE] == CUT_OFF
    shop.sends(ANN, "device_id")
    shop.sends(ANN, "phone")
    asyncio.run(shop.rest())
    assert count(shop, DEVICE) == 1
    assert found(shop, USER) is None
    assert found(shop, PHONE) is None
    assert clear(ANN, shop) == [ANN["device_id"]]


def test_after_the_half_that_left_is_erased_the_other_half_still_lives() -> None:
    shop = parted(erase=CUT_OFF)
    shop.sends(ANN, "device_id")
    shop.sends(ANN, "phone")
    asyncio.run(shop.rest())
    assert found(shop, DEVICE) is None
    assert count(shop, PHONE) == 7


def test_a_look_up_finds_who_left_by_the_way_of_one_who_is_erased() -> None:
    """Until its own signpost has been told."""
    shop = parted(erase=USER)
    signpost = shop.nodes()[DEVICE]
    assert isinstance(signpost, Tombstone)
    signpost.own = ""  # as it was before the shortcut
    name = node_name(TENANT, DEVICE)
    place = partition_of(DEVICE, shop.count)
    shop.store._states[place][name] = encode_node(signpost) or b""
    assert found(shop, DEVICE) == CUT_OFF
    assert found(shop, PHONE) is None


def test_an_erasure_before_the_ways_are_short_cuts_nobody_off() -> None:
    shop = played(both_shop)
    shop.split(PHONE, [DEVICE])
    shop.erase(USER)
    shop.sends(ANN, "device_id")
    asyncio.run(shop.rest())
    shop.sends(ANN, "device_id")
    asyncio.run(shop.rest())
    assert count(shop, DEVICE) == 2


@pytest.mark.parametrize("ids", [[], [BOBS["user_id"]], [USER, PHONE, DEVICE]])
def test_an_order_that_parts_nothing_goes_to_the_dead_letters(ids: list[str]) -> None:
    shop = played(both_shop)
    shop.split(PHONE, ids)
    asyncio.run(shop.rest())
    (letter,) = shop.log.records(topics.DEAD_EVENTS)
    assert msgspec.json.decode(letter.value)["reason"] == "identity/split"
    assert found(shop, DEVICE) == USER


def test_the_half_without_the_name_leaves_whichever_half_is_named() -> None:
    entries: dict[str, Root | str | None] = {
        USER: Root([USER, PHONE, DEVICE], {DEVICE: 2}), PHONE: USER, DEVICE: USER,
    }  # fmt: skip
    verdict = cut(entries, DEVICE, [USER])
    assert verdict is not None
    assert verdict.root == USER
    assert verdict.ids == [PHONE, DEVICE]
    assert entries[DEVICE] == entries[PHONE] == verdict.name
    assert entries[verdict.name] == Root([verdict.name, PHONE, DEVICE], {DEVICE: 2})


def test_a_person_can_be_parted_ten_times_and_then_no_more() -> None:
    names = [f"3d{number:016d}" for number in range(LEVEL_MAX + 3)]
    root = names[0]
    entries: dict[str, Root | str | None] = {root: Root(list(names))}
    entries |= dict.fromkeys(names[1:], root)
    last = names[-1]
    new: list[str] = []
    for leaves in range(1, LEVEL_MAX + 2):
        verdict = cut(entries, last, names[leaves:])
        assert verdict is not None
        new.append(verdict.name)
    assert new == sorted(new, reverse=True)
    assert new[-1] < new[0] < root
    assert cut(entries, last, [last]) is None
