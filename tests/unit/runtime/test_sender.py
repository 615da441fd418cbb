"""The dispatcher: each trigger once, whatever dies; on a log and a ledger in memory."""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from time import time
from typing import Any

import msgspec
import orjson
import pytest
from receiver import SECRET, receiver

from engine.adapters.http import HttpSender
from engine.adapters.memory import MemoryLog
from engine.adapters.memory_ledger import MemoryLedger
from engine.clock import HOUR_MS
from engine.decision.model import Action, GoalReached, Merged, Trigger
from engine.delivery.model import HELD_MAX, Endpoint, Reply, Request
from engine.delivery.retry import FAILURES_MAX, OPEN_MS
from engine.errors import Fenced, Stale, StoreError
from engine.events import topics
from engine.events.record import Outgoing, Record
from engine.ports import LedgerUpdate
from engine.profile.model import Actor, Trait
from engine.runtime import sender as sender_module
from engine.runtime.observe import Meter
from engine.runtime.sender import Dispatcher
from engine.simulation.receiver import Desk

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
    return headers["webhook-signature"].startswith("v1,")  # the hand of the test moves time


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


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())


def test_a_trigger_is_handed_over_with_its_own_bytes_and_told_to_its_customer() -> None:
    async def scenario() -> None:
        world = World()
        (record,) = world.write(trigger())
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        assert world.sender.requests[0].body == record.value
        assert world.desk.ids() == [f"{1:032x}"]
        assert world.desk.totals()["latencies_ms"] == [40]
        (receipt,) = world.receipts()
        assert receipt["type"] == "delivery.sent"
        assert receipt["data"]["customer"] == "1pabc"
        assert world.log.records(topics.INBOX)[0].headers == (("key", b"engine-key"),)
        assert await world.counts() == {"sent": 1}

    play(scenario)


@pytest.mark.parametrize(
    "item",
    [
        trigger(held_out=True),
        trigger(status="shadow"),
        GoalReached(
            trigger="t", tenant="d", rule="r", customer="c", event="e", at=1, held_out=False
        ),
        Merged(tenant="d", customer="a", absorbed="b", at=1),
    ],
    ids=["held out", "shadow", "goal", "merged"],
)
def test_only_live_triggers_leave(item: msgspec.Struct) -> None:
    async def scenario() -> None:
        world = World()
        world.write(item, trigger(2))
        dispatcher = world.dispatcher()
        assert await read(dispatcher, world) == 2
        await turn(dispatcher)
        assert world.desk.ids() == [f"{2:032x}"]

    play(scenario)


def test_a_record_that_was_published_twice_is_delivered_once() -> None:
    async def scenario() -> None:
        world = World()
        first, second = world.write(trigger(1), trigger(2))
        for record in (first, second):  # a zombie that was frozen in the send
            world.log.append(Outgoing(*record[:2], record.key, record.value, record.headers))
        dispatcher = world.dispatcher()
        assert await read(dispatcher, world) == 4
        await turn(dispatcher)
        assert len(world.sender.requests) == 2

    play(scenario)


def test_a_trigger_made_again_under_another_number_is_known_by_its_id() -> None:
    async def scenario() -> None:
        world = World()
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        offset = await read(dispatcher, world)
        await turn(dispatcher)
        again = world.write(trigger(1))
        await dispatcher.batch(0, again)
        assert again[0].offset == offset
        await turn(dispatcher)
        assert len(world.sender.requests) == 1
        assert await world.counts() == {"sent": 1}

    play(scenario)


def test_a_dead_receiver_that_comes_back_gets_each_trigger_once() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "dead"
        world.write(*[trigger(n) for n in range(1, 31)])
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(20):
            await turn(dispatcher)
            world.clock.at += 1_000
        assert world.desk.delivered == 0
        world.desk.answer = "200"
        for _ in range(200):
            await turn(dispatcher)
            world.clock.at += 10_000
        assert sorted(world.desk.ids()) == [f"{n:032x}" for n in range(1, 31)]
        assert (world.desk.repeated, world.desk.totals()["duplicates"]) == (0, 0)
        assert await world.counts() == {"sent": 30}
        assert world.dead() == []

    play(scenario)


def test_an_open_breaker_spares_a_dead_receiver() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "dead"
        world.write(*[trigger(n) for n in range(1, 41)])
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(30):
            await turn(dispatcher)  # time stands still
        assert FAILURES_MAX <= len(world.sender.requests) <= CRM.concurrency
        before = len(world.sender.requests)
        world.clock.at += OPEN_MS
        await turn(dispatcher)
        await turn(dispatcher)
        assert len(world.sender.requests) == before + 1

    play(scenario)


def test_a_dead_endpoint_holds_up_neither_the_others_nor_the_partition() -> None:
    async def scenario() -> None:
        dead = Endpoint("old", "https://old.example/", (SECRET,))
        world = World(endpoints=(CRM, dead))
        world.desks[dead.url].answer = "dead"
        world.write(*[trigger(n) for n in range(1, 201)])
        dispatcher = world.dispatcher()
        assert await read(dispatcher, world) == 200
        for _ in range(40):
            await turn(dispatcher)
        assert world.desk.delivered == 200
        assert world.desks[dead.url].delivered == 0

    play(scenario)


def test_attempts_of_an_endpoint_run_beside_each_other_up_to_its_cap() -> None:
    async def scenario() -> None:
        world = World(endpoints=(Endpoint("crm", CRM.url, (SECRET,), concurrency=3),))
        world.sender.gate = asyncio.Event()
        world.write(*[trigger(n) for n in range(1, 11)])
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await dispatcher.step()
        while len(world.sender.requests) < 3:
            await asyncio.sleep(0)
        await dispatcher.step()
        assert len(world.sender.requests) == 3
        world.sender.gate.set()
        for _ in range(5):
            await turn(dispatcher)
        assert world.desk.delivered == 10

    play(scenario)


def test_a_crash_between_send_and_ledger_sends_again_under_the_same_id() -> None:
    async def scenario() -> None:
        world = World()
        world.write(trigger(1))
        first = world.dispatcher()
        await read(first, world)
        world.ledger.refuse = 10**9  # it was sent, and nothing can be written down any more
        await first.step()
        while not world.desk.delivered:
            await asyncio.sleep(0)
        for task in list(first._busy.values()):
            task.cancel()
        await first.settle()
        world.ledger.refuse = 0
        second = world.dispatcher()
        await read(second, world)
        await turn(second)
        ids = {request.headers["webhook-id"] for request in world.sender.requests}
        assert ids == {f"{1:032x}"}
        assert (world.desk.delivered, world.desk.repeated) == (1, 1)
        assert world.desk.totals()["duplicates"] == 0
        assert await world.counts() == {"sent": 1}

    play(scenario)


@pytest.mark.parametrize("fault", ["refuse", "lose_replies"])
def test_a_ledger_that_is_away_for_a_moment_makes_no_second_webhook(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "BACKOFF_S", 0.001)

    async def scenario() -> None:
        world = World()
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        setattr(world.ledger, fault, 3)
        await turn(dispatcher)
        await turn(dispatcher)
        assert len(world.sender.requests) == 1
        assert await world.counts() == {"sent": 1}
        assert len(world.receipts()) == 1

    play(scenario)


def test_a_log_that_is_away_for_a_moment_makes_no_second_webhook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "BACKOFF_S", 0.001)

    async def scenario() -> None:
        world = World()
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        world.log.broken = True
        await dispatcher.step()
        while not world.desk.delivered:
            await asyncio.sleep(0)
        world.log.broken = False
        await dispatcher.settle()
        await turn(dispatcher)
        assert len(world.sender.requests) == 1
        assert len(world.receipts()) == 1

    play(scenario)


def test_a_new_owner_finds_the_attempts_that_are_to_come() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "500"
        world.write(trigger(1), trigger(2))
        first = world.dispatcher()
        await read(first, world)
        await turn(first)
        await first.revoked(0)
        world.desk.answer = "200"
        second = world.dispatcher()
        assert await read(second, world) == 2
        world.clock.at += 60_000
        await turn(second)
        assert world.desk.delivered == 2
        await turn(first)
        assert len(world.sender.requests) == 4

    play(scenario)


def test_a_zombie_is_fenced_and_stops() -> None:
    async def scenario() -> None:
        world = World()
        zombie = world.dispatcher()
        records = world.write(trigger(1), trigger(2))
        await zombie.assigned(0)
        owner = world.dispatcher()
        await owner.assigned(0)
        with pytest.raises(Fenced):
            await zombie.batch(0, records)
        await turn(zombie)
        assert world.sender.requests == []
        await owner.batch(0, records)
        await turn(owner)
        assert world.desk.delivered == 2

    play(scenario)


def test_a_revoked_partition_lets_its_attempts_end_first() -> None:
    async def scenario() -> None:
        world = World()
        world.sender.gate = asyncio.Event()
        world.write(trigger(1), trigger(2))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await dispatcher.step()
        leaving = asyncio.create_task(dispatcher.revoked(0))
        await asyncio.sleep(0)
        world.sender.gate.set()
        await leaving
        assert await world.counts() == {"sent": 2}

    play(scenario)


def test_a_ledger_that_lost_its_memory_is_taken_over_again_and_refilled() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "500"
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        world.ledger._held.clear()  # Redis came back empty
        await turn(dispatcher)
        world.desk.answer = "200"
        world.clock.at += sender_module.FENCED_WAIT_MS
        await turn(dispatcher)
        (late,) = world.write(trigger(2))
        assert await dispatcher.batch(0, [late]) == 0  # read again from the start
        records = await world.log.read(topics.TRIGGERS, 0, 0, count_max=9)
        assert await dispatcher.batch(0, records) == 2
        await turn(dispatcher)
        assert sorted(world.desk.ids()) == [f"{1:032x}", f"{2:032x}"]

    play(scenario)


def test_a_trigger_expires_though_the_breaker_is_open() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "dead"
        world.write(*[trigger(n, expires_at=BORN + 2_000) for n in range(1, 31)])
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        world.clock.at += 2_001
        for _ in range(10):
            await turn(dispatcher)
        assert await world.counts() == {"expired": 30}
        assert {letter["reason"] for letter in world.dead()} == {"delivery/expired"}
        assert {receipt["type"] for receipt in world.receipts()} == {"delivery.failed"}
        assert len(world.receipts()) == 30

    play(scenario)


def test_a_backlog_of_old_triggers_is_recorded_and_not_sent() -> None:
    async def scenario() -> None:
        world = World()
        world.write(trigger(1, expires_at=BORN - 1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        assert world.sender.requests == []
        assert await world.counts() == {"expired": 1}

    play(scenario)


def test_a_dead_letter_has_the_original_the_attempts_and_the_last_error() -> None:
    async def scenario() -> None:
        world = World()
        (record,) = world.write(trigger(1, expires_at=BORN + 10_000))
        world.desk.answer = "503"
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(20):
            await turn(dispatcher)
            world.clock.at += 1_000
        (letter,) = world.dead()
        assert b64decode(letter["original"]) == record.value
        assert letter["id"] == f"{1:032x}"
        assert letter["where"] == "crm: 503"
        assert letter["attempts"][0] == [BORN, "503"]
        assert len(letter["attempts"]) >= 2

    play(scenario)


def test_410_ends_the_endpoint_for_all_its_triggers() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "410"
        world.write(*[trigger(n) for n in range(1, 20)])
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(5):
            await turn(dispatcher)
        assert len(world.sender.requests) <= CRM.concurrency
        assert await world.counts() == {"failed": 19}

    play(scenario)


def test_retry_after_holds_all_triggers_of_the_endpoint_back() -> None:
    async def scenario() -> None:
        world = World(endpoints=(Endpoint("crm", CRM.url, (SECRET,), concurrency=1),))
        world.desk.answer, world.desk.retry_after_s = "429", 60
        world.write(trigger(1), trigger(2))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        world.desk.answer = "200"
        world.clock.at += 59_000
        await turn(dispatcher)
        assert len(world.sender.requests) == 1
        world.clock.at += 1_000
        await turn(dispatcher)
        await turn(dispatcher)
        assert world.desk.delivered == 2

    play(scenario)


@pytest.mark.parametrize(("on_unknown", "again"), [("retry", 1), ("park", 0)])
def test_a_lost_answer_is_tried_again_or_parked(on_unknown: str, again: int) -> None:
    async def scenario() -> None:
        world = World(
            endpoints=(Endpoint("crm", CRM.url, (SECRET,), on_unknown=on_unknown),)  # type: ignore[arg-type]
        )
        world.desk.answer = "lost"
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        world.desk.answer = "200"
        world.clock.at += 5_000
        await turn(dispatcher)
        assert (world.desk.delivered, world.desk.repeated) == (1, again)
        assert await world.counts() == {"sent": 1} if again else {"parked": 1}
        # What is parked may have arrived: its cap stays used.
        assert all(receipt["type"] == "delivery.sent" for receipt in world.receipts())

    play(scenario)


def consenting(*channels: str) -> Actor:
    actor = Actor(keys={"email": "a@b.example", "phone": "+8613800138000"})
    for channel in channels:
        actor.traits[f"consent.{channel}"] = Trait(True, "web", 1)
    return actor


@pytest.mark.parametrize(
    ("actor", "why"),
    [
        (consenting(), "consent was withdrawn"),
        (consenting("email", "sms"), ""),
        (None, "the customer was erased"),
    ],
)
def test_consent_is_read_once_more_before_sending(actor: Actor | None, why: str) -> None:
    async def scenario() -> None:
        world = World()
        world.actors["1pabc"] = actor  # type: ignore[assignment]
        world.write(trigger(1, kind="marketing", channels=["email", "sms"]))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        assert world.desk.delivered == (0 if why else 1)
        (receipt,) = world.receipts()
        assert receipt["type"] == ("delivery.failed" if why else "delivery.sent")
        assert not why or receipt["data"]["reason"] == why

    play(scenario)


def test_a_channel_without_consent_by_now_is_taken_out() -> None:
    async def scenario() -> None:
        world = World()
        world.actors["1pabc"] = consenting("sms")
        world.write(trigger(1, kind="marketing", channels=["email", "sms"]))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        assert orjson.loads(world.sender.requests[0].body)["channels"] == ["sms"]

    play(scenario)


def test_a_suppression_that_began_meanwhile_stops_it() -> None:
    async def scenario() -> None:
        world = World()
        world.actors["1pabc"] = consenting("email")
        world.actors["1pabc"].suppressed["offers"] = BORN + HOUR_MS
        world.write(trigger(1, kind="marketing", group="offers", channels=["email"]))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        assert world.sender.requests == []
        assert await world.counts() == {"refused": 1}

    play(scenario)


def test_while_consent_cannot_be_read_nothing_is_sent() -> None:
    async def scenario() -> None:
        world = World(lookup_fails=True)
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(10):
            await turn(dispatcher)
        assert world.sender.requests == []
        world.lookup_fails = False
        world.clock.at += sender_module.PUT_OFF_MS
        await turn(dispatcher)
        assert world.desk.delivered == 1

    play(scenario)


def test_a_cap_is_given_back_only_when_no_endpoint_took_the_trigger() -> None:
    async def scenario(second: str) -> list[str]:
        other = Endpoint("old", "https://old.example/", (SECRET,))
        world = World(endpoints=(CRM, other))
        world.desk.answer = "410"
        world.desks[other.url].answer = second
        world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(3):
            await turn(dispatcher)
        return sorted(receipt["type"] for receipt in world.receipts())

    assert asyncio.run(scenario("200")) == ["delivery.sent"]
    assert asyncio.run(scenario("410")) == ["delivery.failed"]


def test_bytes_that_are_no_trigger_are_dead_letters_and_stop_nothing() -> None:
    async def scenario() -> None:
        world = World()
        for value, headers in (
            (b"\xff not JSON", (("oseq", b"1"),)),
            (b'{"type":"coupon"}', (("oseq", b"1"),)),
            (b"{}", (("oseq", b"many"),)),
            (b"{}", ()),
        ):
            world.log.append(Outgoing(topics.TRIGGERS, 0, b"k", value, headers))
        world.write(trigger(9))
        dispatcher = world.dispatcher()
        assert await read(dispatcher, world) == 5
        await turn(dispatcher)
        assert world.desk.ids() == [f"{9:032x}"]
        assert [letter["id"] for letter in world.dead()] == [f"triggers:0:{n}" for n in range(4)]
        assert {letter["reason"] for letter in world.dead()} == {"delivery/unreadable"}

    play(scenario)


def test_jobs_of_an_endpoint_that_is_configured_no_more_are_dead_letters() -> None:
    async def scenario() -> None:
        world = World()
        world.desk.answer = "500"
        world.write(trigger(1))
        first = world.dispatcher()
        await read(first, world)
        await turn(first)
        await first.revoked(0)
        world.clock.at += 60_000
        second = world.dispatcher(endpoints=())
        await read(second, world)
        await turn(second)
        assert await world.counts() == {"failed": 1}

    play(scenario)


def test_beyond_its_queue_an_endpoints_triggers_are_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "QUEUE_MAX", 3)

    async def scenario() -> None:
        world = World()
        world.desk.answer = "dead"
        dispatcher = world.dispatcher()
        await dispatcher.assigned(0)
        for n in range(1, 7):
            await dispatcher.batch(0, world.write(trigger(n)))
        assert await world.counts() == {"failed": 3}
        assert len(world.dead()) == len(world.receipts()) == 3

    play(scenario)


def test_of_very_many_jobs_the_bytes_are_read_again_when_their_turn_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "HELD_MAX", 2)
    assert HELD_MAX > 2

    async def scenario() -> None:
        world = World()
        world.write(*[trigger(n) for n in range(1, 12)])
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        for _ in range(3):
            await turn(dispatcher)
        assert world.desk.delivered == 11

    play(scenario)


def test_a_log_whose_start_has_gone_is_read_from_where_it_begins() -> None:
    async def scenario() -> None:
        world = World()

        async def start(partition: int) -> int:
            return 2

        records = world.write(trigger(1), trigger(2), trigger(3))
        dispatcher = world.dispatcher(log_start=start)
        assert await dispatcher.assigned(0) == 2
        assert await dispatcher.batch(0, records[2:]) == 3
        await turn(dispatcher)
        assert world.desk.ids() == [f"{3:032x}"]

    play(scenario)


def test_a_ledger_at_another_offset_refuses_the_batch() -> None:
    async def scenario() -> None:
        world = World()
        records = world.write(trigger(1))
        dispatcher = world.dispatcher()
        await dispatcher.assigned(0)
        world.ledger._held[0].off = 7
        with pytest.raises(Stale):
            await dispatcher.batch(0, records)
        await turn(dispatcher)
        assert world.sender.requests == []

    play(scenario)


def test_latency_is_real_time_where_log_time_runs_faster() -> None:
    async def scenario() -> None:
        world, meter = World(), Meter()
        world.write(trigger(1, received_at=BORN - 2_400), trigger(2, waited=True))
        dispatcher = world.dispatcher(meter=meter, speed=240.0)
        await read(dispatcher, world)
        await turn(dispatcher)
        read_metric = meter.registry.get_sample_value
        assert read_metric("engine_deliver_seconds_count") == 1
        assert read_metric("engine_deliver_seconds_sum") == pytest.approx(0.01)

    play(scenario)


def test_run_delivers_over_real_http_and_stops() -> None:
    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)

    async def scenario(desk: Desk, url: str) -> None:
        world = World(endpoints=(Endpoint("crm", url, (SECRET,), private=True),))
        sender, stop = HttpSender(), asyncio.Event()
        dispatcher = world.dispatcher(sender=sender, real_ms=_wall_ms)
        running = asyncio.create_task(dispatcher.run(stop))
        world.write(*[trigger(n) for n in range(1, 51)])
        await read(dispatcher, world)
        await until(lambda: desk.delivered == 50)
        desk.answer = "500"
        world.write(trigger(51))
        await read(dispatcher, world)
        await until(lambda: desk.attempts > 50)
        desk.answer = "200"
        await until(lambda: desk.delivered == 51)
        stop.set()
        await running
        await sender.close()
        assert desk.repeated == 0
        assert desk.refused == 0

    with receiver() as (desk, url):
        asyncio.run(scenario(desk, url))


def _wall_ms() -> int:
    return int(time() * 1000)


@pytest.mark.parametrize("answer", ["hang", "garbage", "lost"])
def test_a_receiver_that_breaks_http_leaves_it_unknown(answer: str) -> None:
    async def scenario(desk: Desk, url: str) -> Reply:
        desk.answer = answer
        sender = HttpSender()
        try:
            return await sender.send(Request(url, {}, b"{}", True, 0.2))
        finally:
            desk.released.set()
            await sender.close()

    with receiver() as (desk, url):
        reply = asyncio.run(scenario(desk, url))
    assert (reply.status, reply.sent) == (0, True)


def test_a_closed_port_was_not_sent_to() -> None:
    async def scenario() -> Reply:
        sender = HttpSender()
        try:
            return await sender.send(Request("http://127.0.0.1:1/", {}, b"{}", True, 1.0))
        finally:
            await sender.close()

    reply = asyncio.run(scenario())
    assert (reply.status, reply.sent) == (0, False)
