"""Rules over a real log: back-tested exactly, published by two people without a stop, and back."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson
import pytest

from engine.adapters.kafka.reader import KafkaReader
from engine.cli.main import main
from engine.clock import HOUR_MS, MINUTE_MS
from engine.config import Settings
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.ingest.accept import Accepted
from engine.runtime.local.stack import Plan, Stack
from engine.runtime.past.history import History
from tests.simulation.test_backtest import HEAD, KEEN, LEFT, story
from tests.turns import ROOT, event_id

pytestmark = [pytest.mark.broker, pytest.mark.redis]
START_MS = 1_772_596_800_000
SETTINGS = Settings(tenant="t", partitions=2, secret="the secret of this house")
TESTS = """tests:
  - {name: fires, given: {profile: {consent: {push: true}}},
     events: [{at: 0m, cart.updated: {value: 1.0, cart_id: a, items: 1}}],
     expect: [{at: 30m, offer: cart-10-off}]}
  - {name: not, events: [], expect: []}
"""
LOOKED = """tests:
  - {name: fires, events: [{at: 0m, web.page_viewed: {page: /}},
     {at: 1m, web.page_viewed: {page: /}}, {at: 2m, web.page_viewed: {page: /}}],
     expect: [{at: 2m, offer: cart-10-off}]}
  - {name: not, events: [], expect: []}
"""
RULES = {
    "keen.yaml": KEEN + HEAD.format(status="live"),
    "left.yaml": LEFT + HEAD.format(status="live"),
}
NEW = """rule: new
when: [{event: order.placed}]
do: [{case: thank}]
goal: {event: order.placed, within: 3d}
tests:
  - {name: fires, events: [{at: 0m, order.placed: {value: 1.0}}], expect: [{at: 0m, case: thank}]}
  - {name: not, events: [], expect: []}
"""
Engine = Callable[..., dict[str, Any]]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Engine:
    """Run a command as a user would; return its JSON, or its error's code."""
    monkeypatch.chdir(ROOT)

    def run(stack: Stack, *words: str) -> dict[str, Any]:
        for name, value in asdict(stack.settings).items():
            monkeypatch.setenv(name.upper(), str(value))
        code = main([*words, "--json"])
        said = capsys.readouterr()
        if code:
            return {"code": said.err.strip().rpartition("[")[2].rstrip("]"), "said": said.err}
        found: dict[str, Any] = orjson.loads(said.out)
        return found

    return run


async def triggers(stack: Stack) -> dict[str, tuple[str, int]]:
    """Return the triggers that the workers published: id -> (rule, at); none held out."""
    reader, found = KafkaReader(stack.settings.kafka_bootstrap), {}
    for partition in range(SETTINGS.partitions):
        offset = 0
        while records := await reader.read(topics.TRIGGERS, partition, offset, count_max=500):
            offset = records[-1].offset + 1
            for record in records:
                item = orjson.loads(record.value)
                if item["type"] == "trigger" and not item.get("held_out"):
                    found[item["id"]] = (item["rule"], item["at"])
    await reader.close()
    return found


async def live(stack: Stack, events: list[Event], *, until: int | None = None) -> None:
    """Let the workers live through events."""
    history = History(
        stack.publisher, stack.store, stack.settings, tick_ms=10 * MINUTE_MS,
        alone=all(len(event.ids) == 1 for event in events),
    )  # fmt: skip
    await history.load(
        [Accepted(event, event.ids[0], msgspec.json.encode(event)) for event in events],
        until=until,
    )


def one(type: str, at: int, name: str) -> Event:
    """Return an event of a person of no other story."""
    who = birth_id("user_id", "lone", tenant="t", secret=SETTINGS.secret_key)
    data = {"value": 100, "currency": "CNY", "cart_id": "c", "items": 1}
    return Event(
        id=event_id(name), tenant="t", source="sim", type=type, at=at, original_at=at,
        received_at=at, ids=[who], data=data,
    )  # fmt: skip


def test_rules_are_back_tested_published_and_taken_back_while_the_workers_go_on(
    engine: Engine, tmp_path: Path
) -> None:
    for name, text in {**RULES, "new.yaml": NEW + HEAD.format(status="live")}.items():
        (tmp_path / name).write_text(text)

    async def told() -> None:
        plan = Plan(SETTINGS, roles=("work",), receiver=False, rules=RULES)
        async with Stack(plan) as stack:
            await _back_tested(stack, engine, tmp_path)
            await _published(stack, engine, tmp_path)
            assert stack.restarts == 0

    asyncio.run(told())


async def _back_tested(stack: Stack, engine: Engine, folder: Path) -> None:
    events = story(Random(7), now=START_MS, people=20, events=300)
    await live(stack, events)
    found, out = await triggers(stack), folder / "out"
    run, topic = asyncio.to_thread, ("backtest", "--events", "topic")
    same = await run(engine, stack, *topic, "--decisions", str(out))
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert {line["id"]: (line["rule"], line["at"]) for line in lines} == found
    assert len(found) > 20 and {rule for rule, _ in found.values()} == {"keen", "left"}
    assert (same["events"], same["decisions"]) == (len(events), len(found))
    file = str(folder / "log.ndjson.gz")
    assert (await run(engine, stack, "dump", file))["events"] == len(events)
    over_file = ("backtest", "--events", file, "--rules", str(folder / "keen.yaml"))
    assert (await run(engine, stack, *over_file))["events"] == len(events)
    other = await run(engine, stack, *topic, "--rules", str(folder))
    assert "said" not in other, other["said"]
    assert set(other["diff"]["more"]) == {"new"} and other["diff"]["same"] == len(found)
    one_file = await run(engine, stack, *topic, "--rules", str(folder / "keen.yaml"))
    assert one_file["diff"]["is_same"], "a file takes its place among the live ones"


async def _published(stack: Stack, engine: Engine, folder: Path) -> None:
    run, now = asyncio.to_thread, START_MS + 30 * 24 * HOUR_MS
    await live(stack, [one("cart.updated", now, "waits")])  # `left` waits for 30 minutes now
    text = RULES["left.yaml"].replace("A cart left alone", "A cart that nobody wants") + TESTS
    (folder / "left.yaml").write_text(text.replace("repeat: restart", "repeat: restart  # anew"))
    (folder / "keen.yaml").write_text(RULES["keen.yaml"].replace("1h) >= 2", "1h) >= 3") + LOOKED)
    publish = ("rules", "publish", str(folder), "--as", "li", "--why", "thanks")
    found = await run(engine, stack, *publish)
    assert "said" not in found, found["said"]
    assert not found["live"] and found["checks"]["backtest"]["more"]["new"] > 0
    assert (found["diff"]["added"], found["diff"]["changed"]) == (["new"], ["keen"])
    version = found["version"]
    approve = ("rules", "approve", version, "--as")
    assert (await run(engine, stack, *approve, "li"))["code"] == "rules/two-people"
    approved = await run(engine, stack, *approve, "wang")
    assert (approved["approver"], approved["asked"]) == ("wang", SETTINGS.partitions)
    again = await run(engine, stack, "backtest", "--events", "topic", "--rules", str(folder))
    assert again["diff"]["is_same"], "it is compared with what is live now, not with what was"
    before = await triggers(stack)
    await live(stack, [one("order.placed", now + HOUR_MS, "thanks")], until=now + 2 * HOUR_MS)
    fired = (await triggers(stack)).items() - before.items()
    assert {rule for _, (rule, _) in fired} == {"left", "new"}, "its wait was not lost"
    why = await run(engine, stack, "rules", "explain", "left", "user_id:lone")
    assert [each["outcome"] for each in why["occasions"]] == ["fired", "waits"]
    shown = await run(engine, stack, "rules", "list")
    assert shown["version"] == version and shown["others"] == 0
    rows = {row["rule"]: row for row in shown["rules"]}
    assert rows["new"]["fired"] == 1
    assert rows["left"]["fired"] + rows["keen"]["fired"] == len(before) + 1
    assert (await run(engine, stack, "rules", "retire", "new", "--as", "li"))["kind"] == "retire"
    back = await run(engine, stack, "rules", "rollback", "v1", "--as", "wang", "--why", "oh")
    assert (back["kind"], back["version"]) == ("rollback", "v1")
    assert back["asked"] == SETTINGS.partitions
    await live(stack, [one("order.placed", now + 3 * HOUR_MS, "no thanks")])
    assert len(await triggers(stack)) == len(before) + len(fired)
    people = (await stack.totals(final=False)).customers
    assert (await run(engine, stack, "rules", "catch-up", "--as", "li"))["looked_at"] == people
    history = await run(engine, stack, "rules", "history")
    assert [each["kind"] for each in history["releases"]] == [
        "publish", "publish", "retire", "rollback",
    ]  # fmt: skip
