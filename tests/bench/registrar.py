"""The registrar: what an identifier takes in Redis and a claim in CPU, one key each or packed.

    python -m tests.bench.registrar [--people N] [--json]

`plain` is what the engine does: one key for each identifier. `packed` is the other way that was
tried: some 64 identifiers in one value, 28 bytes a pointer, found by the first bits of the hash.
Each claim is decided by the engine's own rules; reading and writing what is stored is part of it.
`by_events` and `linked` are the CPU of all partitions until four identifiers are one person: named
by events, and by rows of `engine link`.
"""

import argparse
import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from random import Random
from statistics import median
from time import process_time
from typing import Any

import redis

from engine.events import topics
from engine.events.ids import birth_id
from engine.identity.registrar import Entry, Root, claim
from engine.keys import Space, registrar_name
from engine.pipeline.book import Book
from engine.pipeline.state import decode_entry, encode_entry
from engine.runtime.local.embedded import EmbeddedRedis
from engine.runtime.orders.links import Links
from tests.simulation.people import an_event
from tests.simulation.world import World

TENANT, SECRET = "demo", b"secret of the bench"
KINDS = ("user_id", "phone", "device_id", "anonymous_id")
BUCKET = 64  # identifiers in a packed value, on average
WIDTH = 14  # bytes of an identifier: strength, letter, hash
ROUNDS = 5
BATCH_MAX = 200  # records of one commit
CLAIMS = 4_000
SPACE = Space("g1", 256)


class Plain(MutableMapping[str, Entry]):
    """One value an identifier, as the engine keeps them; counts what is written."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self.held = held
        self.written = 0

    def __getitem__(self, name: str) -> Entry:
        return decode_entry(self.held.get(name))

    def __setitem__(self, name: str, entry: Entry) -> None:
        value = encode_entry(entry)
        assert value is not None
        self.held[name] = value
        self.written += len(value)

    def __delitem__(self, name: str) -> None:
        del self.held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


class Packed(Plain):
    """Pointers of one bucket in one value; a root's members stand behind its bucket's pointers.

    Value: count (2 bytes), count x (identifier, root), then of each root: identifier, count of
    members (1 byte), members. Refusals, which are few, would take a plain key.
    """

    def __init__(self, held: dict[str, bytes], bits: int) -> None:
        super().__init__(held)
        self._bits = bits

    def bucket(self, short: bytes) -> str:
        return f"~{int.from_bytes(short[2:6], 'big') >> (32 - self._bits):x}"

    def __getitem__(self, name: str) -> Entry:
        short = shorten(name)
        value = self.held.get(self.bucket(short), b"\0\0")
        count = int.from_bytes(value[:2], "big")
        place = _find(value, short, 2, 2 + count * 2 * WIDTH, 2 * WIDTH)
        if place < 0:
            return None
        root = value[place + WIDTH : place + 2 * WIDTH]
        if root != short:
            return lengthen(root)
        at = 2 + count * 2 * WIDTH
        while value[at : at + WIDTH] != short:
            at += WIDTH + 1 + value[at + WIDTH] * WIDTH
        size = value[at + WIDTH]
        first = at + WIDTH + 1
        return Root([lengthen(value[first + i * WIDTH :][:WIDTH]) for i in range(size)])

    def __setitem__(self, name: str, entry: Entry) -> None:
        short = shorten(name)
        bucket = self.bucket(short)
        value = self.held.get(bucket, b"\0\0")
        count = int.from_bytes(value[:2], "big")
        end = 2 + count * 2 * WIDTH
        pointers, tail = value[2:end], value[end:]
        root = short if isinstance(entry, Root) else shorten(str(entry))
        place = _find(pointers, short, 0, len(pointers), 2 * WIDTH)
        if place < 0:
            pointers += short + root
            count += 1
        else:
            pointers = pointers[: place + WIDTH] + root + pointers[place + 2 * WIDTH :]
        at = 0
        while at < len(tail):
            size = WIDTH + 1 + tail[at + WIDTH] * WIDTH
            if tail[at : at + WIDTH] == short:
                tail = tail[:at] + tail[at + size :]
                break
            at += size
        if isinstance(entry, Root):
            members = b"".join(shorten(member) for member in entry.members)
            tail += short + bytes((len(entry.members),)) + members
        value = count.to_bytes(2, "big") + pointers + tail
        self.held[bucket] = value
        self.written += len(value)


def _find(value: bytes, short: bytes, start: int, end: int, step: int) -> int:
    found = value.find(short, start, end)
    while found >= 0 and (found - start) % step:
        found = value.find(short, found + 1, end)
    return found


def shorten(name: str) -> bytes:
    """Return the 14 bytes of a birth id."""
    return name[:2].encode() + urlsafe_b64decode(name[2:])


def lengthen(short: bytes) -> str:
    """Return the birth id of 14 bytes."""
    return short[:2].decode() + urlsafe_b64encode(short[2:]).decode()


def people(count: int) -> list[list[str]]:
    """Return the birth ids of people, sorted, the root first."""
    return [
        sorted(birth_id(kind, f"{kind}{n}", tenant=TENANT, secret=SECRET) for kind in KINDS)
        for n in range(count)
    ]


def filled(entries: Plain, crowd: list[list[str]]) -> Plain:
    """Return entries that know a crowd, each person joined."""
    for names in crowd:
        for name in names[1:]:
            claim(entries, names[0], name, 0)
    return entries


def timed(call: Callable[[], int]) -> float:
    """Return CPU us for each of what `call` says it has done."""
    began = process_time()
    done = call()
    return (process_time() - began) / done * 1e6


def same_person(entries: Plain, crowd: list[list[str]], random: Random) -> int:
    """Claim what is one already."""
    some = random.sample(crowd, CLAIMS)
    for names in some:
        claim(entries, names[2], names[3], 0)
    return len(some)


def new_device(entries: Plain, crowd: list[list[str]], random: Random) -> int:
    """Claim an identifier that nobody has named."""
    some = random.sample(crowd, CLAIMS)
    for names in some:
        claim(entries, names[0], f"3d{random.getrandbits(64):016x}", 0)
    return len(some)


def redis_cost(client: Any, held: dict[str, bytes]) -> int:
    """Return the bytes of memory that some values take in Redis."""
    client.flushall()
    before = int(client.info("memory")["used_memory"])
    pipe = client.pipeline(transaction=False)
    for number, (name, value) in enumerate(held.items()):
        pipe.set(SPACE.key(5, registrar_name(TENANT, name)), value)
        if number % 5_000 == 0:
            pipe.execute()
    pipe.execute()
    return int(client.info("memory")["used_memory"]) - before


def stored(count: int) -> dict[str, dict[str, float]]:
    """Return the figures of both forms."""
    crowd = people(count)
    bits = max(1, (count * len(KINDS) // BUCKET).bit_length())
    forms: dict[str, Plain] = {"plain": Plain({}), "packed": Packed({}, bits)}
    server = EmbeddedRedis()
    client = redis.Redis.from_url(server.start())
    figures: dict[str, dict[str, float]] = {}
    try:
        for name, entries in forms.items():
            filled(entries, crowd)
            size = redis_cost(client, entries.held)
            figures[name] = {"redis_bytes_per_identifier": round(size / count / len(KINDS), 1)}
    finally:
        client.close()
        server.stop()
    for label, work in (("one_already", same_person), ("joining", new_device)):
        rounds: dict[str, list[float]] = {name: [] for name in forms}
        for number in range(ROUNDS):
            for name, entries in forms.items():  # turn by turn: the machine's mood hits both
                entries.written = 0
                rounds[name].append(timed(partial(work, entries, crowd, Random(number))))
                if entries.written:
                    figures[name]["bytes_written_per_claim"] = round(entries.written / CLAIMS)
        for name, values in rounds.items():
            figures[name][f"cpu_us_{label}"] = round(median(values), 2)
    return figures


def joined(count: int) -> dict[str, float]:
    """Return CPU us a person until its identifiers are one, by events and by linked rows."""

    async def rest(world: World) -> None:
        await world.tick()
        owners = [world.owner(partition) for partition in range(world.count)]
        offsets = [await owner.take_over() for owner in owners]
        moved = True
        while moved:
            moved = False
            for owner in owners:
                place = owner.partition
                while batch := await world.log.read(
                    topics.EVENTS, place, offsets[place], count_max=BATCH_MAX
                ):
                    offsets[place], _ = await owner.batch(batch)
                    moved = True

    def by_events() -> int:
        world = World(1, book=Book(secret=SECRET))
        for number, names in enumerate(people(count)):
            for place, name in enumerate(names[1:]):
                event = an_event(number * 10 + place, [names[0], name], world.now)
                world.send(event)
        asyncio.run(rest(world))
        return count

    def linked() -> int:
        world = World(1, book=Book(secret=SECRET))
        links = Links(world.log, partition_count=world.count, tenant="t", secret=SECRET)
        rows = [{kind: f"{kind}{n}" for kind in KINDS} | {"phone": f"+86138{n:08d}"}
                for n in range(count)]  # fmt: skip
        asyncio.run(links.link(rows))
        assert len(world.log.records(topics.EVENTS)) == count
        asyncio.run(rest(world))
        return count

    rounds = [(timed(by_events), timed(linked)) for _ in range(3)]
    events, rows = (median(values) for values in zip(*rounds, strict=True))
    return {
        "cpu_us_person_by_events": round(events, 1),
        "cpu_us_person_linked": round(rows, 1),
        "claims_per_cpu_s_linked": round(3 / rows * 1e6),
        "events_over_linked": round(events / rows, 2),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--json", action="store_true", help="on one line")
    arguments = parser.parse_args()
    found = {**stored(arguments.people), "first_load": joined(2_000)}
    print(json.dumps(found, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
