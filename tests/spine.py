"""A small world under a rule set: events in, ticks on, triggers out; partitions may be paused."""

import msgspec

from engine.decision.model import Trigger
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Outgoing, header, partition_of
from engine.identity import mac, messages
from engine.keys import node_name
from engine.pipeline.book import Book
from engine.pipeline.state import Live, decode_node
from tests.simulation.world import SECRET, TENANT, Faults, World
from tests.turns import event_id, rules_of

WAIT_MS = 600_000
LATENESS_MS = 10_000
CART, ORDER = "cart.updated", "order.placed"
REMIND = """
rule: remind
when:
  - event: cart.updated
  - {not: order.placed, within: 10m}
do: [{case: call}]
"""
THANK = """
rule: thank
when: [{event: order.placed}]
do: [{case: card}]
"""
_DATA = {
    CART: {"value": 15_000, "cart_id": "a", "items": 1},
    ORDER: {"value": 15_000, "currency": "CNY"},
}


def a_world(
    *rules: str,
    partition_count: int = 1,
    faults: Faults | None = None,
    seed: int = 1,
    deployed: bool = True,
) -> World:
    """Return a world with rules (`REMIND` and `THANK` unless given), `deployed` by a record."""
    compiled = rules_of(*(rules or (REMIND, THANK)))
    book = Book(secret=SECRET, rule_sets={compiled.version: compiled})
    world = World(seed, partition_count=partition_count, faults=faults, book=book)
    for partition in range(partition_count if deployed else 0):
        control(world, "ruleset", messages.Version(compiled.version), partition=partition)
    return world


def control(
    world: World, kind: str, body: msgspec.Struct, *, to: str = "", partition: int | None = None
) -> None:
    """Append a sealed record of the engine's own, to an actor or into a partition."""
    key, value = (to or kind).encode(), msgspec.json.encode(body)
    headers = (("kind", kind.encode()), ("mac", mac.sign(kind, key, value, SECRET)))
    where = partition_of(to, world.count) if partition is None else partition
    world.log.append(Outgoing(topics.EVENTS, where, key, value, headers))


def an_event(who: str, name: str, at: int, *, type: str = CART) -> Event:
    """Return an event at one person's home; its id depends on `name` alone."""
    return Event(
        id=event_id(name), tenant=TENANT, source="test", type=type, at=at, original_at=at,
        received_at=at, ids=[who], data=dict(_DATA.get(type, {})),
    )  # fmt: skip


async def drain(world: World) -> None:
    """Work until nothing is left to do."""
    while await world.step():
        pass


async def pass_time(world: World, ms: int, *, step_ms: int = 60_000) -> None:
    """Let log time pass, tick by tick, with all work done in between."""
    for _ in range(-(-ms // step_ms)):
        await world.tick(step_ms)
        await drain(world)


def triggers(world: World) -> list[Trigger]:
    """Return what a reader with one number per partition sees: each oseq once, in order."""
    found: list[Trigger] = []
    seen: dict[int, int] = {}
    for record in world.log.records(topics.TRIGGERS):
        number = int(header(record.headers, "oseq") or 0)
        if number > seen.get(record.partition, 0):
            assert number == seen.get(record.partition, 0) + 1, "a hole in the numbers"
            seen[record.partition] = number
            item = msgspec.json.decode(record.value)
            if item["type"] == "trigger":
                found.append(msgspec.json.decode(record.value, type=Trigger))
    return found


def live(world: World, who: str) -> Live:
    """Return a person's committed node."""
    name = node_name(TENANT, who)
    held = world.store._states[partition_of(who, world.count)]
    node = decode_node(name, held[name])
    assert isinstance(node, Live)
    return node
