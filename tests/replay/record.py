"""Record what this release makes of some logs, for the next one to be held against.

    python -m tests.replay.record FILE SEED...

Writes the storms' logs as they are in the end, with rule sets and models, the triggers that were
made of them, and the state in the middle of each log. Run it on the release that is to be kept.
"""

import asyncio
import logging
import lzma
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson

from engine.adapters.files import read_contracts
from engine.adapters.memory import MemoryStore
from engine.adapters.redis.store import encode_meta
from engine.events import topics
from engine.events.record import Record
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from engine.runtime.rulesets.releases import Artefact, artefact_record
from tests.simulation.orders import _Nowhere
from tests.simulation.rules import BOTH, HEAD, LATENESS_MS, ONCE
from tests.simulation.storm import World, early_labels, storm
from tests.simulation.worker import SECRET, Shelf

ROOT = Path(__file__).parents[2]


def text(value: bytes) -> str:
    """Return bytes as text."""
    return b64encode(value).decode("ascii")


def line(kind: str, seed: int, **fields: Any) -> bytes:
    """Return one line of the record."""
    return orjson.dumps({"kind": kind, "seed": seed, **fields})


def _record(seed: int, record: Record) -> bytes:
    return line(
        "record", seed, topic=record.topic, partition=record.partition, offset=record.offset,
        key=text(record.key), value=text(record.value),
        headers=[[name, text(value)] for name, value in record.headers],
    )  # fmt: skip


def _artefacts(seed: int) -> list[bytes]:
    contracts = read_contracts(str(ROOT / "topics"))
    lines = []
    for number, version in enumerate(ONCE):
        files = {
            f"{name}.yaml": f"rule: {name}\n{HEAD}{body.strip()}\n"
            for name, body in {**BOTH, **ONCE[version]}.items()
        }
        made = Artefact(version=version, rules=files, contracts=contracts, lateness_ms=LATENESS_MS)
        sealed = artefact_record(made, SECRET)
        record = Record(sealed.topic, sealed.partition, number, sealed.key, sealed.value)
        lines.append(_record(seed, record))
    return lines


async def _middle(seed: int, world: World, partition: int) -> bytes:
    """Return the state that this release has when it has folded half of a partition."""
    cluster, shelf, store = world.cluster, Shelf(world.log), MemoryStore()
    shelf.delay_s = 0.0
    owner = Owner(
        partition,
        partition_count=cluster.count,
        store=store,
        reader=cluster.log,
        publisher=_Nowhere(),
        library=shelf,
        topic_partitions=cluster.partitions,
    )
    worker = Engage(lambda _: owner, seen=lambda *_: None, repaired=lambda *_: None)
    offset = await worker.assigned(partition) or 0
    held = cluster.log.held(topics.EVENTS, partition)
    while offset < len(held) // 2:
        offset = await worker.batch(partition, held[offset : offset + 1])
    return line(
        "state", seed, partition=partition,
        meta=[text(part) for part in encode_meta(store._meta[partition])],
        states={name: text(value) for name, value in store._states[partition].items()},
        timers=store._timers[partition],
    )  # fmt: skip


async def _lines(seed: int, world: World) -> list[bytes]:
    lines = [line("log", seed, partitions=world.cluster.count), *_artefacts(seed)]
    for record in world.log.held(topics.MODELS, 0):
        lines.append(_record(seed, record))
    for partition in range(world.cluster.count):
        first: dict[bytes, Record] = {}
        for record in world.log.held(topics.TRIGGERS, partition):
            first.setdefault(dict(record.headers)["oseq"], record)
        lines += [_record(seed, r) for r in world.log.held(topics.EVENTS, partition)]
        lines += [_record(seed, record) for record in first.values()]
    for partition in range(world.cluster.count):
        lines.append(await _middle(seed, world, partition))
    return lines


def main() -> None:
    """Write the file that the command line names."""
    path, *seeds = sys.argv[1:]
    lines = []
    logging.disable(logging.CRITICAL)  # the storms have poison in them
    for seed in map(int, seeds):
        world = storm(seed)
        with early_labels():
            lines += asyncio.run(_lines(seed, world))
    Path(path).write_bytes(lzma.compress(b"\n".join(lines), preset=9))


if __name__ == "__main__":
    main()
