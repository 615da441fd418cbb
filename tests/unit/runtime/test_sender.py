"""The dispatcher: each trigger once, whatever dies; on a log and a ledger in memory."""

import asyncio

import msgspec
import pytest

from engine.decision.model import GoalReached, Merged
from engine.delivery.model import HELD_MAX, Endpoint
from engine.delivery.retry import FAILURES_MAX, OPEN_MS
from engine.errors import Fenced, Stale
from engine.events import topics
from engine.events.record import Outgoing
from engine.runtime.handover import sender as sender_module
from engine.runtime.observe import Meter
from tests.receiver import SECRET
from tests.unit.runtime.dispatch import BORN, CRM, World, play, read, trigger, turn


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
