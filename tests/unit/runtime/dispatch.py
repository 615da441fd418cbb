"""A world in memory around the dispatcher, for its tests: clock, log, ledger, channel systems."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import orjson

from engine.adapters.memory import MemoryLog
from engine.adapters.memory_ledger import MemoryLedger
from engine.clock import HOUR_MS
from engine.decision.model import Action, Trigger
from engine.delivery.model import Endpoint, Reply, Request
from engine.errors import StoreError
from engine.events import topics
from engine.events.record import Outgoing, Record
from engine.ports import LedgerUpdate
from engine.profile.model import Actor
from engine.runtime.handover.sender import Dispatcher
from engine.runtime.observe import Meter
from engine.simulation.receiver import Desk
from tests.receiver import SECRET

P = 2
BORN = 1_000_000
CRM = Endpoint("crm", "https://crm.example/", (SECRET,))


class Hand:
    """A clock that tests move: log time and wall time together."""

    def __init__(self) -> None:
        self.at = BORN

    def now(self) -> int:
        return self.at


class DeskSender:
    """A Sender whose channel systems are desks in this process, by URL."""

    def __init__(self, desks: dict[str, Desk]) -> None:
        self.desks = desks
        self.requests: list[Request] = []
        self.gate: asyncio.Event | None = None

    async def send(self, request: Request) -> Reply:
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        desk = self.desks[request.url]
        if desk.answer == "dead":
            return Reply(0, error="no connection", sent=False)
        if desk.answer == "lost":
            desk.take(request.headers, request.body)
            return Reply(0, error="timeout")
        if desk.answer != "200":
            return Reply(int(desk.answer), {"retry-after": str(desk.retry_after_s)})
        return Reply(desk.take(request.headers, request.body))

    async def close(self) -> None:
        pass


class FlakyLedger(MemoryLedger):
    """A ledger that fails as told: the next calls raise, before or after they have worked."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse = 0
        self.lose_replies = 0

    async def apply(self, partition: int, token: str, update: LedgerUpdate) -> None:
        if self.refuse:
            self.refuse -= 1
            raise StoreError("Redis is away", code="store/unreachable")
        await super().apply(partition, token, update)
        if self.lose_replies:
            self.lose_replies -= 1
            raise StoreError("the reply was lost", code="store/unreachable")


@dataclass
class World:
    """Everything around dispatchers, which come and go."""

    endpoints: tuple[Endpoint, ...] = (CRM,)
    ledger: FlakyLedger = field(default_factory=FlakyLedger)
    clock: Hand = field(default_factory=Hand)
    log: MemoryLog = field(
        default_factory=lambda: MemoryLog(
            {topics.TRIGGERS: P, topics.INBOX: P, topics.DEAD_DELIVERIES: 1}
        )
    )
    actors: dict[str, Actor] = field(default_factory=dict)
    lookup_fails: bool = False
    numbers: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.desks = {e.url: Desk(SECRET, check=_signed) for e in self.endpoints}
        self.sender = DeskSender(self.desks)
        self.desk = self.desks[self.endpoints[0].url]

    def dispatcher(self, **more: Any) -> Dispatcher:
        async def lookup(customer: str) -> Actor | None:
            if self.lookup_fails:
                raise StoreError("Redis is away", code="store/unreachable")
            return self.actors.get(customer, Actor())

        settings: dict[str, Any] = {
            "endpoints": self.endpoints,
            "ledger": self.ledger,
            "sender": self.sender,
            "publisher": self.log,
            "clock": self.clock,
            "real_ms": self.clock.now,
            "lookup": lookup,
            "meter": Meter(),
            "partition_count": P,
            "engine_key": "engine-key",
            "random": Random(5),
        }
        return Dispatcher(**(settings | more))

    def write(self, *items: msgspec.Struct, partition: int = 0) -> list[Record]:
        records = []
        for item in items:
            number = self.numbers[partition] = self.numbers.get(partition, 0) + 1
            value = msgspec.json.encode(item)
            headers = (("oseq", b"%d" % number),)
            records.append(
                self.log.append(Outgoing(topics.TRIGGERS, partition, b"k", value, headers))
            )
        return records

    def receipts(self) -> list[dict[str, Any]]:
        return [orjson.loads(r.value) for r in self.log.records(topics.INBOX)]

    def dead(self) -> list[dict[str, Any]]:
        return [orjson.loads(r.value) for r in self.log.records(topics.DEAD_DELIVERIES)]

    async def counts(self) -> dict[str, int]:
        return dict(await self.ledger.counts(range(P)))


def _signed(headers: Any, body: bytes, secret: str) -> bool:
    return bool(headers["webhook-signature"].startswith("v1,"))  # the hand of the test moves time


def trigger(number: int = 1, **changes: Any) -> Trigger:
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "tenant": "demo",
        "rule": "cart_left_behind",
        "rule_version": "1",
        "kind": "service",
        "customer": "1pabc",
        "cause": "e1",
        "at": BORN,
        "received_at": BORN - 40,
        "decided_at": BORN,
        "expires_at": BORN + 24 * HOUR_MS,
        "action": Action(type="offer", name="free_shipping"),
    }
    return Trigger(**(fields | changes))


async def turn(dispatcher: Dispatcher) -> None:
    """Make all attempts that are due by now."""
    await dispatcher.step()
    await dispatcher.settle()


async def read(dispatcher: Dispatcher, world: World, partition: int = 0) -> int:
    """Take the partition over and read it to its end; return the offset after it."""
    offset = await dispatcher.assigned(partition)
    assert offset is not None
    while records := await world.log.read(topics.TRIGGERS, partition, offset, count_max=50):
        offset = await dispatcher.batch(partition, records)
    return offset


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())
