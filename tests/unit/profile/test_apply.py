"""What one event changes in a profile."""

from typing import Any

import pytest

from engine.events.model import Event
from engine.profile.apply import apply, plan_of
from engine.profile.model import Actor
from tests.turns import NOON, contracts, event_id

FACTS = {
    "user_id": "u1",
    "email": "ann@customers.example",
    "phone": "+8613800138000",
    "anonymous_id": "a1",
}
STRONG = ["0uAAAAAAAAAAAAAAAA", "1eAAAAAAAAAAAAAAAA", "1pAAAAAAAAAAAAAAAA"]
WEAK = ["3aAAAAAAAAAAAAAAAA"]


def told(ids: list[str]) -> Actor:
    """Return an actor after one event in which someone said who they are."""
    actor = Actor()
    data: dict[str, Any] = dict(FACTS)
    event = Event(
        id=event_id("e1"), tenant="t", source="s", type="customer.identified", at=NOON,
        original_at=NOON, received_at=NOON, ids=ids, data=data,
    )  # fmt: skip
    apply(actor, event, plan_of(event.type, contracts().get(event.type)))
    return actor


@pytest.mark.parametrize(
    ("ids", "keys"),
    [
        ([*STRONG, *WEAK], set(FACTS)),
        (WEAK, {"anonymous_id"}),  # of a source with trust `none` (accept.py)
        ([*WEAK, "EaAAAAAAAAAAAAAAAA"], {"anonymous_id"}),  # an ad is no anonymous id
        (["EsAAAAAAAAAAAAAAAA"], set()),  # a store is nobody to write to
    ],
)
def test_an_address_is_only_what_named_the_person_at_the_door(
    ids: list[str], keys: set[str]
) -> None:
    actor = told(ids)
    assert set(actor.keys) == keys
    assert actor.traits["email"].value == "ann@customers.example", "a fact it is in any case"
    assert actor.traits["phone"].value == "+8613800138000"
