"""Messages as the SDKs really send them, translated."""

from typing import Any

import pytest

from engine.errors import ContractError
from engine.events.segment import from_segment


@pytest.mark.parametrize(
    ("message", "name", "data", "identifiers"),
    [
        (  # segment-analytics-python: explicit null
            {"type": "track", "event": "Order Completed", "userId": "u1", "anonymousId": None,
             "properties": {"total": 1}},
            "Order Completed", {"total": 1}, {"user_id": "u1"},
        ),
        (  # a track without properties
            {"type": "track", "event": " Signed In ", "anonymousId": "a", "properties": None},
            "Signed In", {}, {"anonymous_id": "a"},
        ),
        (  # analytics-next: the path stands in context.page
            {"type": "page", "anonymousId": "a", "context": {"page": {"path": "/p/1"}}},
            "web.page_viewed", {"page": "/p/1"}, {"anonymous_id": "a"},
        ),
        (
            {"type": "page", "userId": 7, "name": "Home", "category": "food"},
            "web.page_viewed", {"page": "Home", "category": "food"}, {"user_id": 7},
        ),
        (
            {"type": "screen", "userId": "u", "name": "Cart", "properties": {"x": 1}},
            "app.screen_viewed", {"x": 1, "screen": "Cart"}, {"user_id": "u"},
        ),
        (
            {"type": "identify", "userId": "u", "traits": {
                "firstName": "Ann", "lastName": "Lee", "address": {"city": "上海"},
                "consent": {"email": True}}},
            "customer.identified",
            {"firstName": "Ann", "lastName": "Lee", "name": "Ann Lee", "city": "上海",
             "consent.email": True},
            {"user_id": "u"},
        ),
        (
            {"type": "group", "userId": "u", "groupId": "g", "traits": {"name": "Club"}},
            "customer.grouped", {"name": "Club", "group_id": "g"}, {"user_id": "u"},
        ),
        (
            {"type": "alias", "userId": "u", "previousId": "a-1"},
            "customer.identified", {"anonymous_id": "a-1"}, {"user_id": "u"},
        ),
    ],
)  # fmt: skip
def test_a_message_becomes_a_raw_event(
    message: dict[str, Any], name: str, data: dict[str, Any], identifiers: dict[str, Any]
) -> None:
    raw = from_segment(message)
    assert raw.name == name
    assert {k: v for k, v in raw.data.items() if v is not None} == data
    assert raw.identifiers == identifiers


def test_the_path_says_the_method_when_the_message_does_not() -> None:
    assert from_segment({"event": "x", "userId": "u"}, "track").name == "x"


def test_rudderstack_s_original_timestamp_is_the_time() -> None:
    message = {"type": "page", "originalTimestamp": "2026-01-01T00:00:00Z", "sentAt": "s"}
    raw = from_segment(message)
    assert (raw.original, raw.sent) == ("2026-01-01T00:00:00Z", "s")
    assert from_segment({**message, "timestamp": "t"}).original == "t"


def test_what_the_client_remembers_comes_last() -> None:
    context = {"device": {"id": "d1"}, "traits": {"email": "old@example.com", "phone": None}}
    raw = from_segment({"type": "identify", "userId": "u", "context": context})
    assert raw.remembered == {"device_id": "d1", "email": "old@example.com"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({}, "contract/shape"),
        ({"type": "delete"}, "contract/shape"),
        ({"type": ["track"]}, "contract/shape"),
        ({"type": 10**5000}, "contract/shape"),
        ({"type": "track"}, "contract/missing"),
        ({"type": "track", "event": "  "}, "contract/missing"),
        ({"type": "track", "event": 7}, "contract/missing"),
        ({"type": "track", "event": "x", "properties": "none"}, "contract/type"),
        ({"type": "identify", "traits": [1]}, "contract/type"),
    ],
)
def test_what_is_no_message_is_refused(message: dict[str, Any], code: str) -> None:
    with pytest.raises(ContractError) as caught:
        from_segment(message)
    assert caught.value.code == code
