"""CloudEvents at the front door, as the CNCF's own package writes them."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.unit.api.front import Front, zipped


def peer(value: object = 150.0, *, name: str = "e 1") -> CloudEvent:
    """Return an event as the package builds it."""
    attributes = {
        "id": name, "source": "/shop/7", "type": "order.placed", "specversion": "1.0",
        "subject": "user_id:u1", "datacontenttype": "application/json",
        "time": datetime(2026, 5, 1, 9, 0, tzinfo=UTC),
    }  # fmt: skip
    return CloudEvent(attributes, {"value": value, "currency": "CNY"})


def structured(event: CloudEvent) -> bytes:
    """Return the body of the structured mode."""
    body = to_structured_event(event, JSONFormat()).body
    assert isinstance(body, bytes)
    return body


EVENT_ID = sha256(b"shop\0/shop/7\0e 1").digest()[:16].hex()


@pytest.mark.parametrize("mode", ["structured", "binary", "binary zipped", "batched", "as JSON"])
def test_each_mode_brings_the_same_event(mode: str) -> None:
    front = Front()
    message = to_binary_event(peer(), JSONFormat())
    headers: dict[str, Any] = message.headers
    if mode.startswith("binary"):
        body = zipped(peer().get_data()) if "zipped" in mode else message.body
        answer = front.send("/cloudevents", body, **headers)
    else:
        kinds = {"batched": "application/cloudevents-batch+json", "as JSON": "application/json"}
        kind = kinds.get(mode, "application/cloudevents+json; charset=utf-8")
        body = b"[" + structured(peer()) + b"]" if mode == "batched" else structured(peer())
        answer = front.send("/cloudevents", body, content_type=kind)
    assert answer.status == 200
    assert front.dead == []
    (event,) = front.events
    assert (event.id, event.type, event.data["value"]) == (EVENT_ID, "order.placed", 15_000)
    assert event.data["user_id"] == "u1"


def test_one_bad_event_of_a_batch_is_a_dead_letter() -> None:
    front = Front()
    body = b"[" + structured(peer()) + b"," + structured(peer("x", name="e 2")) + b", 7]"
    kind = "application/cloudevents-batch+json"
    assert front.send("/cloudevents", body, content_type=kind).status == 200
    assert [event.id for event in front.events] == [EVENT_ID]
    assert [letter["reason"] for letter in front.dead] == ["contract/type", "contract/shape"]


def test_a_binary_event_is_kept_with_its_attributes() -> None:
    front = Front()
    message = to_binary_event(peer("x"), JSONFormat())
    headers: dict[str, Any] = message.headers
    assert front.send("/cloudevents", message.body, **headers).status == 200
    (letter,) = front.dead
    original = orjson.loads(letter["original"])
    assert (original["id"], original["type"], original["data"]["value"]) == (
        "e 1", "order.placed", "x",
    )  # fmt: skip


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"\xff", 400), (b" " * 4_194_305, 413)])
@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_body_that_cannot_be_read_is_refused_and_kept(
    mode: str, body: bytes, status: int
) -> None:
    front = Front()
    binary = to_binary_event(peer(), JSONFormat()).headers
    headers: dict[str, Any] = {"content_type": "application/cloudevents+json"}
    headers = binary if mode == "binary" else headers
    assert front.send("/cloudevents", body, **headers).status == status
    (letter,) = front.dead
    assert letter["original"] == body[:32_768]


def test_without_a_key_nothing_is_taken() -> None:
    front = Front()
    assert front.send("/cloudevents", structured(peer()), key="").status == 401
    assert (front.events, front.dead) == ([], [])
