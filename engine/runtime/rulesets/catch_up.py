"""Everybody is looked at once, so that rules about dates and silences begin with the silent too.

A rule hears of a person by events. Who does nothing is found in the store, and told to the log: one
sealed record a person, in the order of the walk, so a replay looks at the same ones at the same
place. Repeating it changes nothing; it may be broken off at any time.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import msgspec

from engine.events import topics
from engine.events.ids import is_entity
from engine.events.record import Outgoing
from engine.identity import mac
from engine.identity.messages import Look
from engine.keys import node_name
from engine.ports import Publisher, Store

CHUNK = 100  # persons that are loaded, and written, at once
PER_SECOND = 1_000.0  # a fold of some 50 us each: what else happens hardly waits
_LIVE = b"L"  # how the state of a person begins that is no signpost to another
_json = msgspec.json.Encoder().encode


async def catch_up(
    store: Store,
    publisher: Publisher,
    *,
    tenant: str,
    secret: bytes,
    silent_max_ms: int = 0,
    per_second: float = PER_SECOND,
    tell: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a record for each person who lives; return how many. `tell`: how many so far."""
    value = _json(Look(tenant, silent_max_ms))
    start, looked, began = node_name(tenant, ""), 0, monotonic()
    async for partition, names in store.walk():
        for some in _persons(names, start):
            held = await store.load(partition, some)
            ids = [
                name[len(start) :]
                for name, data in zip(some, held, strict=True)
                if data is not None and data[:1] == _LIVE
            ]
            await publisher.publish([_record(partition, each, value, secret) for each in ids])
            looked += len(ids)
            tell(looked)
            await asyncio.sleep(max(0.0, looked / per_second - (monotonic() - began)))
    return looked


def _persons(names: Sequence[str], start: str) -> Iterator[list[str]]:
    found = [n for n in names if n.startswith(start) and not is_entity(n[len(start) :])]
    for place in range(0, len(found), CHUNK):
        yield found[place : place + CHUNK]


def _record(partition: int, node_id: str, value: bytes, secret: bytes) -> Outgoing:
    key = node_id.encode()
    headers = (("kind", b"look"), ("mac", mac.sign("look", key, value, secret)))
    return Outgoing(topics.EVENTS, partition, key, value, headers)
