"""What must hold after a storm has healed: I1-I6 of PROTOCOL.md, timers, dead letters, deliveries.

Each check yields what it found wrong, in words; a storm without findings has passed.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from engine.adapters.memory import MemoryStore
from engine.events import topics
from engine.events.record import Record, fingerprint
from engine.outcome import Meta, Move
from engine.pipeline.state import Live, decode_node
from engine.ports import Commit
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import Owner
from tests.simulation.channels import ENDPOINTS
from tests.simulation.cluster import Shelf
from tests.simulation.deadly import passed_over
from tests.simulation.findings import Violation, told
from tests.simulation.oracle import Log, compare
from tests.simulation.rules import versions_of
from tests.simulation.storm import World, early_labels
from tests.simulation.timers import astray

FOLD_MAX = 50  # records of one batch of the fold from scratch
_move = msgspec.msgpack.Decoder(Move).decode
_BY_BATCH = ("prg", "fp")  # what depends on where batches end, and is checked by itself


class _Kept(MemoryStore):
    """Remembers all that was ever committed to leave."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[tuple[int, Move]] = []
        self.moves: list[tuple[int, Move]] = []

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        await super().apply(partition, token, commit)
        self.triggers += [(n, _move(data)) for n, data in commit.outbox]
        self.moves += [(n, _move(data)) for n, data in commit.moves]


class _Nowhere:
    """Takes what is published, and keeps nothing."""

    async def publish(self, records: Any) -> None:
        return None

    async def close(self) -> None:
        return None


class Folded:
    """One partition of the final log, folded from scratch by one owner in fine weather."""

    def __init__(self, world: World, partition: int) -> None:
        self.partition = partition
        self._world = world
        self._store = _Kept()
        self.triggers, self.moves = self._store.triggers, self._store.moves

    @property
    def meta(self) -> Meta:
        """What is stored besides nodes and timers."""
        return self._store._meta[self.partition]

    @property
    def states(self) -> dict[str, bytes]:
        """Nodes and entries by key name."""
        return self._store._states[self.partition]

    @property
    def timers(self) -> dict[str, int]:
        """Member -> score."""
        return self._store._timers[self.partition]

    async def run(self) -> None:
        """Fold the log to its end; what the fold cannot bear is passed over as in a worker."""
        cluster, shelf = self._world.cluster, Shelf(self._world.log)
        shelf.delay_s = 0.0
        owner = Owner(
            self.partition,
            partition_count=cluster.count,
            store=self._store,
            reader=cluster.log,
            publisher=_Nowhere(),
            library=shelf,
            topic_partitions=cluster.partitions,
        )
        worker = Engage(lambda _: owner, seen=lambda *_: None, repaired=lambda *_: None)
        offset = await worker.assigned(self.partition) or 0
        while records := cluster.log.held(topics.EVENTS, self.partition)[offset:][:FOLD_MAX]:
            offset = await worker.batch(self.partition, records)


def check(world: World) -> list[Violation]:
    """Return all that is wrong with the world after a storm."""
    folded = [Folded(world, number) for number in range(world.cluster.count)]
    logging.disable(logging.CRITICAL)
    try:
        with early_labels(), passed_over():
            for each in folded:
                asyncio.run(each.run())
    finally:
        logging.disable(logging.NOTSET)
    return told(CHECKS, world, folded)


def state_is_the_fold_of_the_log(world: World, folded: list[Folded]) -> Iterator[str]:
    """I1, I5, I6: byte for byte, with its clocks, sequences, versions and counts."""
    slots = world.cluster.slots
    for number, fresh in enumerate(folded):
        held = slots.states(number)
        for name in sorted(held.keys() | fresh.states.keys()):
            if held.get(name) != fresh.states.get(name):
                yield f"partition {number}: {name} differs from the fold of the log"
        meta = slots.metas(number)
        for name in Meta.__slots__:
            mine, theirs = getattr(meta, name), getattr(fresh.meta, name)
            if name not in _BY_BATCH and mine != theirs:
                yield f"partition {number}: {name} is {mine!r}, of the log {theirs!r}"
        last = world.log.held(topics.EVENTS, number)[meta.off]
        if meta.fp != fingerprint(last):
            yield f"partition {number}: the fingerprint is not the last record's"


def timers_are_equal(world: World, folded: list[Folded]) -> Iterator[str]:
    """J6: the timers' set, the fold's, and those of the live nodes are one."""
    for number, fresh in enumerate(folded):
        held = world.cluster.slots.timers(number)
        if held != fresh.timers:
            yield f"partition {number}: {sorted(held.items() ^ fresh.timers.items())[:4]}"
    yield from astray(world.cluster.slots, world.cluster.count)
    yield from world.astray


def triggers_are_numbered_without_gap(world: World, folded: list[Folded]) -> Iterator[str]:
    """I2, I3: first occurrences are 1, 2, 3, ..., equal numbers are equal bytes, all are there."""
    for number, fresh in enumerate(folded):
        first: dict[int, Record] = {}
        for record in world.log.held(topics.TRIGGERS, number):
            oseq = int(dict(record.headers)["oseq"])
            if first.setdefault(oseq, record).value != record.value:
                yield f"partition {number}: number {oseq} has two values"
        if list(first) != list(range(1, len(first) + 1)):
            yield f"partition {number}: first occurrences are {list(first)[:20]}"
        wanted = [(n, move.value) for n, move in fresh.triggers]
        if [(n, first[n].value) for n in sorted(first)] != wanted:
            yield f"partition {number}: {len(first)} triggers out, {len(wanted)} in the fold"


def moves_arrive_and_are_applied_once(world: World, folded: list[Folded]) -> Iterator[str]:
    """I4: what goes to other actors is there in order, and the marks say that it was taken."""
    arrived: dict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
    for number in range(world.cluster.count):
        for record in world.log.held(topics.EVENTS, number):
            headers = dict(record.headers)
            if "src" not in headers:
                continue
            place = int(headers["src"]), number
            mseq = int(headers["mseq"])
            if arrived[place].setdefault(mseq, record.value) != record.value:
                yield f"move {mseq} from {place[0]} to {number} has two values"
    sent: dict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
    letters: dict[str, set[tuple[bytes, bytes]]] = defaultdict(set)
    for number, fresh in enumerate(folded):
        for mseq, move in fresh.moves:
            if move.topic == topics.EVENTS:
                sent[number, move.partition][mseq] = move.value
            else:
                letters[move.topic].add((move.key.encode(), move.value))
    for place in sorted(sent.keys() | arrived.keys()):
        if list(arrived[place].items()) != list(sent[place].items()):
            there, wanted = len(arrived[place]), len(sent[place])
            yield f"moves from {place[0]} to {place[1]}: {there} of {wanted}, or in another order"
        last = max(sent[place], default=0)
        if folded[place[1]].meta.src.get(place[0], 0) != last:
            yield f"moves from {place[0]} to {place[1]}: not all applied"
    for topic, wanted in letters.items():
        there = {
            (record.key, record.value)
            for number in range(world.cluster.partitions[topic])
            for record in world.log.held(topic, number)
        }
        if wanted - there:
            yield f"{len(wanted - there)} of {len(wanted)} records of {topic} never left"


def every_event_is_applied_once_or_told(world: World, folded: list[Folded]) -> Iterator[str]:
    """Each input is applied once, or in the dead letters once, under its place and reason."""
    total: Counter[str] = Counter()
    for number in range(world.cluster.count):
        total.update(world.cluster.slots.metas(number).counts)
    receipts = set(_receipts(world))
    if total["applied"] != len(world.door.sent) + len(receipts):
        yield f"{total['applied']} applied of {len(world.door.sent)} and {len(receipts)} receipts"
    touches: Counter[str] = Counter()
    for fresh in folded:
        for name, value in fresh.states.items():
            node = decode_node(name, value) if name.startswith("s:") else None
            if isinstance(node, Live):
                touches.update({n: t.count for n, t in node.actor.touches.items()})
    if touches.total() != total["applied"]:
        yield f"{touches.total()} contacts in the profiles, {total['applied']} applied"
    told: dict[str, set[str]] = defaultdict(set)
    for number in range(world.cluster.partitions[topics.DEAD_EVENTS]):
        for record in world.log.held(topics.DEAD_EVENTS, number):
            letter = orjson.loads(record.value)
            told[letter["id"]].add(letter["reason"])
    for place, reason in world.door.bad.items():
        if told.get(place) != {reason}:
            yield f"{place} is in the dead letters for {told.get(place)}, and not for {reason}"
    if extra := told.keys() - world.door.bad.keys():
        yield f"{len(extra)} dead letters that nobody wanted, such as {min(extra)}"
    if total["dead"] != len(world.door.bad):
        yield f"{total['dead']} dead by the counts, {len(world.door.bad)} in truth"


def _receipts(world: World) -> Iterator[str]:
    """Yield the ids of the events that tell of a delivery."""
    for number in range(world.cluster.count):
        for record in world.log.held(topics.EVENTS, number):
            if b'"type":"delivery.' in record.value:
                yield orjson.loads(record.value)["id"]


def _event_id(source: str, message: str) -> str:
    return sha256(f"{source}\0{message}".encode()).hexdigest()[:32]


def every_trigger_arrives_or_is_told(world: World, folded: list[Folded]) -> Iterator[str]:
    """Each live trigger is with its receivers, once by id, or in the dead letters with a reason."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for number in range(world.cluster.partitions[topics.DEAD_DELIVERIES]):
        for record in world.log.held(topics.DEAD_DELIVERIES, number):
            letter = orjson.loads(record.value)
            told[letter["id"], letter["source"]].add(letter["reason"])
    wanted: set[tuple[str, str]] = set()
    times: Counter[str] = Counter()
    for fresh in folded:
        for _, move in fresh.triggers:
            item = orjson.loads(move.value)
            if item["type"] != "trigger":
                continue
            times[item["id"]] += 1
            if item.get("held_out") or item.get("status", "live") != "live":
                continue
            for endpoint in ENDPOINTS:
                if not endpoint.rules or item["rule"] in endpoint.rules:
                    wanted.add((item["id"], endpoint.name))
    for trigger, count in times.items():
        if count > 1:
            yield f"trigger {trigger} was made {count} times"
    states = world.cluster.slots.jobs()
    for trigger, endpoint in sorted(wanted):
        state = states.get(f"{trigger}|{endpoint}")
        got = world.channels.got[endpoint].get(trigger, [])
        reasons = told.get((trigger, endpoint), set())
        if state is None or state == "pending":
            yield f"{trigger} for {endpoint}: {state}"
        elif state == "sent" and trigger not in world.channels.accepted[endpoint]:
            yield f"{trigger} for {endpoint} counts as sent, and nobody has got it"
        elif state != "sent" and f"delivery/{state}" not in reasons:
            yield f"{trigger} for {endpoint} is {state}, and nobody was told"
        if not got and not reasons:
            yield f"{trigger} never reached {endpoint}, and nobody was told"
        if len({orjson.loads(body)["id"] for body in got}) > 1:
            yield f"{trigger} for {endpoint}: two triggers under one id"
    there = set(_receipts(world))
    for member, state in states.items():
        if state == "sent" and _event_id("engine", f"deliver\0{member}|sent") not in there:
            yield f"{member} was sent, and its customer was not told"
    for endpoint, got_by in world.channels.got.items():
        extra = {(trigger, endpoint) for trigger in got_by} - wanted
        if extra:
            yield f"{endpoint} has got {sorted(extra)[:3]}, which no rule has made for it"


def every_label_is_learned_once_and_models_arrive(
    world: World, folded: list[Folded]
) -> Iterator[str]:
    """The learner has learned what has matured, also what came twice or before it was killed."""
    matured = {
        move.value for fresh in folded for _, move in fresh.moves if move.topic == topics.LABELLED
    }
    pupil = world.cluster.pupil
    if pupil is not None and pupil.trainer.labels != len(matured):
        yield f"{pupil.trainer.labels} labels learned of {len(matured)}"
    newest = [r.key for r in world.log.held(topics.MODELS, 0) if r.key.startswith(b"churn@")][-1]
    for number in range(world.cluster.count):
        model = world.cluster.slots.metas(number).model
        if newest != f"churn@{model}".encode():
            yield f"partition {number} scores with {model!r}, the newest is {newest!r}"


def registrar_and_chains_agree(world: World, folded: list[Folded]) -> Iterator[str]:
    """G3, J7: identifiers named together are one person, the one that the signposts lead to."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    homes = set()
    for found, _ in world.door.sent.values():
        homes.add(found.ids[0])
        for name in found.ids:
            parent[root(name)] = root(found.ids[0])
    nodes: dict[str, Any] = {}
    for fresh in folded:
        for name, value in fresh.states.items():
            if name.startswith("s:"):
                nodes[name.rpartition(":")[2]] = decode_node(name, value)
    ends: dict[str, set[str]] = defaultdict(set)
    for name in parent:
        at = name
        while at in nodes and not isinstance(nodes[at], Live):
            at = nodes[at].fwd
        if at in nodes:
            ends[root(name)].add(at)
        elif name in homes:
            yield f"{name} leads nowhere"
    for names in ends.values():
        if len(names) > 1:
            yield f"{sorted(names)} are one person, and live apart"


def triggers_are_the_oracles(world: World, folded: list[Folded]) -> Iterator[str]:
    """No false absence, and every rule as a naive reading of the final logs has it."""
    forged = set(world.door.bad)
    versions = {rule: versions_of(rule) for rule in ("looks", "hurry", "bigger-order")}
    logs = [
        Log(number, world.log.held(topics.EVENTS, number), forged, versions)
        for number in range(world.cluster.count)
    ]
    items = {}
    for number in range(world.cluster.count):
        for record in world.log.held(topics.TRIGGERS, number):
            item = orjson.loads(record.value)
            if item["type"] == "trigger":
                items[item["id"]] = item
    yield from compare(logs, world.story.people, list(items.values()))


CHECKS: tuple[Callable[[World, list[Folded]], Iterator[str]], ...] = (
    state_is_the_fold_of_the_log,
    timers_are_equal,
    triggers_are_numbered_without_gap,
    moves_arrive_and_are_applied_once,
    every_event_is_applied_once_or_told,
    every_trigger_arrives_or_is_told,
    every_label_is_learned_once_and_models_arrive,
    registrar_and_chains_agree,
    triggers_are_the_oracles,
)
