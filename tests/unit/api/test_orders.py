"""Orders of staff over HTTP: who may give them, how they must look, what the log gets."""

import asyncio
from typing import Any

import msgspec
import orjson
import pytest
from starlette.applications import Starlette

from engine.adapters.memory import MemoryLog
from engine.api.orders import BODY_SIZE_MAX, order_routes
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.record import Record, header, partition_of
from engine.identity import mac
from engine.identity.messages import Claim, Erase, Split
from engine.ingest.sources import Source, Sources
from engine.runtime.orders.staff import Staff
from tests.unit.api.front import NOW

SECRET = b"secret"
SOURCES = Sources(
    {"till": Source("till", "till-key", trust="proves"), "web": Source("web", "web-key")}
)
USER = birth_id("user_id", "u1", tenant="t", secret=SECRET)
DEVICE = birth_id("device_id", "d1", tenant="t", secret=SECRET)


class Desk:
    """The routes as an ASGI app, over a log in memory."""

    def __init__(self) -> None:
        self.log = MemoryLog({topics.EVENTS: 4})
        staff = Staff(self.log, clock=self, partition_count=4, tenant="t", secret=SECRET)
        self._app = Starlette(routes=order_routes(staff, SOURCES))

    def now(self) -> int:
        """Return the time (ports.Clock)."""
        return NOW

    def post(
        self,
        path: str,
        body: bytes = b"",
        *,
        key: str = "till-key",
        query: bytes = b"",
        language: bytes = b"",
    ) -> tuple[int, Any]:
        """Return status and body of the answer to one request."""
        scope = {
            "type": "http", "method": "POST", "path": f"/api/customers/{path}",
            "query_string": query, "headers": [
                (b"authorization", f"Bearer {key}".encode()), (b"accept-language", language),
            ],
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        return sent[0]["status"], orjson.loads(b"".join(m.get("body", b"") for m in sent))

    @property
    def records(self) -> list[Record]:
        """Return what is in the log."""
        return self.log.records(topics.EVENTS)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("name", ["user_id:u1", USER])
def test_an_erasure_comes_to_the_registrar_with_our_seal(desk: Desk, name: str) -> None:
    assert desk.post(f"{name}/erase") == (202, {"ordered": True})
    (record,) = desk.records
    assert record.partition == partition_of("R", 4)
    assert msgspec.json.decode(record.value, type=Erase) == Erase("t", USER, NOW)
    seal = header(record.headers, "mac")
    assert mac.holds(seal, "erase", record.key, record.value, SECRET)


def test_a_split_names_who_leaves(desk: Desk) -> None:
    body = orjson.dumps({"ids": ["device_id:d1"]})
    assert desk.post("user_id:u1/split", body) == (202, {"ordered": True})
    (record,) = desk.records
    assert msgspec.json.decode(record.value, type=Split) == Split("t", USER, [DEVICE])


@pytest.mark.parametrize(("key", "status"), [("", 401), ("no such", 401), ("web-key", 403)])
def test_only_a_key_that_proves_may_give_orders(desk: Desk, key: str, status: int) -> None:
    assert desk.post("user_id:u1/erase", key=key)[0] == status
    assert desk.records == []


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("user:u1/erase", b"", "no identifier type `user`"),
        ("phone:12/erase", b"", "`12` is no phone"),
        ("0u12/erase", b"", "`0u12` is no customer id"),
        ("R/erase", b"", "`R` is no customer id"),
        ("user_id:u1/split", b"", 'want {"ids": ["TYPE:VALUE", ...]}'),
        ("user_id:u1/split", b"[]", 'want {"ids": ["TYPE:VALUE", ...]}'),
        ("user_id:u1/split", b'{"ids": [1]}', 'want {"ids": ["TYPE:VALUE", ...]}'),
        ("user_id:u1/split", b'{"ids": []}', "name identifiers"),
        ("user_id:u1/split", b'{"ids": ["no:x"]}', "no identifier type `no`"),
        ("user_id:u1/split", b" " * (BODY_SIZE_MAX + 1), f"more than {BODY_SIZE_MAX} bytes"),
    ],
)
def test_an_order_that_cannot_be_read_is_refused_in_words(
    desk: Desk, path: str, body: bytes, told: str
) -> None:
    status, answer = desk.post(path, body)
    assert (status, told in answer["error"]) == (400, True)
    assert desk.records == []


@pytest.mark.parametrize(
    ("key", "path", "body", "code", "words"),
    [
        ("till-key", "phone:12/erase", b"", "identity/value", "“12”不是有效的 phone"),
        ("till-key", "u/split", b"[]", "identity/split", '应为 {"ids": ["类型:值", ...]}'),
        ("web-key", "u1/erase", b"", "source/unproven", "需要 `trust: proves` 的来源的密钥"),
    ],
)
def test_who_asks_in_chinese_is_refused_in_chinese_with_the_same_code(
    desk: Desk, key: str, path: str, body: bytes, code: str, words: str
) -> None:
    chinese = desk.post(path, body, key=key, language=b"zh-CN,zh;q=0.9,en;q=0.8")
    english = desk.post(path, body, key=key, language=b"en-GB,zh;q=0.9")
    assert chinese[0] == english[0] and chinese[1] == {"error": words, "code": code}
    assert english[1]["code"] == code and english[1]["error"].isascii()


def test_rows_to_link_become_claims_and_what_is_wrong_is_told(desk: Desk) -> None:
    rows = b'{"user_id": "u1", "device_id": "d1", "city": "X"}\n{"user_id": "u2", "phone": "12"}'
    status, told = desk.post("link", rows, query=b"first=11")
    assert status == 202
    assert told == {
        "linked": 1, "alone": 1, "wrong_count": 1, "wrong": ["row 12: `12` is no phone"],
    }  # fmt: skip
    (record,) = desk.records
    assert msgspec.json.decode(record.value, type=Claim) == Claim("t", USER, [DEVICE], 0)
    assert mac.holds(header(record.headers, "mac"), "claim", record.key, record.value, SECRET)


@pytest.mark.parametrize("body", [b"[1]", b"no json", b'{"user_id": "u1"}\n\n{"a": "b"}'])
def test_rows_that_are_no_objects_are_refused_whole(desk: Desk, body: bytes) -> None:
    assert desk.post("link", body)[0] == 400
    assert desk.records == []


def test_only_a_key_that_proves_may_link(desk: Desk) -> None:
    assert desk.post("link", b'{"user_id": "u1", "device_id": "d1"}', key="web-key")[0] == 403
    assert desk.records == []


def test_while_the_log_is_down_the_order_is_to_be_given_again(desk: Desk) -> None:
    desk.log.broken = True
    assert desk.post("user_id:u1/erase")[0] == 503
