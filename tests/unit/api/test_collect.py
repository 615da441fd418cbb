"""The front door, request by request: what is taken, what is refused, and what is kept of it."""

import re
from hashlib import sha256
from typing import Any

import orjson
import pytest

from engine.api.admission import Room
from engine.api.collect import BATCH_MAX
from engine.events import topics
from engine.events.record import partition_of
from tests.unit.api.front import NOW, PARTITIONS, Front, basic, zipped

ORDER = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1",
         "properties": {"total": 42.5, "currency": "CNY"}}  # fmt: skip
BAD = ORDER | {"messageId": "m2", "properties": {"total": "42,50"}}


@pytest.fixture
def front() -> Front:
    return Front()


@pytest.mark.parametrize(
    ("word", "body", "event_type"),
    [
        ("identify", {"traits": {"tier": "gold"}}, "customer.identified"),
        ("i", {"traits": {"tier": "gold"}}, "customer.identified"),
        ("track", {"event": "Order Completed", "properties": {"total": 1}}, "order.placed"),
        ("t", {"event": "Order Completed", "properties": {"total": 1}}, "order.placed"),
        ("page", {"name": "home"}, "web.page_viewed"),
        ("p", {"name": "home"}, "web.page_viewed"),
        ("screen", {"name": "home"}, "app.screen_viewed"),
        ("s", {"name": "home"}, "app.screen_viewed"),
        ("group", {"groupId": "g1"}, "customer.grouped"),
        ("g", {"groupId": "g1"}, "customer.grouped"),
        ("alias", {"previousId": "a1"}, "customer.identified"),
        ("a", {"previousId": "a1"}, "customer.identified"),
    ],
)
def test_each_method_has_a_path_a_short_path_and_its_event(
    front: Front, word: str, body: dict[str, Any], event_type: str
) -> None:
    answer = front.send(f"/v1/{word}", {"userId": "u1", "anonymousId": None, **body})
    assert (answer.status, orjson.loads(answer.body)) == (200, {"success": True})
    (event,) = front.events
    assert (event.type, event.source, event.received_at) == (event_type, "shop", NOW)


@pytest.mark.parametrize("word", ["batch", "b", "import"])
def test_a_batch_goes_home_event_by_event(front: Front, word: str) -> None:
    page = {"type": "page", "anonymousId": "a1", "userId": None, "name": "home"}
    assert front.send(f"/v1/{word}", {"batch": [ORDER, page]}).status == 200
    assert sorted(event.type for event in front.events) == ["order.placed", "web.page_viewed"]
    for record in front.log.records(topics.EVENTS):
        assert record.partition == partition_of(record.key.decode(), 8)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (orjson.dumps({"batch": [ORDER]}), {"content_type": "text/plain"}),
        (orjson.dumps({"batch": [ORDER]}), {"content_type": "application/x-www-form-urlencoded"}),
        (orjson.dumps({"batch": [ORDER]}), {}),
        (zipped({"batch": [ORDER]}), {"content_encoding": "gzip"}),
        (zipped({"batch": [ORDER]}), {"content_encoding": "GZIP"}),
        (zipped({"batch": [ORDER]}), {"content_type": "text/plain"}),  # known by its magic
    ],
)
def test_json_is_read_under_any_content_type_zipped_or_not(
    front: Front, body: bytes, headers: dict[str, str]
) -> None:
    assert front.send("/v1/batch", body, parts=3, **headers).status == 200
    (event,) = front.events
    assert event.id == sha256(b"shop\0m1").digest()[:16].hex()
    assert front.dead == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"authorization": basic("shop-key")}, {}),
        ({"authorization": "Bearer shop-key"}, {}),
        ({"x_write_key": "shop-key"}, {}),
        ({}, {"writeKey": "shop-key"}),
        ({"authorization": "Basic ***"}, {"writeKey": "shop-key"}),
        # The header wins: what stands in a body may have been copied from elsewhere.
        ({"authorization": basic("shop-key")}, {"writeKey": "nobody"}),
    ],
)
def test_the_key_comes_by_any_of_its_ways(
    front: Front, headers: dict[str, Any], body: dict[str, Any]
) -> None:
    assert front.send("/v1/batch", {"batch": [ORDER], **body}, key="", **headers).status == 200
    assert [event.source for event in front.events] == ["shop"]


@pytest.mark.parametrize("body", [orjson.dumps({"batch": [ORDER]}), b"{", b"0" * 4_194_305])
@pytest.mark.parametrize("key", ["", "nobody"])
def test_of_an_unknown_key_nothing_is_kept(front: Front, key: str, body: bytes) -> None:
    assert front.send("/v1/batch", body, key=key).status == 401
    assert (front.events, front.dead) == ([], [])


def test_any_key_is_one_source_when_it_is_said_so() -> None:
    front = Front(any_key="shop")
    assert front.send("/v1/track", ORDER, key="whatever").status == 200
    assert front.send("/v1/track", b"{", key="whatever").status == 400
    assert [event.source for event in front.events] == ["shop"]
    assert [letter["source"] for letter in front.dead] == ["shop"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "contract/json"),
        (b"{", 400, "contract/json"),
        (b"[" * 5_000, 400, "contract/json"),
        (b"\x1f\x8b broken", 400, "contract/json"),
        (zipped({"batch": [ORDER]})[:-9], 400, "contract/json"),
        (b"[]", 400, "contract/shape"),
        (b"7", 400, "contract/shape"),
        (b'{"batch": {}}', 400, "contract/shape"),
        (b'{"event": "Order Completed"}', 400, "contract/shape"),
        (b" " * 4_194_305, 413, "contract/too-large"),
        (zipped("x" * 9_000_000), 413, "contract/too-large"),  # 9 KB that become 9 MB
        (orjson.dumps({"batch": [ORDER] * (BATCH_MAX + 1)}), 413, "contract/too-large"),
    ],
)
def test_a_body_that_cannot_be_taken_leaves_one_dead_letter(
    front: Front, body: bytes, status: int, reason: str
) -> None:
    answer = front.send("/v1/batch", body, parts=5)
    assert answer.status == status
    assert orjson.loads(answer.body)["success"] is False
    (letter,) = front.dead
    assert (letter["reason"], letter["source"], letter["at"]) == (reason, "shop", NOW)
    assert letter["original"] == body[:32_768]
    assert front.events == []
    assert front.counted("engine_dead_events_total", stage="collect", reason=reason) == 1


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b"])
def test_a_body_at_its_limits_is_taken(front: Front, path: str) -> None:
    pages = [{"type": "page", "userId": "u1", "messageId": str(n)} for n in range(BATCH_MAX)]
    body = orjson.dumps({"batch": pages})
    assert front.send(path, body + b" " * (4_194_304 - len(body)), parts=7).status == 200
    assert len(front.events) == BATCH_MAX


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"type":"track","event":"Order Completed","userId":"u1","properties":{"total":"x"}}',
         "contract/type"),
        (b'{"type":"track","event":"Order Completed","properties":{"total":1}}',
         "identity/missing"),
        (b'{"type":"page","userId":"u1","timestamp":"the year 0"}', "time/impossible"),
        (b'{"type":"dance","userId":"u1"}', "contract/shape"),
        (b"null", "contract/shape"),
        (b'"text"', "contract/shape"),
        (b'{"type":"page","userId":"u1","properties":' + b'{"a":' * 20 + b"1" + b"}" * 21,
         "contract/too-deep"),
        (b'{"type":"page","userId":"u1","properties":' + b'{"a":' * 600 + b"1" + b"}" * 601,
         "contract/too-deep"),
        (b'{"type":"page","userId":"u1","name":"' + b"x" * 33_000 + b'"}', "contract/too-large"),
        # JavaScript cuts an emoji in two and writes the half; it is no text.
        (b'{"type":"track","event":"x","userId":"u1","properties":{"a":"\\ud83d"}}',
         "contract/json"),
        (b'{"type":"track","event":"Order Completed","userId":"u1","messageId":"\\ud83d",'
         b'"properties":{"total":1}}', "contract/json"),
        (b'{"type":"track","event":"x","userId":"u1","properties":{"a":"caf\xe9"}}',
         "contract/json"),  # Latin-1
        (b'{"type":"track","event":"Order Completed","userId":"u1","properties":{"total":NaN}}',
         "contract/type"),  # Python's json writes NaN
    ],
)  # fmt: skip
def test_one_bad_event_has_no_effect_on_its_neighbours(
    front: Front, bad: bytes, reason: str
) -> None:
    good = orjson.dumps(ORDER)
    body = b'{"batch": [' + good + b", " + bad + b", " + good.replace(b"m1", b"m3") + b"]}"
    answer = front.send("/v1/batch", body)
    assert (answer.status, orjson.loads(answer.body)) == (200, {"success": True})
    assert {event.id for event in front.events} == {
        sha256(b"shop\0" + name).digest()[:16].hex() for name in (b"m1", b"m3")
    }
    (letter,) = front.dead
    assert letter["reason"] == reason
    if bad.isascii() and b"\\" not in bad:
        assert letter["original"] == bad[:32_768]
    assert front.collector.totals == {"accepted": 2, "dead": 1}
    assert front.counted("engine_collect_events_total", source="shop") == 2
    assert front.counted("engine_dead_events_total", stage="collect", reason=reason) == 1


def test_an_event_that_stands_alone_is_kept_byte_for_byte(front: Front) -> None:
    original = orjson.dumps(BAD, option=orjson.OPT_INDENT_2)
    assert front.send("/v1/track", original).status == 200
    (letter,) = front.dead
    assert letter["original"] == original
    assert letter["id"] == sha256(b"shop\0m2").digest()[:16].hex()


def test_a_dead_letter_knows_its_method_also_when_only_the_path_said_it(front: Front) -> None:
    assert front.send("/v1/track", {k: v for k, v in BAD.items() if k != "type"}).status == 200
    (letter,) = front.dead
    assert orjson.loads(letter["original"])["type"] == "track"


def test_while_the_log_is_down_the_client_is_told_to_come_again(front: Front) -> None:
    front.log.broken = True
    for body in ({"batch": [ORDER]}, {"batch": [BAD]}, b"{"):
        answer = front.send("/v1/batch", body)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert not front.collector.totals.total()
    front.log.broken = False
    assert front.send("/v1/batch", {"batch": [ORDER]}).status == 200
    assert len(front.events) == 1


def test_a_source_that_sends_too_fast_is_told_to_wait(front: Front) -> None:
    body = {"batch": [ORDER] * 15}
    statuses = [front.send("/v1/batch", body, key="slow-key").status for _ in range(3)]
    assert statuses == [200, 200, 429]  # 10 a second, two seconds' worth, the rest on credit
    assert front.send("/v1/batch", body, key="slow-key").headers["retry-after"] == "1"
    assert front.send("/v1/batch", body).status == 200, "another source is not held back"


@pytest.mark.parametrize(
    ("origin", "status"), [("https://shop.example", 200), ("https://other.example", 403)]
)
def test_a_key_serves_the_pages_that_it_was_given_to(
    front: Front, origin: str, status: int
) -> None:
    answer = front.send("/v1/t", ORDER, key="site-key", origin=origin)
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == origin
    assert len(front.events) == (status == 200)
    assert front.dead == []


def test_a_preflight_is_answered_and_may_be_remembered(front: Front) -> None:
    answer = front.send(
        "/v1/t", method="OPTIONS", key="", origin="https://shop.example",
        access_control_request_headers="authorization,sentat",
    )  # fmt: skip
    assert answer.status == 204
    assert answer.headers["access-control-allow-headers"] == "authorization,sentat"
    assert answer.headers["access-control-max-age"] == "86400"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "content-length" not in answer.headers, "RFC 9110: a 204 has none"


@pytest.mark.parametrize(
    ("path", "query", "names"),
    [
        ("/v1/projects/k1/settings", "", ("integrations", "Segment.io", "apiKey")),
        ("/sourceConfig/", "p=npm&writeKey=k1", ("source", "writeKey")),
    ],
)
def test_a_browser_sdk_gets_its_settings(
    front: Front, path: str, query: str, names: tuple[str, ...]
) -> None:
    answer = front.send(path, method="GET", key="", query=query, origin="https://a.example")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    value = orjson.loads(answer.body)
    for name in names:
        value = value[name]
    assert value == "k1"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/dance", 404), ("GET", "/v1/track", 404), ("PUT", "/v1/track", 405)],
)
def test_what_is_not_served_says_so(front: Front, method: str, path: str, status: int) -> None:
    assert front.send(path, ORDER, method=method).status == status
    assert (front.events, front.dead) == ([], [])


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/v1/dance", ORDER, {}, 404, "http/path"),
        ("/v1/track", ORDER, {"method": "PUT"}, 405, "http/method"),
        ("/v1/track", ORDER, {"key": "nobody"}, 401, "source/unknown"),
        ("/v1/t", ORDER, {"key": "site-key", "origin": "https://x.example"}, 403, "source/origin"),
        ("/v1/batch", {"batch": [ORDER] * 25}, {"key": "slow-key"}, 429, "source/too-fast"),
        ("/v1/batch", b"{", {}, 400, "contract/json"),
        ("/v1/batch", {}, {}, 400, "contract/shape"),
        ("/v1/batch", b" " * 4_194_305, {}, 413, "contract/too-large"),
    ],
)
def test_a_refusal_says_what_in_a_code_and_in_words(
    front: Front, path: str, body: Any, headers: dict[str, Any], status: int, code: str
) -> None:
    if status == 429:
        front.send(path, body, **headers)
    answer = front.send(path, body, **headers)
    said = orjson.loads(answer.body)
    assert (answer.status, said["success"], said["code"]) == (status, False, code)
    assert said["message"].isascii()
    told = orjson.loads(front.send(path, body, accept_language="zh-CN,zh;q=0.9", **headers).body)
    assert told["code"] == code and re.search("[\u4e00-\u9fff]", told["message"]), told


def test_a_log_that_is_down_is_a_refusal_with_a_code(front: Front) -> None:
    front.log.broken = True
    answer = front.send("/v1/track", ORDER)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (503, "log/down")


def test_a_clock_that_is_wrong_is_corrected_by_the_time_of_sending(front: Front) -> None:
    event = ORDER | {"originalTimestamp": "2001-01-01T00:00:00Z"}
    front.send("/v1/batch", {"batch": [event], "sentAt": "2001-01-01T00:00:05Z"})
    front.send("/v1/track", event | {"messageId": "m9"}, sentat="2001-01-01T00:00:05Z")
    assert [event.at for event in front.events] == [NOW - 5_000] * 2


def test_bodies_under_way_are_bounded_and_their_room_comes_back(front: Front) -> None:
    front.collector._bodies = Room(1_000)
    body = {"batch": [ORDER]}
    assert front.send("/v1/batch", orjson.dumps(body) + b" " * 2_000, parts=9).status == 503
    for _ in range(20):  # taken, refused, and broken off: each gives its room back
        assert front.send("/v1/batch", body).status == 200
        assert front.send("/v1/batch", b"{").status == 400
        assert front.send("/v1/batch", body, key="nobody").status == 401
        assert front.send("/v1/batch", orjson.dumps(body) + b" " * 2_000, parts=9).status == 503


def test_an_event_goes_to_where_its_person_is_believed_to_live() -> None:
    asked: list[str] = []

    def routes(home: str) -> str:
        asked.append(home)
        return "0uelsewhere"

    front = Front(routes=routes)
    front.send("/v1/track", ORDER)
    (record,) = front.log.records(topics.EVENTS)
    (event,) = front.events
    assert (asked, record.key) == ([event.ids[0]], b"0uelsewhere")
    assert record.partition == partition_of("0uelsewhere", PARTITIONS)
