"""The re-keyer: the inbox gets the check of the front door, in order, at least once."""

import asyncio
import base64
import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import orjson
import pytest
from cloudevents.core.bindings.kafka import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from engine.adapters.kafka.seats import Answer, Seat, Seats
from engine.adapters.memory import MemoryLog
from engine.errors import LogError, StoreError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Outgoing, Record, partition_of
from engine.ingest.sources import Sources
from engine.runtime.observe import Meter
from engine.runtime.rekey import Rekeyer
from tests.unit.api.front import CONTRACTS, NOW, PARTITIONS, SHOP, Still

PATIENCE_S = 20.0
KEY = (("key", b"shop-key"),)
PAGE = {"type": "page", "userId": "u1", "messageId": "m1", "name": "home"}


class MemoryOffsets:
    """ports.Offsets in memory."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.accepted = self.dead = 0

    async def get(self, partition: int) -> int:
        """Return the offset to read next."""
        return self.next.get(partition, 0)

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None:
        """Note it, and what came of the records before it."""
        self.next[partition] = offset
        self.accepted += accepted
        self.dead += dead


class LateLog(MemoryLog):
    """A log whose inbox begins at 5: retention took the rest."""

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return (first offset, offset after the last)."""
        return 5, 9


class Inbox:
    """An inbox of one partition with a re-keyer on it."""

    def __init__(
        self,
        log: type[MemoryLog] = MemoryLog,
        *,
        routes: Callable[[str], str] | None = None,
    ) -> None:
        counts = {topics.EVENTS: PARTITIONS, topics.DEAD_EVENTS: 1, topics.INBOX: 1}
        self.log = log(counts)
        self.offsets = MemoryOffsets()
        self.rekeyer = Rekeyer(
            sources=Sources({"shop": SHOP}),
            contracts=CONTRACTS,
            publisher=self.log,
            reader=self.log,
            offsets=self.offsets,
            clock=Still(),
            meter=Meter(),
            partition_count=PARTITIONS,
            secret=b"a secret of thirty-two characters",
            routes=routes,
        )

    def put(self, value: Any, headers: Sequence[tuple[str, bytes]] = KEY) -> Record:
        """Write one record to the inbox."""
        raw = value if isinstance(value, bytes) else orjson.dumps(value)
        return self.log.append(Outgoing(topics.INBOX, 0, b"", raw, tuple(headers)))

    def work(self) -> int:
        """Take over and process what is there; return the offset to read next."""

        async def run() -> int:
            offset = await self.rekeyer.assigned(0)
            assert offset is not None
            found = await self.log.read(topics.INBOX, 0, offset, count_max=500)
            return await self.rekeyer.batch(0, found)

        return asyncio.run(run())

    @property
    def events(self) -> list[Event]:
        """Return the events in the log."""
        return [msgspec.json.decode(r.value, type=Event) for r in self.log.records(topics.EVENTS)]

    @property
    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        return [orjson.loads(r.value) for r in self.log.records(topics.DEAD_EVENTS)]


def order(value: object) -> CloudEvent:
    """Return an order as the CNCF's package builds it."""
    attributes = {"id": "e1", "source": "/shop/7", "type": "order.placed", "specversion": "1.0",
                  "subject": "user_id:u1", "datacontenttype": "application/json"}  # fmt: skip
    return CloudEvent(attributes, {"value": value, "currency": "CNY"})


def put_binary(inbox: Inbox, value: object) -> Record:
    """Write a binary CloudEvent as the package does."""
    message = to_binary_event(order(value), JSONFormat())
    headers = [(name, bytes(text)) for name, text in message.headers.items()]
    assert isinstance(message.value, bytes)
    return inbox.put(message.value, [*headers, *KEY])


def test_a_segment_message_goes_to_its_home_partition() -> None:
    inbox = Inbox()
    inbox.put(PAGE)
    assert inbox.work() == 1
    (event,) = inbox.events
    assert (event.id, event.received_at) == (sha256(b"shop\0m1").digest()[:16].hex(), NOW)
    (record,) = inbox.log.records(topics.EVENTS)
    assert record.partition == partition_of(record.key.decode(), PARTITIONS)
    assert (inbox.offsets.accepted, inbox.offsets.dead) == (1, 0)


def test_an_event_goes_to_where_its_person_is_believed_to_live() -> None:
    inbox = Inbox(routes=lambda home: f"0u{home}")
    inbox.put(PAGE)
    inbox.put(b"{")
    inbox.work()
    (event,) = inbox.events
    (record,) = inbox.log.records(topics.EVENTS)
    assert record.key.decode() == f"0u{event.ids[0]}"
    assert record.partition == partition_of(record.key.decode(), PARTITIONS)
    assert len(inbox.dead) == 1


def test_what_nobody_reads_may_be_as_the_front_door_takes_it() -> None:
    inbox = Inbox()
    track = orjson.dumps({"type": "track", "event": "Order Completed", "messageId": "m1",
                          "timestamp": "2026-05-01T09:59:00Z", "userId": "u1",
                          "properties": {"value": 5}, "context": {"os": "x"}})  # fmt: skip
    inbox.put(track.replace(b'"x"', b'"\xff"'))
    inbox.put(track.replace(b'"u1"', b'"\xff"'))
    inbox.work()
    assert [event.type for event in inbox.events] == ["order.placed"]
    assert [letter["reason"] for letter in inbox.dead] == ["contract/json"]


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_cloudevent_of_either_mode_is_the_same_event(mode: str) -> None:
    inbox = Inbox()
    if mode == "binary":
        put_binary(inbox, 150.0)
    else:
        value = to_structured_event(order(150.0), JSONFormat()).value
        assert isinstance(value, bytes)
        inbox.put(value)
    inbox.work()
    assert inbox.dead == []
    (event,) = inbox.events
    assert event.id == sha256(b"shop\0/shop/7\0e1").digest()[:16].hex()
    assert (event.type, event.data["value"]) == ("order.placed", 15_000)


@pytest.mark.parametrize(
    ("value", "headers", "reason", "source"),
    [
        (b"{", KEY, "contract/json", "shop"),
        (b"", KEY, "contract/json", "shop"),
        (b"\xff", KEY, "contract/json", "shop"),
        (b"[]", KEY, "contract/shape", "shop"),
        (b'{"type":"page"}', KEY, "identity/missing", "shop"),
        (b'{"type":"page","userId":"u1","timestamp":"tomorrow"}', KEY, "time/impossible", "shop"),
        (b'{"type":"track","event":"Order Completed","userId":"u1"}', KEY, "contract/missing",
         "shop"),
        (orjson.dumps(PAGE), (), "source/unknown", topics.INBOX),
        (orjson.dumps(PAGE), (("key", b"nobody"),), "source/unknown", topics.INBOX),
        (orjson.dumps(PAGE), (("key", b"\xff"),), "source/unknown", topics.INBOX),
        (orjson.dumps({**PAGE, "kind": "tick"}), (("kind", b"tick"),), "source/unknown",
         topics.INBOX),
    ],
)  # fmt: skip
def test_a_bad_record_is_a_dead_letter_between_its_neighbours(
    value: bytes, headers: Sequence[tuple[str, bytes]], reason: str, source: str
) -> None:
    inbox = Inbox()
    inbox.put(PAGE)
    inbox.put(value, headers)
    inbox.put(PAGE | {"messageId": "m2"})
    assert inbox.work() == 3
    assert len(inbox.events) == 2
    (letter,) = inbox.dead
    assert (letter["id"], letter["reason"], letter["source"]) == (
        f"{topics.INBOX}:0:1", reason, source,
    )  # fmt: skip
    assert base64.b64decode(letter["original"]) == value
    assert (inbox.offsets.accepted, inbox.offsets.dead) == (2, 1)


@pytest.mark.parametrize("body", [b'{"value": "x"}', b"no JSON"])
def test_a_dead_binary_event_can_be_sent_again_without_its_headers(body: bytes) -> None:
    inbox = Inbox()
    named = to_binary_event(order(1.0), JSONFormat()).headers.items()
    inbox.put(body, [*((name, bytes(text)) for name, text in named), *KEY])
    inbox.work()
    (first,) = inbox.dead
    inbox.put(base64.b64decode(first["original"]))
    inbox.work()
    second = inbox.dead[1]
    assert second["reason"] == first["reason"] != "contract/shape"
    assert orjson.loads(base64.b64decode(second["original"]))["id"] == "e1"


def test_no_header_of_the_inbox_reaches_the_log() -> None:
    inbox = Inbox()
    inbox.put(PAGE, [("kind", b"tick"), ("mac", b"forged"), *KEY])
    inbox.work()
    assert [record.headers for record in inbox.log.records(topics.EVENTS)] == [()]


def test_while_the_log_is_down_the_offset_stands() -> None:
    inbox = Inbox()
    inbox.put(PAGE)
    inbox.log.broken = True
    with pytest.raises(LogError):
        inbox.work()
    assert inbox.offsets.next == {}
    inbox.log.broken = False
    assert inbox.work() == 1
    assert len(inbox.events) == 1


def test_what_retention_took_is_said_and_the_rest_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inbox = Inbox(LateLog)
    with caplog.at_level(logging.ERROR):
        assert asyncio.run(inbox.rekeyer.assigned(0)) == 5
    assert "retention took 5 records" in caplog.text
    inbox.offsets.next[0] = 7
    assert asyncio.run(inbox.rekeyer.assigned(0)) == 7


class DeadOffsets(MemoryOffsets):
    """Redis is away for a while: the first calls of each kind fail, one after it had its effect."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = {"get": 2, "put": 2}

    def _call(self, kind: str) -> None:
        if self.fails[kind]:
            self.fails[kind] -= 1
            raise StoreError("Redis at r:1 did not answer", code="store/unreachable")

    async def get(self, partition: int) -> int:
        """Return the offset to read next, or fail."""
        self._call("get")
        return await super().get(partition)

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None:
        """Note it, or fail; the last failure is that of the reply alone."""
        if self.fails["put"] == 1:
            await super().put(partition, offset, accepted=accepted, dead=dead)
        self._call("put")
        await super().put(partition, offset, accepted=accepted, dead=dead)


def test_while_redis_is_away_it_tries_again_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inbox = Inbox()
    offsets = inbox.rekeyer._offsets = inbox.offsets = DeadOffsets()
    for number in range(3):
        inbox.put({**PAGE, "messageId": f"m{number}"})

    class Feed:
        async def seek(self, partition: int, offset: int) -> None:
            """Give all that is there."""
            found = await inbox.log.read(topics.INBOX, partition, offset, count_max=500)
            if found:
                whole = Answer(offset, found, found[-1].offset + 1)
                asyncio.get_running_loop().call_soon(held[partition].take, whole)

        async def log_start(self, partition: int) -> int:
            """Return the first offset."""
            return 0

    held: dict[int, Seat] = {}

    async def run() -> None:
        seats = Seats(topics.INBOX, inbox.rekeyer, Feed())
        seats.held = held
        seats.open([0])
        async with asyncio.timeout(PATIENCE_S):
            while offsets.next.get(0) != 3 or any(offsets.fails.values()):
                await asyncio.sleep(0.01)
        await seats.drain([0], timeout_s=1.0)

    asyncio.run(run())
    assert len({event.id for event in inbox.events}) == 3
    assert "Traceback" not in caplog.text
    assert caplog.text.count("channel.inbox/0: Redis at r:1 did not answer") >= 3
