"""What the producer promises: who fails with whom, what goes alone, and what counts as an ack."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Thread
from threading import enumerate as enumerate_threads
from time import sleep
from typing import Any

import pytest

from engine.adapters.kafka import producer
from engine.adapters.kafka.producer import KafkaPublisher
from engine.errors import LogError
from engine.events.record import Outgoing

TIMEOUT_S = 0.2
PATIENCE_S = 20.0
ENDING_S = 0.6  # enough for a thread to give up and end, if it may
SICK, WELL = Outgoing("sick", 0, b"k", b"v"), Outgoing("well", 0, b"k", b"v")


class Message:
    """What the client library hands to `on_delivery`."""

    def __init__(self, topic: str, partition: int, value: bytes = b"") -> None:
        self._place = (topic, partition)
        self.value = value
        self.taken_at: int | None = 0

    def offset(self) -> int | None:
        return self.taken_at

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]


class Purged:
    def str(self) -> str:
        return "purged"


class Broker:
    """Stands for the client library: acknowledges all but what goes to a sick topic.

    `guessed`: values that it believes to have arrived, since something behind them has. `together`:
    what was under way at once, of each topic, whenever something was handed over.
    """

    def __init__(self) -> None:
        self.sick = {"sick"}
        self.producers = 0
        self.guessed: set[bytes] = set()
        self.together: list[list[bytes]] = []

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

    def produce(
        self, topic: str, *, value: bytes, partition: int, on_delivery: Any, **_: Any
    ) -> None:
        if topic in ("slow", "full"):
            for each in threads():
                each.join(ENDING_S)
        if topic == "full":
            raise BufferError("queue full")
        self._held.append((Message(topic, partition, value), on_delivery))
        held = [m.value for m, _ in self._held if (m.topic(), m.partition()) == (topic, partition)]
        self._broker.together.append(held)

    def poll(self, timeout_s: float) -> None:
        """Acknowledge what the last poll saw: so something is always under way."""
        sleep(0.005)
        taken = [each for each in self._seen if each[0].topic() not in self._broker.sick]
        self._held = [each for each in self._held if each not in taken]
        self._seen = list(self._held)
        for message, on_delivery in taken:
            if message.value in self._broker.guessed:
                message.taken_at = None
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
    monkeypatch.setattr(producer, "Producer", found.producer)
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


def test_what_goes_to_a_sick_place_keeps_away_from_the_others(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        await fails(publisher, SICK)
        before = broker.producers
        sick = asyncio.create_task(fails(publisher, SICK))
        await asyncio.sleep(0)
        await publisher.publish([WELL])
        well = broker.producers
        await sick
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
    monkeypatch.setattr(producer, "monotonic", lambda: now[0])
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
        sick = asyncio.create_task(fails(publisher, SICK))
        await asyncio.sleep(0)
        slow = Outgoing(topic, 0, b"k", b"v")
        with pytest.raises(LogError, match=r"no ack within|queue full"):
            async with asyncio.timeout(PATIENCE_S):
                await publisher.publish([WELL, slow, WELL])
        await sick

    play(scenario)


def numbered(*numbers: int, partition: int = 0) -> list[Outgoing]:
    return [Outgoing("well", partition, b"k", b"%d" % number) for number in numbers]


def test_a_first_record_goes_alone_and_what_comes_behind_keeps_its_order(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        both = [publisher.publish(numbered(1, 2, 3)), publisher.publish(numbered(4, 5))]
        await asyncio.gather(*both)
        await publisher.publish(numbered(6, 7))
        assert broker.together[:3] == [[b"1"], [b"2"], [b"2", b"3"]]
        handed = [held[-1] for held in broker.together]
        assert handed == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
        assert broker.together[-1] == [b"6", b"7"], "by then the broker knows the producer"

    play(scenario)


def test_first_records_to_several_places_go_at_once(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        await publisher.publish([*numbered(1, 2), *numbered(3, 4, partition=1)])
        assert broker.together == [[b"1"], [b"3"], [b"2"], [b"4"]]

    play(scenario)


def test_a_first_record_that_nobody_waits_for_any_more_still_goes_alone(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        left = asyncio.create_task(publisher.publish(numbered(1)))
        await asyncio.sleep(0)
        left.cancel()
        await publisher.publish(numbered(2))
        assert broker.together == [[b"1"], [b"2"]]

    play(scenario)


def test_the_broker_may_have_forgotten_a_producer_that_was_silent(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(producer, "monotonic", lambda: now[0])

    async def scenario(publisher: KafkaPublisher) -> None:
        await publisher.publish(numbered(1))
        now[0] = producer.KNOWN_S + 1.0
        await publisher.publish(numbered(2, 3))
        assert broker.together == [[b"1"], [b"2"], [b"3"]]

    play(scenario)


def test_an_ack_without_an_offset_is_none(broker: Broker) -> None:
    async def scenario(publisher: KafkaPublisher) -> None:
        broker.guessed = {b"2"}
        await publisher.publish(numbered(1))
        with pytest.raises(LogError, match="an ack without an offset"):
            await publisher.publish(numbered(2, 3))
        broker.guessed = set()
        await publisher.publish(numbered(2, 3))
        assert broker.producers == 2, "the one that guessed is not asked again"

    play(scenario)


def test_who_closes_does_not_wait_for_a_broker_that_is_away(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "CLOSE_S", 0.05)

    async def run() -> None:
        publisher = KafkaPublisher("nowhere", timeout_s=2 * PATIENCE_S)
        waiting = asyncio.create_task(publisher.publish([SICK]))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(publisher.close(), PATIENCE_S)
        with pytest.raises(LogError, match="purged"):
            await waiting

    asyncio.run(run())
    assert threads() == []
