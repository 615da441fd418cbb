"""A log that is not what it was, and a worker frozen inside a publish: only a real broker has them.

One installation for all of it; each test damages a partition of its own, and the others go on.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from time import monotonic, time
from zlib import crc32

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.apache.broker import ApacheKafka, missing_tools
from tests.chaos.channels import Channels
from tests.chaos.compare import read_topic
from tests.chaos.town import PARTITIONS, Running, Town
from tests.servers import unavailable

pytestmark = pytest.mark.apache
EVENTS = "channel.events"
PATIENCE_S = 90.0


class Site:
    """The installation, with a loop of its own."""

    def __init__(self) -> None:
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


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A running installation."""
    if missing := missing_tools():
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    found = Site()
    with found.runner:
        found.runner.run(found.channels.start())
        found.runner.run(found.town.__aenter__())
        yield found
        found.runner.run(found.town.__aexit__())
        found.runner.run(found.channels.stop())


def test_a_worker_frozen_inside_a_publish_repeats_itself_and_readers_drop_it(site: Site) -> None:
    workers = site.town.of("work")
    for each in workers:
        each.point.write_text("publishing freeze")
    site.send(6, 3, value=20_000)

    def struck() -> list[Running]:
        return [each for each in workers if each.struck.exists()]

    site.until(lambda: bool(struck()), "a frozen worker")
    for each in workers:
        each.point.unlink(missing_ok=True)
    zombies = struck()

    def numbers() -> list[tuple[int, bytes]]:
        log = read_topic(site.broker.bootstrap, "triggers", PARTITIONS)[6]
        return [(int(dict(record.headers)["oseq"]), record.value) for record in log]

    site.until(lambda: len(numbers()) >= 3, "the triggers, from the next owner")
    site.thaw(*zombies)
    site.until(lambda: len(numbers()) > 3, "the zombie's own")
    found = numbers()
    assert {n for n, _ in found} == {1, 2, 3}, "what it repeats has the old numbers"
    assert len(set(found)) == 3, "and the old bytes"
    crm = site.channels.all["crm"]
    site.until(lambda: len(crm.effects) == 3, "three webhooks")
    site.others_go_on()
    assert crm.repeated == 0, "the deliverer did not even send them"


@pytest.mark.parametrize(("partition", "grown"), [(1, False), (2, True)])
def test_a_log_that_has_lost_its_tail_stops_its_partition(
    site: Site, partition: int, grown: bool
) -> None:
    site.send(partition, 30)
    site.until(lambda: site.off(partition) > 30, "the events")
    frozen = [*site.freeze("work"), *site.freeze("keep")]
    off = site.off(partition)
    site.broker.kill()
    end = site.broker.cut(EVENTS, partition, off - 5)
    assert end <= off, "what was applied is gone"
    site.broker.start()
    if grown:  # others write to it before anybody looks
        site.send(partition, 60, value=2_000)
    site.damaged.add(partition)
    site.thaw(*frozen)
    site.until(
        lambda: site.is_told(f"partition {partition} stands still", "lost or changed", "restore"),
        "the reason",
    )
    site.others_go_on()


def test_retention_that_overtakes_a_running_worker_stops_its_partition(site: Site) -> None:
    frozen = site.freeze("work")
    off = site.off(0)
    site.send(0, 100)
    admin = AdminClient({"bootstrap.servers": site.broker.bootstrap})
    for future in admin.delete_records([TopicPartition(EVENTS, 0, off + 50)]).values():
        future.result(timeout=PATIENCE_S)
    site.damaged.add(0)
    site.thaw(*frozen)
    site.until(
        lambda: site.is_told("partition 0 stands still", "retention", "restore"), "the reason"
    )
    site.others_go_on()
