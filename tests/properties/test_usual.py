"""What is read straight from the bytes is to the byte what `accept` makes of the whole message."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.api.body import BadBody, parse_json
from engine.clock import iso
from engine.errors import ContractError
from engine.ingest.accept import accept
from engine.ingest.sources import Source
from engine.ingest.usual import SIZE_MAX, Taken, usual_of
from tests.properties.test_ingest import (
    CONTRACTS,
    GOOD,
    NOW,
    SECRET,
    field_names,
    instants,
    mostly,
    scalars,
    sources,
    trees,
)

SHOP = Source("shop", "k")
TRACK = {
    "type": "track", "event": "Order Completed", "messageId": "m1", "userId": "u1",
    "timestamp": "2026-05-01T09:59:00Z", "properties": {"total": 42.5, "order_id": "o1"},
}  # fmt: skip
facts = st.fixed_dictionaries(
    {}, optional={"email": mostly(st.just("A@b.cn")), "phone": mostly(st.just("138 0013 8000"))}
)
HEADS = ("messageId", "userId", "anonymousId", "originalTimestamp")
contexts = st.fixed_dictionaries(
    {},
    optional={
        "device": mostly(st.fixed_dictionaries({"id": mostly(st.just("d1"))})),
        "traits": mostly(facts),
        "library": trees,
    },
)
heads = st.fixed_dictionaries(
    {"messageId": st.just("m1"), "timestamp": mostly(instants.map(iso))},
    optional={
        "userId": st.just(" u1 "),
        "anonymousId": st.just("a1"),
        "originalTimestamp": instants.map(iso),
        "sentAt": mostly(instants.map(iso)),
        "context": mostly(contexts),
        "integrations": trees,
    },
)


def seldom(strategy: st.SearchStrategy[Any], else_: Any) -> st.SearchStrategy[Any]:
    """Return one of the strategy's values for five of the other."""
    return st.integers(0, 5).flatmap(lambda n: strategy if n == 3 else st.just(else_))


odd_heads = st.dictionaries(
    st.sampled_from(["type", "event", "properties", "specversion", *HEADS]), trees, max_size=1
)
messages = st.builds(
    lambda good, more, head, odd: (
        {"type": "track", "event": good[0], "properties": good[1] | more} | head | odd
    ),
    st.sampled_from(GOOD),
    seldom(st.dictionaries(st.one_of(field_names, st.text(max_size=8)), scalars, max_size=3), {}),
    heads,
    seldom(odd_heads, {}),
)


ID_NUMBER = "11010519491231002X"
ENTRY: dict[str, Any] = {
    "event": "store.entered", "userId": None, "anonymousId": None,
    "properties": {"store_id": "s1"},
}  # fmt: skip


def long_way(
    raw: bytes, source: Source, *, sent_at: int | None = None, method: str | None = None
) -> Taken | str:
    """Return what the front door makes of these bytes without the short way, or the code."""
    try:
        body = parse_json(raw)
        _, key, value = accept(
            body.value, raw=body.written(dict(body.value)), source=source, received_at=NOW,
            sent_at=sent_at, contracts=CONTRACTS, secret=SECRET, method=method,
        )  # fmt: skip
    except BadBody as bad:
        return bad.reason
    except ContractError as error:
        return error.code
    return key, value


@settings(max_examples=200)
@given(
    message=messages,
    source=sources,
    sent=st.one_of(st.none(), instants),
    method=st.sampled_from([None, "track", "track", "page"]),
    ascii_=st.booleans(),
    torn=seldom(st.tuples(st.integers(0, 400), st.binary(max_size=2)), None),
)
def test_the_short_way_ends_where_the_long_way_does(
    message: dict[str, Any], source: Source, sent: int | None, method: str | None,
    ascii_: bool, torn: tuple[int, bytes] | None,
) -> None:  # fmt: skip
    raw = json.dumps(message, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    if torn is not None:
        raw = raw[: torn[0]] + torn[1] + raw[torn[0] + 1 :]
    found = usual_of(source, CONTRACTS, SECRET)(raw, NOW, sent, method)
    event("short" if found else "long")
    if found is not None:
        assert found == long_way(raw, source, sent_at=sent, method=method)


@pytest.mark.parametrize(("name", "data"), GOOD)
def test_what_is_usual_goes_the_short_way(name: str, data: dict[str, Any]) -> None:
    raw = orjson.dumps(TRACK | {"event": name, "properties": data})
    contract = CONTRACTS.by_name[name]
    found = usual_of(SHOP, CONTRACTS, SECRET)(raw, NOW, NOW, None)
    if contract.writer or contract.named_by:
        assert found is None
    else:
        assert found == long_way(raw, SHOP, sent_at=NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"messageId": None},
        {"messageId": ""},  # then its id is of its bytes
        {"timestamp": "2026-05-01T09:59:00"},  # without a zone
        {"timestamp": "1969-12-31T23:59:59Z"},
        {"timestamp": f"2026-05-01T09:59:00.{'1' * 60}Z"},
        {"timestamp": None},
        {"event": " Order Completed"},
        {"event": "Order Complete"},
        {"userId": 7},
        {"userId": "\ud800"},
        {"userId": None},
        {"specversion": None},
        {"type": "page"},
        {"properties": {"total": "a lot"}},
        {"properties": {"total": 42.5, "x": 2**63}},
        {"properties": None},
        {"context": []},
        {"x": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]},
        {"x": {str(n): 0 for n in range(257)}},
        {"x": "x" * SIZE_MAX},
    ],
    ids=lambda change: str(change)[:30],
)
def test_what_is_not_usual_is_left_to_the_long_way(change: dict[str, Any]) -> None:
    usual = usual_of(SHOP, CONTRACTS, SECRET)
    assert usual(json.dumps(TRACK).encode(), NOW, None, None) is not None
    assert usual(json.dumps(TRACK | change).encode(), NOW, None, None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"sentAt": "2026-05-01T10:00:30Z"},
        {"sentAt": "2026-05-01T09:00:00Z"},  # before it happened
        {"timestamp": None, "originalTimestamp": "2026-05-01T17:59:00.5+08:00"},
        {"properties": {"total": 1, "user_id": ID_NUMBER, "id_number": ID_NUMBER}},
        {"properties": {"total": 1, "email": "A@b.cn", "member_no": f" {ID_NUMBER}"}},
        {"userId": "undefined", "anonymousId": "a1"},
        {"context": {"device": {"id": ""}, "traits": {"phone": "13800138000", "email": ""}}},
        {"context": {"device": {"id": "d1"}, "traits": {"email": "x@y.cn"}}, "anonymousId": "a"},
        ENTRY,
        ENTRY | {"userId": "u1"},
    ],
    ids=lambda change: str(change)[:40],
)
@pytest.mark.parametrize("trust", ["none", "names", "proves"])
def test_what_is_rare_but_in_order_goes_the_short_way(change: dict[str, Any], trust: str) -> None:
    source = Source("shop", "k", trust=trust, currency="JPY")
    raw = json.dumps(TRACK | {"anonymousId": "a0"} | change).encode()
    found = usual_of(source, CONTRACTS, SECRET)(raw, NOW, None, None)
    assert found is not None
    assert found == long_way(raw, source)


def test_what_a_source_may_not_send_goes_the_long_way() -> None:
    source = Source("shop", "k", types=("*", "!order.*"))
    raw = json.dumps(TRACK).encode()
    assert usual_of(source, CONTRACTS, SECRET)(raw, NOW, None, None) is None
    assert long_way(raw, source) == "source/type"
