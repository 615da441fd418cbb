"""State of the next release: read, changed and written again, with all that it alone knows."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import orjson
import pytest

from engine.errors import StateError
from engine.identity.node import Tombstone
from engine.identity.registrar import Root
from engine.keys import node_name
from engine.pipeline.later import REPLACED
from engine.pipeline.state import (
    STATE_VERSION,
    Live,
    decode_entry,
    decode_node,
    encode_entry,
    encode_node,
)
from engine.profile.model import Actor, Timer, Trait, types_of
from tests.simulation.world import TENANT, World
from tests.spine import CART, ORDER, a_world, an_event, drain, pass_time
from tests.turns import NOON

DATA = Path(__file__).parents[2] / "data" / "upgrade"
WHO, OTHER = "0u" + "1" * 16, "1p" + "2" * 16
NAME = node_name(TENANT, WHO)
_unpack = msgspec.msgpack.decode


def grown(kind: Any, value: Any, path: str = "") -> Any:
    """Return a value as the next release has it: every struct in it is longer by a field."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        own = [
            grown(of, each, f"{path}/{name}")
            for (name, of), each in zip(types_of(kind).items(), value, strict=True)
        ]
        return [*own, f"{path} later"]
    if get_origin(kind) is dict:
        of = get_args(kind)[1]
        return {name: grown(of, each, f"{path}/{name}") for name, each in value.items()}
    if get_origin(kind) is list:
        of = get_args(kind)[0]
        return [grown(of, each, f"{path}/{n}") for n, each in enumerate(value)]
    return value


def tails(value: Any) -> Iterator[str]:
    """Yield all that only the next release knows."""
    if isinstance(value, list):
        for each in value:
            yield from tails(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from tails(each)
    elif isinstance(value, str) and value.endswith(" later"):
        yield value


def of_the_next_release(data: bytes, kind: Any, version: int = STATE_VERSION + 1) -> bytes:
    value = grown(kind, _unpack(data[1:]))
    if kind is Live:
        value[0] = version
    return data[:1] + msgspec.msgpack.encode(value)


async def a_life(world: World) -> None:
    """Two carts, an order, and a wait that is still armed."""
    for number, type in enumerate((CART, ORDER, CART)):
        world.send(an_event(WHO, f"e{number}", NOON + number, type=type))
    await drain(world)
    await pass_time(world, 60_000)


@pytest.fixture
def world() -> World:
    """A world in which the next release has written the state of one customer."""
    found = a_world()
    asyncio.run(a_life(found))
    held = found.store._states[0]
    held[NAME] = of_the_next_release(held[NAME], Live)
    found._owners[0] = None  # the next one remembers nothing
    return found


def test_it_comes_back_as_it_was(world: World) -> None:
    data = world.store._states[0][NAME]
    node = decode_node(NAME, data)
    assert isinstance(node, Live) and node.actor.trade.orders == 1
    assert encode_node(node) == data


def test_what_is_folded_into_it_changes_what_we_know_and_nothing_else(world: World) -> None:
    before = _unpack(world.store._states[0][NAME][1:])

    async def more() -> None:
        world.send(an_event(WHO, "e9", NOON + 70_000, type=ORDER))
        await drain(world)

    asyncio.run(more())
    after = _unpack(world.store._states[0][NAME][1:])
    node = decode_node(NAME, world.store._states[0][NAME])
    assert isinstance(node, Live) and node.actor.trade.orders == 2
    lost = set(tails(before)) - set(tails(after))
    # The order has ended the wait: what was noted with its timer has gone with it.
    assert all("/timers/" in tail or "/partial/" in tail for tail in lost), lost
    assert after[0] == STATE_VERSION + 1
    assert len(set(tails(after))) > 12


def test_without_the_next_release_the_same_events_give_the_same_known_state(world: World) -> None:
    plain = a_world()
    asyncio.run(a_life(plain))
    for each in (plain, world):
        each.send(an_event(WHO, "e9", NOON + 70_000, type=ORDER))
        asyncio.run(drain(each))
    mine, theirs = (decode_node(NAME, w.store._states[0][NAME]) for w in (plain, world))
    assert isinstance(mine, Live) and isinstance(theirs, Live)
    assert theirs.links == mine.links
    for name in types_of(Actor):
        assert getattr(theirs.actor, name) == getattr(mine.actor, name)


def test_a_value_that_was_replaced_has_no_tail_of_the_old_one(world: World) -> None:
    node = decode_node(NAME, world.store._states[0][NAME])
    assert isinstance(node, Live)
    actor = node.actor
    name = next(iter(actor.timers))
    kept = dict(actor.timers)
    actor.traits["tier"] = Trait("gold", "crm", 1)
    data = encode_node(node)
    assert data is not None and Trait in REPLACED
    again = decode_node(NAME, data)
    assert isinstance(again, Live)
    again.actor.timers[name] = Timer(kept[name].due + 1, kept[name].score + 1)
    written = encode_node(again)
    assert written is not None
    assert f"/actor/timers/{name} later" in set(tails(_unpack(data[1:])))
    assert f"/actor/timers/{name} later" not in set(tails(_unpack(written[1:])))


def test_a_release_behind_the_next_is_not_guessed_at() -> None:
    data = b"L" + msgspec.msgpack.encode([STATE_VERSION + 2, "all", "is", "different"])
    with pytest.raises(StateError, match=f"version {STATE_VERSION + 2}, we know up to"):
        decode_node("s:t:x", data)


def test_what_an_older_release_wrote_is_written_in_our_version() -> None:
    node = decode_node(NAME, b"L" + msgspec.msgpack.encode([STATE_VERSION - 1, [], []]))
    assert isinstance(node, Live)
    data = encode_node(node)
    assert data is not None and _unpack(data[1:])[0] == STATE_VERSION


def names_of(kind: Any, found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the field names of every struct that a struct is made of, by its name."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind.__name__ not in found:
            types = types_of(kind)
            found[kind.__name__] = list(types)
            for each in types.values():
                names_of(each, found)
    else:
        for each in get_args(kind):
            names_of(each, found)
    return found


@pytest.mark.parametrize("path", sorted(DATA.glob("shape-*.json")), ids=lambda path: path.stem)
def test_what_an_earlier_release_wrote_has_its_fields_where_they_were(path: Path) -> None:
    now: dict[str, list[str]] = {}
    for kind in (Live, Tombstone, Root):
        names_of(kind, now)
    for name, fields in orjson.loads(path.read_bytes()).items():
        assert now[name][: len(fields)] == fields, f"{name}: a new field goes to the end"


def test_signposts_and_the_registrars_persons_keep_theirs_too() -> None:
    signpost = encode_node(Tombstone("0u1", shared=True))
    assert signpost is not None
    later = of_the_next_release(signpost, Tombstone)
    node = decode_node("s:t:x", later)
    assert isinstance(node, Tombstone)
    assert encode_node(node) == later
    node.own = "0u0"
    changed = encode_node(node)
    assert changed is not None
    value = _unpack(changed[1:])
    assert (value[:2], value[-1]) == (["0u1", "0u0"], " later")
    person = encode_entry(Root(["0u1", "3d1"], {"3d1": 2}))
    assert person is not None
    later = of_the_next_release(person, Root)
    entry = decode_entry(later)
    assert isinstance(entry, Root)
    entry.members.append("3d2")
    written = encode_entry(entry)
    assert written is not None
    assert _unpack(written[1:]) == [["0u1", "3d1", "3d2"], {"3d1": 2}, " later"]
