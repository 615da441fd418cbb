"""Who did nothing since before a rule was published is looked at once; a replay does the same."""

import asyncio
from typing import Any

import orjson
import pytest

from engine.clock import DAY_MS, HOUR_MS, iso
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.events.record import Outgoing
from engine.identity.messages import Absorb, Look
from engine.pipeline.book import Book
from engine.rules.compile import compile_rules
from engine.runtime.learner import version_records
from engine.runtime.rulesets.catch_up import catch_up
from tests.simulation.world import SECRET, TENANT, Faults, World
from tests.turns import contracts, event_id

START = 1_772_596_800_000  # noon in Shanghai
HEAD = "owner: a@shop.example\nstatus: live\n"
BEFORE = {"a.yaml": "rule: a\nwhen: [{event: app.crashed}]\ndo: [{case: a}]\n" + HEAD}
SHARED = """segments:
  buyers: {if: profile.trade.orders >= 1 && profile.rfm.recency >= 5, daily: members}
"""
RULES = {
    **BEFORE,
    "shared.yaml": SHARED,
    "quiet.yaml": "rule: quiet\nwhen: [{schedule: {silence: 30d, at: '10:00'}}]\n"
    "do: [{case: call}]\nfresh: 8h\n" + HEAD,
    "birthday.yaml": "rule: birthday\nwhen: [{schedule: {date: profile.birthday}}]\n"
    "do: [{case: card}]\nfresh: 8h\n" + HEAD,
    "left.yaml": "rule: left\nwhen: [{left: buyers}]\ndo: [{case: ask}]\nfresh: 8h\n" + HEAD,
}
FAULTS = Faults(reply_lost=0.05, rollback=0.02, death=0.03)


def who(name: str) -> str:
    """Return a person's id."""
    return birth_id("user_id", name, tenant=TENANT, secret=SECRET)


def event(world: World, name: str, type: str, **data: Any) -> None:
    world.send(
        Event(
            id=event_id(f"{name}{type}{world.now}"), tenant=TENANT, source="s", type=type,
            at=world.now, original_at=world.now, received_at=world.now, ids=[who(name)],
            data={"value": 100, "currency": "CNY", **data},
        )
    )  # fmt: skip


async def days(world: World, count: float) -> None:
    """Let time pass, in steps of an hour."""
    for _ in range(round(count * 24)):
        await world.tick(HOUR_MS)
        await drained(world)
    for _ in range(4):
        await world.tick(15_000)
        await drained(world)


async def drained(world: World) -> None:
    while await world.step():
        pass


async def look(world: World, **more: Any) -> int:
    """Look at everybody."""
    return await catch_up(
        world.store, world.log, tenant=TENANT, secret=SECRET, per_second=1e9, **more
    )


async def until_published(seed: int, faults: Faults | None = None) -> World:
    """Return a world whose people were there, and silent, before its rules were."""
    sets = {
        name: compile_rules(texts, contracts(), version=name)
        for name, texts in (("v1", BEFORE), ("v2", RULES))
    }
    world = World(seed, partition_count=2, faults=faults, book=Book(SECRET, sets))
    world.now = START
    publish(world, "v1")
    await days(world, 0.1)
    event(world, "long", "web.page_viewed", page="/")
    event(world, "born", "customer.identified", birthday="1990-06-20")
    await days(world, 40)
    event(world, "short", "order.placed")
    event(world, "other", "web.page_viewed", page="/")
    await days(world, 10)
    publish(world, "v2")
    await days(world, 2)
    return world


def publish(world: World, version: str) -> None:
    for record in version_records("ruleset", version, world.count, SECRET):
        world.log.append(record)


def did(world: World) -> list[tuple[str, str, str]]:
    """Return (rule, who, when) of all triggers, each once."""
    names = {who(name): name for name in ("long", "born", "short", "other")}
    found = {
        each["id"]: (each["rule"], names[each["customer"]], iso(each["at"])[:16])
        for record in world.log.records(topics.TRIGGERS)
        if (each := orjson.loads(record.value))["type"] == "trigger"
    }
    return sorted(found.values())


AFTER = [
    ("birthday", "born", "2026-06-20T01:00"),
    ("left", "short", "2026-05-14T01:00"),
    ("quiet", "born", "2026-04-27T02:00"),
    ("quiet", "long", "2026-04-27T02:00"),
    ("quiet", "other", "2026-05-14T02:00"),
    ("quiet", "short", "2026-05-14T02:00"),
]


def test_the_silent_are_found_once_and_all_rules_of_time_begin_with_them() -> None:
    async def scenario() -> None:
        world = await until_published(1)
        await days(world, 1)
        assert did(world) == [], "nobody has moved, so no rule knows them"
        assert await look(world) == 4
        await days(world, 100)
        assert did(world) == AFTER
        assert await look(world) == 4
        await days(world, 2)
        assert did(world) == AFTER, "to look again changes nothing"

    asyncio.run(scenario())


def test_who_is_silent_for_too_long_is_left_alone() -> None:
    async def scenario() -> None:
        world = await until_published(1)
        await look(world, silent_max_ms=35 * DAY_MS)
        await days(world, 30)
        assert [each for each in did(world) if each[0] == "quiet"] == AFTER[4:]

    asyncio.run(scenario())


def test_a_signpost_is_not_looked_at() -> None:
    async def scenario() -> None:
        world = await until_published(1)
        world.order("absorb", Absorb(TENANT, who("other"), False, False), to=who("long"))
        await days(world, 0.1)
        assert await look(world) == 3
        world.order("look", Look(TENANT), to=who("long"))  # as an old walk may still say
        await days(world, 40)
        assert {name for _, name, _ in did(world)} == {"born", "short", "other"}

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(3))
def test_faults_and_a_replay_of_the_log_give_the_same_bytes(seed: int) -> None:
    async def scenario() -> None:
        world = await until_published(seed, FAULTS)
        await look(world)
        await days(world, 60)
        again = World(seed + 99, partition_count=2, book=world.book)
        for record in world.log.records(topics.EVENTS):
            place = (record.topic, record.partition)
            again.log.append(Outgoing(*place, record.key, record.value, record.headers))
        await drained(again)
        assert again.store._states == world.store._states and did(again) == did(world) != []

    asyncio.run(scenario())
