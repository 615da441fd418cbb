"""The read path: whatever somebody was called, the answer is who they are now."""

import asyncio

import pytest

from engine.errors import StoreError
from engine.events.record import partition_of
from engine.keys import node_name
from engine.profile.card import card
from engine.runtime.lookup import Lookup
from tests.simulation.world import SECRET, TENANT
from tests.unit.identity.shop import ANN, ANNS, Shop, both_shop, played


def canonical(shop: Shop, name: str) -> str | None:
    """Return what the API answers as `canonical`, None for nobody."""
    lookup = Lookup(shop.store, partition_count=shop.count, tenant=TENANT, secret=SECRET)
    found = asyncio.run(lookup.find(name))
    if found is None:
        return None
    shown = card(found.live.actor, customer=found.customer, aliases=found.aliases, now=shop.now)
    assert shown["canonical"] == shown["customer"]
    return str(shown["canonical"])


def test_any_identifier_and_any_old_id_lead_to_one_canonical_id() -> None:
    shop = played(both_shop)
    names = [f"{kind}:{value}" for kind, value in ANN.items()]
    assert {canonical(shop, name) for name in (*names, *ANNS.values())} == {ANNS["user_id"]}


def test_the_canonical_id_is_what_aliases_lead_to_in_the_end() -> None:
    shop = played(both_shop)
    aliases = shop.aliases()
    for old in aliases:
        end: str | None = old
        while end in aliases:
            end = aliases[end]
        assert canonical(shop, old) == end


def test_nobody_is_behind_an_erased_identifier_or_an_unknown_one() -> None:
    shop = played(both_shop, erase=ANNS["phone"])
    assert canonical(shop, f"phone:{ANN['phone']}") is None
    assert canonical(shop, ANNS["device_id"]) is None
    assert canonical(shop, "user_id:nobody-knows") is None


def test_who_is_not_there_yet_is_not_taken_for_erased() -> None:
    """Redis fell back behind the birth of a customer whose trigger is out: it must be sent later.

    So it is where a signpost stands already, and what it points to has not moved in.
    """
    shop = played(both_shop)
    lookup = Lookup(shop.store, partition_count=shop.count, tenant=TENANT, secret=SECRET)
    end = ANNS["user_id"]
    assert asyncio.run(lookup.actor_of(ANNS["phone"])) is not None
    del shop.store._states[partition_of(end, shop.count)][node_name(TENANT, end)]
    for name in (end, ANNS["phone"]):
        with pytest.raises(StoreError) as caught:
            asyncio.run(lookup.actor_of(name))
        assert caught.value.code == "store/behind"


def test_who_was_erased_has_no_state_any_more() -> None:
    shop = played(both_shop, erase=ANNS["phone"])
    lookup = Lookup(shop.store, partition_count=shop.count, tenant=TENANT, secret=SECRET)
    for name in (ANNS["user_id"], ANNS["phone"]):
        assert asyncio.run(lookup.actor_of(name)) is None
