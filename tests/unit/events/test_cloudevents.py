"""CloudEvents, held against the CNCF's own package as the peer."""

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from engine.errors import ContractError
from engine.events.cloudevents import from_binary, from_cloudevent, is_cloudevent

DATA = {"value": 150.0, "cart_id": "a", "category": "食品"}


def peer() -> CloudEvent:
    """Return an event as the package builds it."""
    attributes = {
        "id": "e 1", "source": "/shop/7", "type": "cart.updated", "specversion": "1.0",
        "subject": "user_id:u1", "datacontenttype": "application/json",
        "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }  # fmt: skip
    return CloudEvent(attributes, DATA)


def test_the_package_s_structured_event_is_read() -> None:
    message = to_structured_event(peer(), JSONFormat())
    body = orjson.loads(message.body)
    assert is_cloudevent(body)
    raw = from_cloudevent(body)
    assert raw.name == "cart.updated"
    assert raw.data == DATA
    assert raw.message_id == "/shop/7\0e 1"
    assert raw.remembered == {"user_id": "u1"}
    assert datetime.fromisoformat(raw.original) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_package_s_binary_event_is_the_same_event() -> None:
    message = to_binary_event(peer(), JSONFormat())
    body = from_binary(message.headers, message.body, prefix="ce-")
    raw = from_cloudevent(body)
    expected = from_cloudevent(orjson.loads(to_structured_event(peer(), JSONFormat()).body))
    assert (raw.name, raw.data, raw.message_id) == (
        expected.name, expected.data, expected.message_id,
    )  # fmt: skip


def test_data_in_base64_is_not_lost() -> None:
    text = base64.b64encode(orjson.dumps(DATA)).decode()
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": text}
    assert from_cloudevent(event).data == DATA


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": None}, "contract/shape"),
        ({"type": ""}, "contract/shape"),
        ({"source": 7}, "contract/shape"),
        ({"data": "text"}, "contract/type"),
        ({"data": None, "data_base64": "***"}, "contract/json"),
        ({"data": None, "data_base64": "AAAA"}, "contract/json"),
        ({"data": None, "data_base64": 7}, "contract/json"),
    ],
)
def test_what_is_no_cloudevent_is_refused(change: dict[str, Any], code: str) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {}}
    with pytest.raises(ContractError) as caught:
        from_cloudevent(event | change)
    assert caught.value.code == code


def test_a_binary_event_whose_body_is_no_json_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        from_binary({"ce-id": "1"}, b"\xff", prefix="ce-")
    assert caught.value.code == "contract/json"
