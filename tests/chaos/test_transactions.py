"""Triggers in transactions: a frozen worker that wakes inside its send is read by nobody."""

from collections.abc import Iterator

import pytest

from tests.apache.broker import missing_tools
from tests.chaos.compare import read_topic
from tests.chaos.site import Site
from tests.chaos.town import PARTITIONS, Running
from tests.servers import unavailable

pytestmark = pytest.mark.apache


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A running installation."""
    if missing := missing_tools():
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    found = Site(transactions=True)
    with found.runner:
        found.runner.run(found.channels.start())
        found.runner.run(found.town.__aenter__())
        yield found
        found.runner.run(found.town.__aexit__())
        found.runner.run(found.channels.stop())


@pytest.mark.parametrize(("step", "partition"), [("publishing", 6), ("sent", 3)])
def test_what_a_zombie_sends_is_read_by_nobody_and_all_is_delivered(
    site: Site, step: str, partition: int
) -> None:
    workers = site.town.of("work")
    crm = site.channels.all["crm"]
    before = len(crm.effects)
    for each in workers:
        each.point.with_suffix(".struck").unlink(missing_ok=True)
        each.point.write_text(f"{step} freeze")
    site.send(partition, 3, value=20_000)

    def struck() -> list[Running]:
        return [each for each in workers if each.point.with_suffix(".struck").exists()]

    def numbers() -> list[int]:
        log = read_topic(site.broker.bootstrap, "triggers", PARTITIONS)[partition]
        return [int(dict(record.headers)["oseq"]) for record in log]

    site.until(lambda: bool(struck()), "a frozen worker")
    for each in workers:
        each.point.unlink(missing_ok=True)
    zombies = struck()
    site.until(lambda: numbers() == [1, 2, 3], "the triggers, from the next owner")
    site.thaw(*zombies)
    if step == "publishing":  # it has written nothing yet, and tries now
        site.until(lambda: site.is_told("another worker writes the triggers"), "the zombie's end")
    site.send(partition, 2, value=30_000)
    site.until(lambda: len(numbers()) >= 5, "triggers behind it")
    assert numbers() == [1, 2, 3, 4, 5], "each number once, in order"
    site.until(lambda: len(crm.effects) == before + 5, "a webhook for each")
    assert crm.repeated == 0
    site.others_go_on()
    assert not site.is_told("a hole at offset"), "a marker is no hole"
