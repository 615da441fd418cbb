"""Logs that earlier releases have folded, folded by this one: the same triggers, byte for byte.

What is meant to differ stands in `differences.json`: file -> {trigger id, rule or field: why}. A
release that is to be kept is recorded by `record.py`; its files, named by commit, are never made
anew.
"""

import asyncio
import logging
import lzma
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from engine.adapters.memory import MemoryLog, MemoryStore
from engine.adapters.redis.store import decode_meta, encode_meta
from engine.churn.model import parse_model
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.events.record import Outgoing, Record, header
from engine.outcome import Meta
from engine.pipeline.book import Book, default_lateness
from engine.rules.compile import RuleSet, compile_rules, index
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from tests.simulation.storm import early_labels
from tests.simulation.worker import SECRET, partitions
from tests.simulation.world import Shelf

HERE = Path(__file__).parents[1] / "data" / "upgrade"
FILES = sorted(path.name for path in HERE.glob("*.xz"))
Triggers = list[tuple[int, bytes, bytes]]  # number, key, value


@dataclass
class Recorded:
    """One log of a release: what went in, what came out, and where it stood in the middle."""

    count: int = 0
    records: list[Record] = field(default_factory=list)
    triggers: dict[int, Triggers] = field(default_factory=lambda: defaultdict(list))
    states: dict[int, dict[str, Any]] = field(default_factory=dict)


@cache
def recorded(name: str) -> dict[int, Recorded]:
    """Return the logs of a file, by seed."""
    found: dict[int, Recorded] = defaultdict(Recorded)
    for line in lzma.decompress((HERE / name).read_bytes()).split(b"\n"):
        item = orjson.loads(line)
        log = found[item["seed"]]
        if item["kind"] == "log":
            log.count = item["partitions"]
        elif item["kind"] == "state":
            log.states[item["partition"]] = item
        else:
            headers = tuple((name, b64decode(value)) for name, value in item["headers"])
            record = Record(
                item["topic"], item["partition"], item["offset"],
                b64decode(item["key"]), b64decode(item["value"]), headers,
            )  # fmt: skip
            if record.topic == topics.TRIGGERS:
                number = int(header(headers, "oseq") or 0)
                log.triggers[record.partition].append((number, record.key, record.value))
            else:
                log.records.append(record)
    return dict(found)


class Out(MemoryLog):
    """The recorded log; what this release would write to it is kept apart, but for triggers."""

    def __init__(self, log: Recorded) -> None:
        super().__init__(partitions(log.count))
        for record in log.records:
            topic, partition, _, key, value, headers, *_ = record
            self.append(Outgoing(topic, partition, key, value, headers))
        self.out: list[Outgoing] = []

    async def publish(self, records: Any) -> None:
        self.out += records
        for each in records:
            if each.topic == topics.TRIGGERS:  # read back where a batch is tried again
                self.append(each)

    def made(self) -> Triggers:
        """Return the triggers that were published, each number once."""
        found = {
            int(header(out.headers, "oseq") or 0): (out.key, out.value)
            for out in self.out
            if out.topic == topics.TRIGGERS
        }
        return [(number, *found[number]) for number in sorted(found)]


def book_of(name: str, log: Recorded) -> Book:
    """Return the rule sets and models that a recorded log names."""
    rule_sets, models, lateness = {}, {}, {}
    for record in log.records:
        if record.topic == topics.RULE_SETS:
            found, version = orjson.loads(record.value), record.key.decode()
            rules = compile_rules(
                found["rules"], parse_contracts(found["contracts"]), version=version
            )
            if "rule_version" in declared(name):
                rules = _with_versions_of_the_text(rules, found["rules"])
            rule_sets[version] = rules
            lateness = found["lateness_ms"]
        elif record.topic == topics.MODELS and b"@" in record.key:
            models[record.key.decode().partition("@")[2]] = parse_model(record.value)
    return Book(
        secret=SECRET,
        rule_sets=rule_sets,
        models=models,
        lateness_ms=lambda event_type: lateness.get(event_type, default_lateness(event_type)),
    )


def _with_versions_of_the_text(rules: RuleSet, texts: dict[str, str]) -> RuleSet:
    """Return rules with the versions of before, so that waits that were open then go on."""
    renamed = {
        rule.id: replace(rule, version=sha256(texts[rule.path].encode()).hexdigest()[:12])
        for rule in rules.rules.values()
    }
    return index(renamed, rules.contracts, version=rules.version)


def folded(name: str, log: Recorded, partition: int, store: MemoryStore) -> Out:
    """Fold a partition from where a store stands to its end; its triggers so far are out."""
    out = Out(log)
    done = asyncio.run(store.meta(partition)).oseq
    for number, key, value in log.triggers[partition]:
        if number <= done:
            headers = (("oseq", b"%d" % number),)
            out.append(Outgoing(topics.TRIGGERS, partition, key, value, headers))
    library = Shelf(book_of(name, log))

    def owner(number: int) -> Owner:
        return Owner(
            number,
            partition_count=log.count,
            store=store,
            reader=out,
            publisher=out,
            library=library,
            topic_partitions=partitions(log.count),
        )

    async def work() -> None:
        worker = Engage(owner, seen=lambda *_: None, repaired=lambda *_: None)
        offset = await worker.assigned(partition)
        assert offset is not None, worker.stopped
        while records := out._topics[topics.EVENTS][partition][offset : offset + 50]:
            offset = await worker.batch(partition, records)

    logging.disable(logging.CRITICAL)  # the recorded logs have poison in them
    try:
        with early_labels():
            asyncio.run(work())
    finally:
        logging.disable(logging.NOTSET)
    return out


def in_the_middle(log: Recorded, partition: int) -> MemoryStore:
    """Return a store as the earlier release has left it."""
    item, store = log.states[partition], MemoryStore()
    parts = [b64decode(part) for part in item["meta"]]
    store._meta[partition] = decode_meta(list(zip(parts[::2], parts[1::2], strict=True)))
    held = {name: b64decode(value) for name, value in item["states"].items()}
    store._states[partition] = held
    store._timers[partition] = dict(item["timers"])
    return store


def declared(name: str) -> dict[str, str]:
    """Return what is meant to differ from a file, with the reason."""
    found: dict[str, str] = orjson.loads((HERE / "differences.json").read_bytes()).get(name, {})
    return found


def undeclared(name: str, mine: Triggers, theirs: Triggers) -> list[str]:
    """Return what differs and is not meant to."""
    known, kept = declared(name).keys(), []
    for triggers in (mine, theirs):
        items = [(key, value, orjson.loads(value)) for _, key, value in triggers]
        items = [item for item in items if not {item[2].get("id"), item[2].get("rule")} & known]
        kept.append([(key, _without(known, value, read)) for key, value, read in items])
    found = [f"{was} became {now}" for now, was in zip(*kept, strict=False) if now != was]
    if len(kept[0]) != len(kept[1]):
        found.append(f"{len(kept[0])} triggers, they were {len(kept[1])}")
    return found


def _without(known: Set[str], value: bytes, read: dict[str, Any]) -> bytes:
    """Return a trigger without what is declared of its words; all else byte for byte."""
    if "reason.zh" not in known or "zh" not in read.get("reason", {}):
        return value
    assert orjson.dumps(read) == value, "so it is the same bytes when written again"
    del read["reason"]["zh"]
    return orjson.dumps(read)


def places() -> Iterator[tuple[str, int, int]]:
    """Yield (file, seed, partition) of all that is recorded."""
    for name in FILES:
        for seed, log in recorded(name).items():
            for partition in range(log.count):
                yield name, seed, partition


@pytest.mark.parametrize(("name", "seed", "partition"), list(places()))
def test_a_log_of_an_earlier_release_gives_the_same_triggers(
    name: str, seed: int, partition: int
) -> None:
    log = recorded(name)[seed]
    out = folded(name, log, partition, MemoryStore())
    assert log.triggers[partition], "an empty log proves nothing"
    assert undeclared(name, out.made(), log.triggers[partition]) == []


@pytest.mark.parametrize(("name", "seed", "partition"), list(places()))
def test_the_state_of_an_earlier_release_is_taken_on(name: str, seed: int, partition: int) -> None:
    """Side by side: it folded half of the log, this one folds the rest on top of its state."""
    log = recorded(name)[seed]
    store = in_the_middle(log, partition)
    before = asyncio.run(store.meta(partition))
    out = folded(name, log, partition, store)
    rest = [each for each in log.triggers[partition] if each[0] > before.oseq]
    assert undeclared(name, out.made(), rest) == []
    assert asyncio.run(store.meta(partition)).off > before.off > 0


def test_every_declared_difference_has_its_file_and_a_reason() -> None:
    differences = orjson.loads((HERE / "differences.json").read_bytes())
    assert differences.keys() <= set(FILES)
    assert all(why.strip() for each in differences.values() for why in each.values())


def test_what_is_stored_of_a_partition_has_all_that_an_earlier_release_reads() -> None:
    for name in FILES:
        for log in recorded(name).values():
            parts = [b64decode(part) for part in log.states[0]["meta"]]
            assert set(parts[::2]) <= set(encode_meta(Meta())[::2])
