"""The one check behind every door."""

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.clock import DAY_MS, parse_iso
from engine.errors import ContractError
from engine.events import codec
from engine.events.contract import parse_contracts
from engine.events.ids import birth_id, entity_id
from engine.ingest.accept import DEPTH_MAX, EVENT_SIZE_MAX, KEYS_MAX, REASONS, Accepted, accept
from engine.ingest.sources import Source

SECRET = b"a secret of thirty-two characters"
NOW = parse_iso("2026-05-01T10:00:00Z")
SHOP = Source(name="shop", key="k")
CONTRACTS = parse_contracts(
    {
        "sets.yaml": "tiers: [bronze, gold]",
        "order": "event: order.placed\nsegment: [Order Completed]\nkey: person, store(store_id)\n"
        "fields: {value: {type: money, from: [total]}, store_id: optional string}",
        "ticket": "event: store.ticket_taken\nkey: store(store_id)\nfields: {store_id: string}",
        "call": "event: call.started\nfields:\n"
        "  caller: {type: optional string, identifier: phone}\n"
        "  id_card: {type: optional string, identifier: id_number}",
        "band": "event: churn.band_changed\nwriter: engine\nfields: {band: string}",
        "failed": "event: delivery.failed\nwriter: engine\n"
        "fields: {trigger_id: string, customer: optional string}",
        "identified": "event: customer.identified\n"
        "fields: {tier: optional string in tiers}\ntraits: {tier: tier}",
    }
)


def order(**change: Any) -> dict[str, Any]:
    """Return a message of an order; None takes a key away."""
    message = {
        "type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1",
        "timestamp": "2026-05-01T09:59:00Z", "properties": {"total": 42.5},
    }  # fmt: skip
    return {k: v for k, v in (message | change).items() if v is not None}


def take(
    message: dict[str, Any],
    source: Source = SHOP,
    *,
    raw: bytes | None = None,
    sent_at: int | None = None,
) -> Accepted:
    """Accept a message as the collector would."""
    return accept(
        message,
        raw=json.dumps(message).encode() if raw is None else raw,
        source=source,
        received_at=NOW,
        sent_at=sent_at,
        contracts=CONTRACTS,
        secret=SECRET,
    )


def birth(kind: str, value: str) -> str:
    """Return a birth id in the tenant of the tests."""
    return birth_id(kind, value, tenant="demo", secret=SECRET)


def test_a_message_becomes_an_event_at_home_in_its_strongest_identifier() -> None:
    event, key, value = take(order(anonymousId="a1", context={"traits": {"email": "A@b.cn"}}))
    assert event.type == "order.placed"
    assert event.ids == [
        birth("user_id", "u1"),
        birth("email", "a@b.cn"),
        birth("anonymous_id", "a1"),
    ]
    assert key == event.ids[0]
    assert event.data == {
        "value": 4250, "currency": "CNY", "user_id": "u1", "email": "a@b.cn", "anonymous_id": "a1",
    }  # fmt: skip
    assert (event.at, event.original_at, event.received_at) == (NOW - 60_000, NOW - 60_000, NOW)
    assert (event.tenant, event.source, event.ev) == ("demo", "shop", 0)
    assert codec.decode(value) == event


def test_copies_of_a_message_are_one_event_and_others_are_others() -> None:
    assert take(order()).event.id == take(order(properties={"total": 1})).event.id
    assert take(order()).event.id != take(order(messageId="m2")).event.id
    assert take(order(messageId=None)).event.id != take(order(messageId=None, userId="u2")).event.id


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"userId": None}, "identity/missing"),
        ({"userId": ""}, "identity/missing"),
        ({"userId": "undefined"}, "identity/missing"),
        ({"userId": None, "properties": {"total": 1, "phone": "12"}}, "identity/missing"),
        ({"userId": {"id": 1}}, "contract/type"),
        ({"userId": True}, "contract/type"),
        ({"event": "Order Complete"}, "contract/unknown-event"),
        ({"event": "churn.band_changed", "properties": {"band": "calm"}}, "source/type"),
        ({"properties": {}}, "contract/missing"),
        ({"properties": {"total": "42,50"}}, "contract/type"),
        ({"type": "identify", "traits": {"tier": "platinum"}}, "contract/set"),
        ({"type": "delete"}, "contract/shape"),
        ({"timestamp": "yesterday"}, "time/impossible"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "time/impossible"),
        ({"timestamp": "2100-01-01T00:00:00Z"}, "time/impossible"),
        ({"timestamp": 1e99}, "time/impossible"),
        ({"timestamp": {"at": 1}}, "time/impossible"),
        ({"properties": {"total": 1, "note": "x" * EVENT_SIZE_MAX}}, "contract/too-large"),
        ({"context": {str(n): n for n in range(KEYS_MAX)}}, "contract/too-many-keys"),
        ({"specversion": "1.0"}, "contract/shape"),
        ({"userId": "u\ud800"}, "identity/missing"),  # a lone surrogate is no text
        ({"properties": {"total": 1, "note": "\ud800"}}, "contract/json"),
    ],
)
def test_a_bad_message_has_a_named_reason(change: dict[str, Any], code: str) -> None:
    with pytest.raises(ContractError) as caught:
        take(order(**change))
    assert caught.value.code == code
    assert code in REASONS


def test_an_unknown_event_is_told_what_it_may_have_meant() -> None:
    with pytest.raises(ContractError) as caught:
        take(order(event="Order Complete"))
    assert str(caught.value) == (
        "Order Complete m1: no contract for event `Order Complete`; did you mean `Order Completed`?"
        " [contract/unknown-event]"
    )


def nested(depth: int) -> dict[str, Any]:
    """Return an order whose deepest object or list is at `depth`; the message itself is 1."""
    inner: Any = 1
    for level in range(depth - 2):
        inner = {"x": inner} if level % 2 else [inner]
    return order(properties={"total": 1}, context={"deep": inner} if depth > 2 else {})


def test_sixteen_levels_pass_and_seventeen_do_not() -> None:
    take(nested(DEPTH_MAX))
    with pytest.raises(ContractError) as caught:
        take(nested(DEPTH_MAX + 1))
    assert caught.value.code == "contract/too-deep"


def test_many_brackets_and_colons_in_a_text_are_no_levels_and_no_keys() -> None:
    take(order(properties={"total": 1, "note": "{[:" * 300}))


def test_256_keys_pass() -> None:
    take(order(context={str(n): n for n in range(KEYS_MAX - len(order()) - 2)}))


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "at"),
    [
        ("2026-05-01T09:59:00Z", None, NOW - 60_000),
        ("2026-05-01T17:59:00+08:00", None, NOW - 60_000),
        (NOW - 60_000, None, NOW - 60_000),
        (None, None, NOW),
        # The device's clock is two hours ahead: only its differences are believed.
        ("2026-05-01T11:59:00Z", NOW + 7_200_000, NOW - 60_000),
        # It was set between the two readings: the event cannot be later than its arrival.
        ("2026-05-01T12:00:00Z", NOW, NOW),
        (None, NOW - 5_000, NOW),
        # History: three days old when sent, whatever the clock.
        ("2026-04-28T10:00:00Z", NOW, NOW - 3 * DAY_MS),
    ],
)
def test_the_sender_s_clock_is_corrected(timestamp: Any, sent_at: int | None, at: int) -> None:
    assert take(order(timestamp=timestamp), sent_at=sent_at).event.at == at


def test_the_message_s_own_sent_at_corrects_too_and_nonsense_in_it_does_not() -> None:
    message = order(timestamp="2026-05-01T11:59:00Z", sentAt="2026-05-01T12:00:00Z")
    assert take(message).event.at == NOW - 60_000
    assert take(order(sentAt="soon")).event.at == NOW - 60_000


def test_a_source_without_trust_names_nobody_by_strong_identifiers() -> None:
    browser = replace(SHOP, name="web", trust="none")
    event = take(
        order(anonymousId="a1", properties={"total": 1, "phone": "13800138000"}), browser
    ).event
    assert event.ids == [birth("anonymous_id", "a1")]
    assert event.data["user_id"] == "u1"  # a fact, and no more
    assert event.data["phone"] == "+8613800138000"
    with pytest.raises(ContractError) as caught:
        take(order(), browser)
    assert caught.value.code == "identity/missing"


def test_a_source_that_proves_marks_its_events() -> None:
    assert take(order(), replace(SHOP, trust="proves")).event.ev == 1


def test_a_source_sends_only_what_it_may() -> None:
    with pytest.raises(ContractError) as caught:
        take(order(), replace(SHOP, types=("*", "!order.*")))
    assert caught.value.code == "source/type"
    band = order(event="churn.band_changed", properties={"band": "calm"})
    assert take(band, replace(SHOP, name="engine")).event.type == "churn.band_changed"


def test_a_thing_comes_last_and_is_home_only_where_nobody_is_named() -> None:
    store = entity_id("store", "s1", tenant="demo", secret=SECRET)
    both = take(order(properties={"total": 1, "store_id": "s1"}))
    assert both.event.ids == [birth("user_id", "u1"), store]
    assert both.key == birth("user_id", "u1")
    ticket = order(event="store.ticket_taken", userId=None, properties={"store_id": "s1"})
    assert take(ticket).event.ids == [store]
    assert take(ticket).key == store
    named = take(ticket | {"userId": "u1"})
    assert named.event.ids == [birth("user_id", "u1"), store]
    with pytest.raises(ContractError) as caught:
        take(order(userId=None, properties={"total": 1, "store_id": "s1"}))
    assert caught.value.code == "identity/missing"


def test_an_id_number_finds_its_person_and_is_never_kept() -> None:
    for name in ("id_card", "id_number"):
        message = order(event="call.started", properties={name: "11010519491231002x"})
        accepted = take(message)
        assert birth("id_number", "11010519491231002X") in accepted.event.ids
        assert b"1101051949" not in accepted.value


def test_an_id_number_under_another_name_names_and_is_not_kept() -> None:
    number = "11010519491231002X"
    accepted = take(order(userId=number, properties={"total": 1, "store_id": number}))
    assert accepted.event.ids[0] == birth("user_id", number)
    assert b"1101051949" not in accepted.value
    call = take(order(event="call.started", properties={"caller": number}))
    assert b"1101051949" not in call.value


def test_an_order_number_of_eighteen_digits_is_no_id_number() -> None:
    event = take(order(properties={"total": 1, "order_id": "202605011234567890"})).event
    assert event.data["order_id"] == "202605011234567890"


def test_the_engine_answers_the_node_that_decided() -> None:
    engine = replace(SHOP, name="engine")
    for home in (
        birth("openid", "w"),
        entity_id("store", "s1", tenant="demo", secret=SECRET),
        "-9" + birth("openid", "w")[2:],  # who was parted from another by staff
    ):
        data = {"trigger_id": "t", "customer": home}
        message = order(event="delivery.failed", userId=None, properties=data)
        assert take(message, engine).event.ids == [home]
    forged = order(properties={"total": 1, "customer": birth("openid", "w")})
    assert take(forged).event.ids == [birth("user_id", "u1")]
    nonsense = order(event="delivery.failed", properties={"trigger_id": "t", "customer": "R"})
    assert take(nonsense, engine).event.ids == [birth("user_id", "u1")]


def test_a_field_without_a_name_names_no_thing() -> None:
    message = order(event="call.started", properties={"": "s1"})
    assert take(message).event.ids == [birth("user_id", "u1")]


def test_a_mistyped_id_number_is_not_kept_either() -> None:
    message = order(event="clip", properties={"id_number": "110105194912310021"})
    assert b"1101051949" not in take(message, replace(SHOP, custom=True)).value


def test_ids_are_sorted_also_within_one_strength() -> None:
    ids = take(order(properties={"total": 1, "member_no": "M1"})).event.ids
    assert ids == [birth("member_no", "M1"), birth("user_id", "u1")]


def test_a_number_of_thousands_of_digits_is_no_identifier() -> None:
    with pytest.raises(ContractError) as caught:
        take(order(userId=10**5000), raw=b"")
    assert caught.value.code == "contract/type"


def test_a_field_of_another_name_can_be_an_identifier() -> None:
    message = order(event="call.started", userId=None, properties={"caller": "138 0013 8000"})
    event = take(message).event
    assert event.ids == [birth("phone", "+8613800138000")]
    assert event.data["phone"] == "+8613800138000"


def test_identifying_traits_win_over_what_the_client_remembers() -> None:
    event = take(
        order(
            type="identify",
            traits={"email": "new@x.cn"},
            context={"traits": {"email": "old@x.cn"}},
        )
    ).event
    assert event.data["email"] == "new@x.cn"


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("Video Watched", "custom.video_watched"),
        ("custom.video_watched", "custom.video_watched"),
        ("试驾", "custom.试驾"),
        ("!!!", "custom.event"),
        ("x" * 500, "custom." + "x" * 64),
    ],
)
def test_an_event_without_contract_is_custom_where_the_source_may(name: str, type_: str) -> None:
    properties = {"minutes": 3, "clip": {"id": 1}, "id_number": "11010519491231002X"}
    accepted = take(order(event=name, properties=properties), replace(SHOP, custom=True))
    assert accepted.event.type == type_
    assert accepted.event.data == {"minutes": 3, "user_id": "u1"}


def test_a_cloudevent_is_the_same_event() -> None:
    message = {
        "specversion": "1.0", "id": "1", "source": "/s", "type": "order.placed",
        "subject": "user_id:u1", "time": "2026-05-01T09:59:00Z", "data": {"value": 42.5},
    }  # fmt: skip
    event = take(message).event
    assert (event.type, event.at, event.ids) == (
        "order.placed",
        NOW - 60_000,
        [birth("user_id", "u1")],
    )


def test_the_currency_of_the_source_counts() -> None:
    assert take(order(), replace(SHOP, currency="JPY")).event.data["value"] == 42
