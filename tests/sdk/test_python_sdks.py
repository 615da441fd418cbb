"""The unmodified Python SDKs of Segment and RudderStack against the collector (ECOSYSTEM rows)."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
import rudderstack.analytics as rudder
from rudderstack.analytics.client import Client as Rudder
from segment.analytics.client import Client as Segment

from tests.sdk.door import Door, open_door


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        yield door


def clients(url: str) -> list[tuple[str, Any]]:
    """Return each SDK's client, pointed at the door as its documentation says."""
    rudder.dataPlaneUrl = url
    return [
        ("segment", Segment("any", host=url)),
        ("segment-gzip", Segment("any", host=url, gzip=True)),
        ("rudder", Rudder("any", host=url)),
    ]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["segment", "segment gzip", "rudder"])
def test_every_method_arrives_as_the_event_it_means(door: Door, which: int) -> None:
    _, client = clients(door.url)[which]
    client.identify("u1", {"email": "Ann@Customers.Example", "tier": "gold"})
    client.track("u1", "Order Completed", {"total": 42.5, "currency": "CNY", "order_id": "o1"})
    client.page("u1", "shop", "home", {"path": "/"})
    client.screen("u1", "app", "home", {})
    client.group("u1", "g1", {"name": "family"})
    client.flush()
    client.join()
    events = {event.type: event for event in door.events(5)}
    assert door.dead() == []
    assert set(events) == {
        "customer.identified", "order.placed", "web.page_viewed", "app.screen_viewed",
        "customer.grouped",
    }  # fmt: skip
    order = events["order.placed"]
    assert (order.data["value"], order.data["currency"]) == (4250, "CNY")
    assert order.data["user_id"] == "u1"
    assert events["customer.identified"].data["email"] == "ann@customers.example"
    homes = {event.ids[0] for event in events.values()}
    assert len(homes) == 1, "one user id, one home"


def test_the_event_id_is_the_hash_of_source_and_message_id(door: Door) -> None:
    client = Segment("any", host=door.url)
    client.track("u1", "web.page_viewed", {"page": "/"}, message_id="mine-1")
    client.flush()
    client.join()
    (event,) = door.events(1)
    assert event.id == sha256(b"demo\0mine-1").digest()[:16].hex()


def test_one_bad_event_fails_neither_its_batch_nor_the_sdk(door: Door) -> None:
    failures: list[Exception] = []
    client = Segment("any", host=door.url, on_error=lambda error, _: failures.append(error))
    client.track("u1", "Order Completed", {"total": 1.0})
    client.track("u1", "Order Completed", {"total": "42,50"}, message_id="bad-1")
    client.track("u1", "Order Completed", {"total": 2.0})
    client.flush()
    client.join()
    assert sorted(e.data["value"] for e in door.events(2)) == [100, 200]
    (letter,) = door.dead()
    assert letter["reason"] == "contract/type"
    assert "42,50" in letter["where"]
    assert '"bad-1"' in letter["original"]
    assert failures == []


def test_an_sdk_keeps_its_events_while_the_log_is_down(door: Door) -> None:
    door.log.broken = True
    client = Segment("any", host=door.url, max_retries=10)
    for number in range(3):
        client.track("u1", "web.page_viewed", {"page": f"/{number}"})
    mended = threading.Timer(2.0, lambda: setattr(door.log, "broken", False))
    mended.start()
    client.flush()
    client.join()
    assert sorted(e.data["page"] for e in door.events(3)) == ["/0", "/1", "/2"]


def test_the_rudder_sdk_gives_up_a_batch_that_is_refused_at_the_first_answer() -> None:
    failures: list[Any] = []
    with open_door(any_key="") as door:
        client = Rudder(
            "nobody", host=door.url, max_retries=2,
            on_error=lambda error, _: failures.append(error),
        )  # fmt: skip
        client.track("u1", "web.page_viewed", {"page": "/"})
        client.flush()
        client.join()
        asked = door.meter.registry.get_sample_value(
            "engine_collect_requests_total", {"status": "401"}
        )
    assert [(error.status, error.code) for error in failures] == [(401, "source/unknown")]
    assert "unknown write key" in failures[0].message
    assert asked == 1, "an answer without a code reads as a broken network, and is tried again"
