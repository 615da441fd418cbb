"""An installation for tests that damage it on purpose, and wait for what comes of it."""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic, time
from zlib import crc32

import orjson
from confluent_kafka import Producer

from tests.apache.broker import ApacheKafka
from tests.chaos.channels import Channels
from tests.chaos.town import PARTITIONS, Running, Town

EVENTS = "channel.events"
PATIENCE_S = 90.0


class Site:
    """The installation, with a loop of its own."""

    def __init__(self, *, transactions: bool = False) -> None:
        self.runner = asyncio.Runner()
        self.channels = Channels()
        self.broker = ApacheKafka()
        roles = ("work", "work", "deliver", "keep")
        self.town = Town(
            1,
            endpoints=self.channels.endpoints,
            broker=self.broker,
            roles=roles,
            static=("work-1", "work-2"),
            transactions=transactions,
        )
        self.damaged: set[int] = set()

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something, and let the supervisor work meanwhile."""
        deadline = monotonic() + PATIENCE_S
        while not self.runner.run(asyncio.to_thread(holds)):
            assert monotonic() < deadline, f"{what} does not come\n{self.town.last_words()}"
            self.runner.run(asyncio.sleep(0.1))

    def send(self, partition: int, count: int, *, value: int = 1_000) -> None:
        """Produce orders of somebody whose home is in this partition."""
        home = next(
            name for n in range(1_000) if crc32((name := f"0u{n:016d}").encode()) % 8 == partition
        )
        now = int(time() * 1000)
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 0})
        for n in range(count):
            event = {"v": 1, "id": f"{n:08x}{value:08x}{partition:016x}", "tenant": "demo",
                     "source": "demo", "type": "order.placed", "at": now, "original_at": now,
                     "received_at": now, "ids": [home], "ev": 0,
                     "data": {"value": value, "currency": "CNY"}}  # fmt: skip
            producer.produce(EVENTS, orjson.dumps(event), key=home, partition=partition)
            if n % 10 == 9:  # small batches, so that a log can be cut between them
                producer.flush()
        assert producer.flush(PATIENCE_S) == 0

    def off(self, partition: int) -> int:
        """Return the applied offset."""
        return self.town._offsets()[partition]

    def freeze(self, role: str) -> list[Running]:
        """Freeze all of a role."""
        found = self.town.of(role)
        for each in found:
            each.signal(signal.SIGSTOP)
        return found

    def thaw(self, *found: Running) -> None:
        """Let them go on."""
        for each in found:
            each.signal(signal.SIGCONT)

    def is_told(self, *words: str) -> bool:
        """Whether a worker has said a line with all of these words."""
        lines = self.town.printed().splitlines()
        return any(all(word in line for word in words) for line in lines)

    def others_go_on(self) -> None:
        """See that the undamaged partitions are applied, and the damaged stand still."""
        before = self.town._offsets()
        whole = [p for p in range(PARTITIONS) if p not in self.damaged]
        self.until(lambda: all(self.off(p) > before[p] + 2 for p in whole), "work of the others")
        still = {p: self.off(p) for p in self.damaged}
        assert still == {p: before[p] for p in self.damaged}
