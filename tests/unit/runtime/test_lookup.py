"""The read path: whatever somebody was called, the answer is who they are now."""

import asyncio

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
