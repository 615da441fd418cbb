"""A seeded load: people with several identifiers, through two doors, doubled, late and poisoned.

What must come of it is noted here as it is sent: event ids and birth ids by the formulas of
WIRE.md, written once more.
"""

import asyncio
import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import Random
from time import monotonic, time
from typing import Any
from zlib import crc32

import aiohttp
import orjson
from confluent_kafka import Producer

SOURCE, TENANT = "demo", "demo"
PERSON_EVENTS = 60  # then somebody new takes the place; a family stays below the ring's 512
FAMILY = 7  # people who give one phone: rivals, and in the end a quarantine
TYPES = {
    "Order Completed": 3,
    "Cart Updated": 3,
    "Product Reviewed": 3,
    "web.page_viewed": 4,
}
LETTERS = {"user_id": "0u", "phone": "1p", "email": "1e", "device_id": "3d", "anonymous_id": "3a"}
POISON = {  # kind -> reason; those of `events` are for the fold, the others for the doors
    "http": {"type": "contract/type"},
    "inbox": {"junk": "contract/json"},
    "events": {
        "junk": "log/unreadable",
        "forged": "control/mac",
        "kind": "control/kind",
        "homeless": "identity/missing",
        "unbearable": "log/poison",
    },
}
STEP_S = 0.05
POST_S = 15.0
POSTS_MAX = 6


def event_id(message_id: str) -> str:
    """Return the id of an event of ours."""
    return sha256(f"{SOURCE}\0{message_id}".encode()).hexdigest()[:32]


def birth_id(kind: str, value: str, secret: bytes) -> str:
    """Return the birth id of an identifier."""
    letter = LETTERS[kind][1]
    digest = hmac.digest(secret, f"{TENANT}\0{letter}\0{value}".encode(), "sha256")[:12]
    return LETTERS[kind] + base64.urlsafe_b64encode(digest).decode("ascii")


@dataclass
class Person:
    """A customer as they are in truth. `family`: shares a phone with others."""

    number: int
    ids: dict[str, str]
    family: bool
    events: int = 0


@dataclass
class Input:
    """One event of a person; `value` minor units of an order, 0 of others."""

    message_id: str
    person: Person
    ids: dict[str, str]
    type: str
    value: int
    shift_ms: int
    doors: list[str] = field(default_factory=list)  # through which it was acknowledged


class Load:
    """Sends for a while; `sent`: what some door has acknowledged, by event id."""

    def __init__(self, seed: int, *, url: str, bootstrap: str, rate: float, crowd: int) -> None:
        self.random = Random(f"{seed}/load")
        self.sent: dict[str, Input] = {}
        self.poison: dict[str, str] = {}  # event id of a bad message at the HTTP door -> reason
        self.people: list[Person] = []
        self._url = url + "/v1/batch"
        self._rate = rate
        self._crowd = [self._new_person() for _ in range(crowd)]
        self._number = 0
        self._again: list[tuple[float, Input]] = []
        self._posts: set[asyncio.Task[None]] = set()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    async def run(self, over: asyncio.Event) -> None:
        """Send at the rate until told to stop, then wait until all of it is acknowledged."""
        began = monotonic()
        due = 0.0
        headers = {"Authorization": aiohttp.encode_basic_auth(SOURCE)}
        async with aiohttp.ClientSession(headers=headers) as session:
            while not over.is_set():
                passed = monotonic() - began
                wanted = int(min(passed, due + 1.0) * self._rate) - int(due * self._rate)
                due = min(passed, due + 1.0)
                self._send(session, [self._input() for _ in range(wanted)], self._due_again())
                self._producer.poll(0)
                while len(self._posts) >= POSTS_MAX:
                    await asyncio.wait(self._posts, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(STEP_S)
            self._send(session, [], [found for _, found in self._again])
            while self._posts:
                await asyncio.wait(self._posts)
            while self._producer.flush(0.1):
                await asyncio.sleep(STEP_S)

    def _due_again(self) -> list[Input]:
        now = monotonic()
        found = [each for at, each in self._again if at <= now]
        self._again = [(at, each) for at, each in self._again if at > now]
        return found

    def _send(self, session: aiohttp.ClientSession, fresh: list[Input], again: list[Input]) -> None:
        random = self.random
        batch: list[tuple[Input | None, dict[str, Any]]] = []
        for found in [*fresh, *again]:
            if random.random() < 0.5:
                batch.append((found, _message(found)))
            else:
                self._produce(found)
        for found in fresh:
            if random.random() < 0.10:
                self._again.append((monotonic() + random.choice((0.1, 1.0, 5.0, 12.0)), found))
            if random.random() < 0.01:
                self._poison(batch)
        if batch:
            task = asyncio.create_task(self._post(session, batch))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)

    async def _post(
        self, session: aiohttp.ClientSession, batch: list[tuple[Input | None, dict[str, Any]]]
    ) -> None:
        """Send one batch until the door has taken it, as an SDK does, each time with its clock."""
        while True:
            messages = [message | ({} if found is None else _times(found.shift_ms))
                        for found, message in batch]  # fmt: skip
            body = {"batch": messages, "sentAt": _iso(time())}
            try:
                timeout = aiohttp.ClientTimeout(total=POST_S)
                async with session.post(self._url, json=body, timeout=timeout) as answer:
                    if answer.status == 200:
                        break
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.3)
        for found, message in batch:
            if found is None:
                self.poison[event_id(message["messageId"])] = POISON["http"]["type"]
            else:
                self._acknowledged(found, "http")

    def _produce(self, found: Input) -> None:
        """Write to the inbox; an ack without an offset is only a guess of the client library's."""
        value = _message(found) | _times(found.shift_ms) | {"sentAt": _iso(time())}

        def acked(error: Any, message: Any) -> None:
            assert error is None, f"the broker refused an event of the load: {error}"
            if message.offset() is None:
                self._produce(found)
            else:
                self._acknowledged(found, "inbox")

        self._producer.produce(
            "channel.inbox",
            orjson.dumps(value),
            headers=[("key", SOURCE.encode())],
            on_delivery=acked,
        )

    def _acknowledged(self, found: Input, door: str) -> None:
        found.doors.append(door)
        self.sent[event_id(found.message_id)] = found

    def _poison(self, batch: list[tuple[Input | None, dict[str, Any]]]) -> None:
        random = self.random
        door = random.choice(sorted(POISON))
        kind = random.choice(sorted(POISON[door]))
        self._number += 1
        if door == "http":
            name = f"bad-{self._number}"
            message = {"type": "track", "userId": "u0", "event": "Order Completed",
                       "messageId": name, "properties": {"total": "a lot"}}  # fmt: skip
            batch.append((None, message))
        elif door == "inbox":
            self._producer.produce("channel.inbox", b"\x00{", headers=[("key", SOURCE.encode())])
        else:
            key, value, headers = _rubbish(kind, self._number)
            self._producer.produce(
                "channel.events", value, key=key, headers=headers, partition=crc32(key) % 8
            )

    def _input(self) -> Input:
        random = self.random
        place = random.randrange(len(self._crowd))
        person = self._crowd[place]
        person.events += 1
        if person.events >= PERSON_EVENTS:
            self._crowd[place] = self._new_person()
        self._number += 1
        names = random.sample(sorted(person.ids), random.randint(1, min(2, len(person.ids))))
        name = random.choices(list(TYPES), list(TYPES.values()))[0]
        value = random.choice((5_000, 15_000)) if name == "Order Completed" else 0
        shift_ms = random.choice((0, 0, 0, 300, 2_000))
        ids = {kind: person.ids[kind] for kind in names}
        return Input(f"m{self._number}", person, ids, name, value, shift_ms)

    def _new_person(self) -> Person:
        number = len(self.people)
        ids = {
            "user_id": f"u{number}",
            "phone": f"+86138{number:08d}",
            "email": f"p{number}@people.example",
            "device_id": f"d{number}",
            "anonymous_id": f"a{number}",
        }
        kept = sorted(self.random.sample(sorted(ids), self.random.randint(1, len(ids))))
        family = number % 8 == 0
        ids = {kind: ids[kind] for kind in kept}
        if family:
            ids |= {"user_id": f"u{number}", "phone": f"+86139{number // 8 // FAMILY:08d}"}
        found = Person(number, ids, family)
        self.people.append(found)
        return found


def _message(found: Input) -> dict[str, Any]:
    properties: dict[str, dict[str, Any]] = {
        "Order Completed": {"total": found.value / 100},
        "Cart Updated": {"value": 10.0, "cart_id": "c"},
        "Product Reviewed": {"rating": 3},
    }
    message: dict[str, Any] = {
        "type": "track", "event": found.type, "messageId": found.message_id,
        "properties": properties.get(found.type, {"page": "/p"}), "context": {},
    }  # fmt: skip
    for kind, value in found.ids.items():
        if kind == "user_id":
            message["userId"] = value
        elif kind == "anonymous_id":
            message["anonymousId"] = value
        elif kind == "device_id":
            message["context"]["device"] = {"id": value}
        else:
            message["context"].setdefault("traits", {})[kind] = value
    return message


def _times(shift_ms: int) -> dict[str, str]:
    return {"timestamp": _iso(time() - shift_ms / 1000)}


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).isoformat()


def _rubbish(kind: str, number: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Return key, value and headers of a record that nobody but the fold will ever see."""
    key = f"0u{number:016d}".encode()
    event = {"v": 1, "id": f"{number:032x}", "tenant": TENANT, "source": SOURCE,
             "type": "order.placed", "at": 1, "original_at": 1, "received_at": 1,
             "ids": [key.decode()], "ev": 0, "data": {"value": "a lot"}}  # fmt: skip
    if kind == "junk":
        return key, b"\x00{", []
    if kind == "forged":
        value = orjson.dumps({"now": 2**42, "passed": 2**42})
        return key, value, [("kind", b"tick"), ("mac", b"0" * 16)]
    if kind == "kind":
        return key, b"{}", [("kind", b"reset")]
    if kind == "homeless":
        return key, orjson.dumps({**event, "ids": [], "data": {}}), []
    return key, orjson.dumps(event), []


def homes(inputs: Iterator[Input], secret: bytes) -> dict[int, set[str]]:
    """Return, by person, the birth ids that were named."""
    found: dict[int, set[str]] = {}
    for each in inputs:
        names = found.setdefault(each.person.number, set())
        names.update(birth_id(kind, value, secret) for kind, value in each.ids.items())
    return found
