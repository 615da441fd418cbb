"""A log that is not what it was, and a worker frozen inside a publish: only a real broker has them.

One installation for all of it; each test damages a partition of its own, and the others go on.
"""

from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.apache.broker import missing_tools
from tests.chaos.compare import read_topic
from tests.chaos.site import EVENTS, PATIENCE_S, Site
from tests.chaos.town import PARTITIONS, Running
from tests.servers import unavailable

pytestmark = pytest.mark.apache


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


def test_logs_that_have_lost_their_tails_stop_their_partitions(site: Site) -> None:
    """One is shorter, one has grown again, and one has all but the triggers that came of it."""
    shorter, grown, silent = 1, 2, 5
    for partition in (shorter, grown):
        site.send(partition, 30)
    site.send(silent, 3, value=20_000)
    site.until(lambda: min(site.off(shorter), site.off(grown)) > 30, "the events")
    site.until(lambda: site.town.end("triggers", silent) == 3, "the triggers")
    at = site.off(silent)
    site.until(lambda: site.off(silent) > at + 1, "what trims them")
    frozen = [*site.freeze("work"), *site.freeze("keep")]
    site.broker.kill()
    for partition in (shorter, grown):
        off = site.off(partition)
        assert site.broker.cut(EVENTS, partition, off - 5) <= off, "what was applied is gone"
    assert site.broker.cut("triggers", silent, 0) == 0
    site.broker.start()
    site.send(grown, 60, value=2_000)  # others write to it before anybody looks
    site.damaged |= {shorter, grown, silent}
    site.thaw(*frozen)
    for partition, what in ((shorter, "lost or changed"), (grown, "lost or changed"),
                            (silent, "has lost its end")):  # fmt: skip
        words = (f"partition {partition} stands still", what, "restore")
        site.until(partial(site.is_told, *words), "the reason")
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
