"""A dump is the log as a company may keep it: the same back-test, and nothing of who was erased."""

import asyncio
import gzip
from pathlib import Path
from random import Random

import msgspec
import orjson
import pytest

from engine.adapters.memory import MemoryLog
from engine.cli.main import main
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.events.record import Outgoing
from engine.pipeline.book import Book
from engine.runtime.learner import version_records
from engine.runtime.past.backtest import Run, dumped, over_events
from engine.runtime.past.dump import Dumped, Wanted, dump
from engine.simulation.backtest import Watch
from tests.simulation.test_backtest import KEEN, LEFT, rules_of, story
from tests.simulation.world import SECRET, TENANT, World, run
from tests.turns import contracts, event_id

MINUTE = 60_000


def lived(people: int = 8) -> World:
    """Return a world of two partitions after a story."""
    rules = rules_of(keen=KEEN, left=LEFT)
    world = World(3, partition_count=2, book=Book(SECRET, {"v1": rules}))
    start = world.now
    script: list[tuple[str, object]] = [("tick", 1_000)]
    for record in version_records("ruleset", "v1", world.count, SECRET):
        world.log.append(record)
    for event in story(Random(5), now=start, people=people):
        while world_now(script, start) < event.at:
            script += [("tick", MINUTE), ("work", 20)]
        script.append(("event", event))
    run(world, [*script, ("work", 99), *[("tick", MINUTE), ("work", 99)] * 90])
    return world


def world_now(script: list[tuple[str, object]], start: int) -> int:
    return start + sum(int(str(value)) for what, value in script if what == "tick")


def written(world: World, wanted: Wanted | None = None) -> tuple[list[bytes], Dumped]:
    """Return the lines of a dump, and what it tells."""
    lines: list[bytes] = []
    told = asyncio.run(
        dump(world.log, world.count, contracts(), wanted or Wanted(), lines.append, secret=SECRET)
    )
    assert len(lines) == told.events
    return lines, told


def test_a_back_test_over_it_decides_as_the_workers_did(tmp_path: Path) -> None:
    world = lived()
    lines, told = written(world)
    path = tmp_path / "log.ndjson.gz"
    path.write_bytes(gzip.compress(b"".join(lines)))
    rules = world.book.rule_sets["v1"]
    watch = Watch(rules.rules)
    values = dumped(path, lambda _: None)
    count = over_events([Run(watch, rules)], values, secret=SECRET, lateness_ms=lambda _: 10_000)
    live = [orjson.loads(record.value) for record in world.log.records(topics.TRIGGERS)]
    sent = {each["id"] for each in live if each["type"] == "trigger" and not each.get("held_out")}
    assert count == told.events > 100 and told.erased == 0
    assert watch.triggers.keys() == sent and len(sent) > 10


def test_who_was_erased_is_not_in_it_under_any_identifier() -> None:
    world = lived()
    before, _ = written(world)
    events = [msgspec.json.decode(line, type=Event) for line in before]
    ids = {name for event in events for name in event.ids}
    gone = birth_id("user_id", "u1", tenant=TENANT, secret=SECRET)
    assert gone in ids
    run(world, [("erase", gone), ("work", 99), ("tick", 1_000), ("work", 99)])
    lines, told = written(world)
    left = [msgspec.json.decode(line, type=Event) for line in lines]
    assert told.erased == len(events) - len(left) > 0
    names = {name for event in events if gone in event.ids for name in event.ids}
    assert len(names) == 2, "both of the person's identifiers"
    others = {event.id for event in events if names.isdisjoint(event.ids)}
    assert {event.id for event in left} == others


def test_names_stay_behind_and_what_rules_need_of_them_does_not() -> None:
    data = {"email": "ann@example.com", "name": "Ann", "birthday": "1990-02-28", "city": "Hangzhou"}
    event = Event(
        id=event_id("a"), tenant=TENANT, source="s", type="customer.identified", at=5,
        original_at=5, received_at=7, ids=["0ux"], data=data,
    )  # fmt: skip
    log = MemoryLog({topics.EVENTS: 1})
    log.append(Outgoing(topics.EVENTS, 0, b"0ux", msgspec.json.encode(event)))
    log.append(Outgoing(topics.EVENTS, 0, b"0ux", b"{"))
    world = World(1, partition_count=1)
    world.log = log  # type: ignore[assignment]
    lines, told = written(world)
    assert orjson.loads(lines[0])["data"] == {
        "email": "left-out", "name": "left-out", "birthday": "1904-02-28", "city": "Hangzhou",
    }  # fmt: skip
    assert "customer.identified.email" in told.fields and told.unreadable == 1
    clear, _ = written(world, Wanted(personal=True))
    assert orjson.loads(clear[0])["data"] == data


@pytest.mark.parametrize(
    "wanted",
    [Wanted(since=8), Wanted(until=7), Wanted(types=frozenset({"order.placed"}))],
)
def test_other_times_and_types_are_left_out(wanted: Wanted) -> None:
    event = Event(
        id=event_id("a"), tenant=TENANT, source="s", type="cart.viewed", at=5, original_at=5,
        received_at=7, ids=["0ux"],
    )  # fmt: skip
    world = World(1, partition_count=1)
    world.log.append(Outgoing(topics.EVENTS, 0, b"0ux", msgspec.json.encode(event)))
    assert written(world, wanted)[1] == Dumped(others=1)
    assert written(world, Wanted(since=7, until=8))[1] == Dumped(events=1)


def test_a_type_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", "x.ndjson", "--type", "order.place"]) == 1
    assert 'did you mean "order.placed"?' in capsys.readouterr().err
