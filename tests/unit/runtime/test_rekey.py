"""The inbox: what any producer wrote gets the same check; what is bad keeps its bytes."""

import asyncio
from base64 import b64decode

import msgspec
import orjson
import pytest

from engine.adapters.clock import WallClock
from engine.adapters.memory import MemoryLog
from engine.config import Settings
from engine.errors import LogError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Headers, Record
from engine.runtime.observe import Meter
from engine.runtime.rekey import Rekeyer
from engine.runtime.setup import contracts_of, sources_of

SETTINGS = Settings()
SEGMENT = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1"}
CLOUD = {
    "specversion": "1.0", "id": "c1", "source": "till", "type": "order.placed",
    "data": {"value": 1.0, "user_id": "u1"},
}  # fmt: skip
KEY = (("key", b"shop-system-key"),)


class Offsets:
    """Progress in memory."""

    def __init__(self) -> None:
        self.next = 0
        self.taken = (0, 0)

    async def get(self, partition: int) -> int:
        return self.next

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None:
        self.next, self.taken = offset, (accepted, dead)


def rekey(log: MemoryLog, offsets: Offsets, values: list[tuple[bytes, Headers]]) -> None:
    rekeyer = Rekeyer(
        sources=sources_of(SETTINGS),
        contracts=contracts_of(SETTINGS),
        publisher=log,
        offsets=offsets,
        clock=WallClock(),
        meter=Meter(),
        partition_count=8,
        secret=SETTINGS.secret_key,
    )
    records = [
        Record(topics.INBOX, 3, n, b"", value, headers) for n, (value, headers) in enumerate(values)
    ]
    asyncio.run(rekeyer.batch(3, records))


def a_log() -> MemoryLog:
    return MemoryLog({topics.EVENTS: 8, topics.DEAD_EVENTS: 1})


BINARY = tuple((f"ce_{k}", str(v).encode()) for k, v in CLOUD.items() if k != "data")


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (orjson.dumps({**SEGMENT, "properties": {"total": 1.0}}), KEY),
        (orjson.dumps(CLOUD), KEY),
        (orjson.dumps(CLOUD["data"]), KEY + BINARY),
    ],
    ids=["segment", "cloudevent", "cloudevent in headers"],
)
def test_every_dialect_of_the_inbox_becomes_the_same_event(value: bytes, headers: Headers) -> None:
    log, offsets = a_log(), Offsets()
    rekey(log, offsets, [(value, headers)])
    (record,) = log.records(topics.EVENTS)
    event = msgspec.json.decode(record.value, type=Event)
    assert (event.type, event.data["value"], event.source) == ("order.placed", 100, "shop")
    assert record.key.decode() == event.ids[0]
    assert (offsets.next, offsets.taken) == (1, (1, 0))


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{", KEY, "contract/json"),
        (b"[]", KEY, "contract/shape"),
        (orjson.dumps(SEGMENT), KEY, "contract/missing"),
        (orjson.dumps(CLOUD), (), "source/unknown"),
        (orjson.dumps({**CLOUD, "data": {"value": 1.0}}), KEY, "identity/missing"),
        (orjson.dumps({**CLOUD, "time": "tomorrow"}), KEY, "time/impossible"),
    ],
)
def test_what_is_bad_goes_to_the_dead_letters_and_its_neighbours_go_on(
    value: bytes, headers: Headers, reason: str
) -> None:
    log, offsets = a_log(), Offsets()
    rekey(log, offsets, [(value, headers), (orjson.dumps(CLOUD), KEY)])
    (letter,) = (orjson.loads(r.value) for r in log.records(topics.DEAD_EVENTS))
    assert letter["reason"] == reason
    assert b64decode(letter["original"]) == value
    assert letter["id"] == "channel.inbox:3:0"
    assert len(log.records(topics.EVENTS)) == 1
    assert offsets.taken == (1, 1)


def test_the_offset_stays_while_the_log_takes_nothing() -> None:
    log, offsets = a_log(), Offsets()
    log.broken = True
    with pytest.raises(LogError):
        rekey(log, offsets, [(orjson.dumps(CLOUD), KEY)])
    assert offsets.next == 0
