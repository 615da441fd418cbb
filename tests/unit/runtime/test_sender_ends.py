"""How a trigger ends: sent, expired, refused, failed or parked, and who is told."""

import asyncio
from base64 import b64decode

import orjson
import pytest

from engine.clock import HOUR_MS
from engine.delivery.model import Endpoint
from engine.events import topics
from engine.events.record import Outgoing
from engine.profile.model import Actor, Trait
from engine.runtime.handover import sender as sender_module
from engine.runtime.handover.attempt import PUT_OFF_MS
from tests.receiver import SECRET
from tests.unit.runtime.dispatch import BORN, CRM, World, play, read, trigger, turn


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


@pytest.mark.parametrize(
    ("state", "once_more"), [("failed", True), ("parked", True), ("sent", False)]
)
def test_staff_can_have_a_dead_delivery_tried_once_more(state: str, once_more: bool) -> None:
    async def scenario() -> None:
        world = World(endpoints=(Endpoint("crm", CRM.url, (SECRET,), on_unknown="park"),))
        world.desk.answer = {"failed": "410", "parked": "lost", "sent": "200"}[state]
        (first,) = world.write(trigger(1))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        await turn(dispatcher)
        assert await world.counts() == {state: 1}
        before = len(world.sender.requests)
        world.desk.answer = "200"
        order = Outgoing(topics.TRIGGERS, 0, b"k", first.value, (("again", b"crm"),))
        world.log.append(order)
        world.write(trigger(2))
        after = world.dispatcher()  # a restart: an endpoint that was gone is tried again
        await read(after, world)
        await turn(after)
        ids = [request.headers["webhook-id"] for request in world.sender.requests[before:]]
        assert ids.count(trigger(1).id) == once_more, "under the id that it always had"
        assert ids.count(trigger(2).id) == 1, "and no number is missed by it"
        assert (await world.counts())["sent"] == 2

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


@pytest.mark.parametrize(("actor", "state"), [(None, "refused"), (Actor(), "sent")])
def test_what_has_ended_is_kept_without_what_it_said(actor: Actor | None, state: str) -> None:
    """And of an erased customer the dead letter holds nothing either."""

    async def scenario() -> None:
        world = World()
        world.actors["1pabc"] = actor  # type: ignore[assignment]
        world.write(trigger(1, keys={"email": "ann@x.example"}))
        dispatcher = world.dispatcher()
        await read(dispatcher, world)
        held = world.ledger._held[0]
        assert b"ann@x.example" in next(iter(held.jobs.values())).trigger
        await turn(dispatcher)
        (job,) = held.jobs.values()
        assert (job.state, job.trigger, held.due) == (state, b"", {})
        assert [letter["original"] for letter in world.dead()] == ([] if actor else [""])
        assert len(job.attempts) == (1 if actor else 0)

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
        world.clock.at += PUT_OFF_MS
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
