"""A destination that takes nothing fails what goes elsewhere once at most, and heals by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Thread
from threading import enumerate as enumerate_threads
from time import sleep
from typing import Any

import pytest

from engine.adapters import kafka_client
from engine.adapters.kafka_client import KafkaPublisher
from engine.errors import LogError
from engine.events.record import Outgoing

TIMEOUT_S = 0.2
PATIENCE_S = 20.0
ENDING_S = 0.6  # enough for a thread to give up and end, if it may
SICK, WELL = Outgoing("sick", 0, b"k", b"v"), Outgoing("well", 0, b"k", b"v")


class Message:
    """What the client library hands to `on_delivery`."""

    def __init__(self, topic: str, partition: int) -> None:
        self._place = (topic, partition)

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]


class Purged:
    def str(self) -> str:
        return "purged"


class Broker:
    """Stands for the client library: acknowledges all but what goes to a sick topic."""

    def __init__(self) -> None:
        self.sick = {"sick"}
        self.producers = 0

    def producer(self, config: dict[str, Any], logger: Any) -> "Client":
        self.producers += 1
        return Client(self)


class Client:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._held: list[tuple[Message, Callable[[Any, Message], None]]] = []
        self._seen: list[tuple[Message, Callable[[Any, Message], None]]] = []

    def __len__(self) -> int:
        return len(self._held)

    def produce(self, topic: str, *, partition: int, on_delivery: Any, **_: Any) -> None:
        if topic in ("slow", "full"):
            for each in threads():
                each.join(ENDING_S)
        if topic == "full":
            raise BufferError("queue full")
        self._held.append((Message(topic, partition), on_delivery))

    def poll(self, timeout_s: float) -> None:
        """Acknowledge what the last poll saw: so something is always under way."""
        sleep(0.005)
        taken = [each for each in self._seen if each[0].topic() not in self._broker.sick]
        self._held = [each for each in self._held if each not in taken]
        self._seen = list(self._held)
        for message, on_delivery in taken:
            on_delivery(None, message)

    def purge(self, **_: bool) -> None:
        held, self._held, self._seen = self._held, [], []
        for message, on_delivery in held:
            on_delivery(Purged(), message)


def threads() -> list[Thread]:
    """Return the threads that collect acks."""
    return [each for each in enumerate_threads() if each.name == "kafka-acks"]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker()
    monkeypatch.setattr(kafka_client, "Producer", found.producer)
    return found


def play(scenario: Callable[[KafkaPublisher], Awaitable[None]]) -> None:
    async def run() -> None:
        publisher = KafkaPublisher("nowhere", timeout_s=TIMEOUT_S)
        await scenario(publisher)
        await publisher.close()

    asyncio.run(run())


async def fails(publisher: KafkaPublisher, record: Outgoing) -> None:
    with pytest.raises(LogError, match="no ack within"):
        await publisher.publish([record])


def test_what_goes_elsewhere_fails_once_at_most(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        failed = sent = 0

        async def ill() -> None:
            for _ in range(4):
                await fails(publisher, SICK)

        async def healthy() -> None:
            nonlocal failed, sent
            while not sending.done():
                try:
                    await publisher.publish([WELL])
                    sent += 1
                except LogError:
                    failed += 1

        sending = asyncio.create_task(ill())
        await asyncio.gather(*(healthy() for _ in range(3)))
        await sending
        assert failed <= 3, "each of the three once"
        assert sent > 4

    play(scenario)


def test_a_single_record_to_a_sick_place_keeps_away_from_the_others(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        await fails(publisher, SICK)
        before = broker.producers
        answers: asyncio.Queue[LogError | None] = asyncio.Queue()
        publisher.produce_nowait(SICK, answers.put_nowait)
        await publisher.publish([WELL])
        well = broker.producers
        assert await answers.get() is not None
        await publisher.publish([WELL])
        assert (well, broker.producers) == (before + 2, well), "only one of them was thrown away"

    play(scenario)


def test_what_arrives_again_is_well(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        await fails(publisher, SICK)
        broker.sick.clear()
        await publisher.publish([SICK, WELL])
        await publisher.publish([SICK])
        assert publisher._sick == set()

    play(scenario)


def test_what_was_just_on_its_way_is_not_taken_for_sick(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(kafka_client, "monotonic", lambda: now[0])
    broker.sick.add("late")

    async def scenario(publisher: KafkaPublisher) -> None:
        first = asyncio.create_task(fails(publisher, SICK))
        await asyncio.sleep(0)
        now[0] = TIMEOUT_S * 0.8
        second = asyncio.create_task(fails(publisher, Outgoing("late", 0, b"k", b"v")))
        await asyncio.sleep(0)
        now[0] = TIMEOUT_S * 1.1
        await asyncio.gather(first, second)
        assert publisher._sick == {("sick", 0)}

    play(scenario)


@pytest.mark.parametrize("topic", ["slow", "full"])
def test_what_is_produced_while_the_producer_is_given_up_is_answered(
    broker: Broker, topic: str
) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        answers: asyncio.Queue[LogError | None] = asyncio.Queue()
        publisher.produce_nowait(SICK, answers.put_nowait)
        slow = Outgoing(topic, 0, b"k", b"v")
        with pytest.raises(LogError, match=r"no ack within|queue full"):
            async with asyncio.timeout(PATIENCE_S):
                await publisher.publish([WELL, slow, WELL])
        assert await answers.get() is not None

    play(scenario)


def test_a_single_record_produced_while_the_producer_is_given_up_is_answered(
    broker: Broker,
) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        answers: asyncio.Queue[LogError | None] = asyncio.Queue()
        for record in (SICK, Outgoing("slow", 0, b"k", b"v")):
            publisher.produce_nowait(record, answers.put_nowait)
        async with asyncio.timeout(PATIENCE_S):
            assert None not in [await answers.get(), await answers.get()]

    play(scenario)
