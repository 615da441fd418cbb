"""What must hold after a storm has healed: I1-I6 of PROTOCOL.md, timers, dead letters, deliveries.

Each check yields what it found wrong, in words; a storm without findings has passed.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any
from zlib import crc32

import orjson

from engine.events import topics
from engine.events.record import Record, fingerprint
from engine.outcome import Meta
from engine.pipeline.state import Live, decode_entry, decode_node
from tests.simulation.channels import ENDPOINTS
from tests.simulation.deadly import passed_over
from tests.simulation.findings import Violation, told
from tests.simulation.folded import Folded
from tests.simulation.oracle import Log, compare
from tests.simulation.orders import ways
from tests.simulation.registry import Registry
from tests.simulation.rules import versions_of
from tests.simulation.storm import World, early_labels
from tests.simulation.timers import astray

_BY_BATCH = ("prg", "fp")  # what depends on where batches end, and is checked by itself


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
    """I2, I3: first occurrences are 1, 2, 3, ..., equal numbers are equal bytes, all are there.

    In transactions no number is committed twice.
    """
    for number, fresh in enumerate(folded):
        first: dict[int, Record] = {}
        held = world.log.held(topics.TRIGGERS, number)
        for record in held:
            oseq = int(dict(record.headers)["oseq"])
            if first.setdefault(oseq, record).value != record.value:
                yield f"partition {number}: number {oseq} has two values"
        if world.cluster.transactional and len(first) < len(
            world.log.held(topics.TRIGGERS, number)
        ):
            yield f"partition {number}: a number was committed twice"
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
            count = f"{len(arrived[place])} of {len(sent[place])}"
            yield f"moves from {place[0]} to {place[1]}: {count}, or in another order"
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
    """Each input is applied once, or in the dead letters once, under its place and reason.

    Those of the erased may be dropped.
    """
    total: Counter[str] = Counter()
    for number in range(world.cluster.count):
        total.update(world.cluster.slots.metas(number).counts)
    registry = registry_of(world)
    applied = sum((fresh.applied for fresh in folded), Counter())
    homes = {name: found.ids[0] for name, (found, _) in world.door.sent.items()}
    homes |= _receipts(world)
    for name, home in homes.items():
        if applied[name] > 1 or (not applied[name] and home not in registry.erased):
            yield f"{name} of {home} was applied {applied[name]} times"
    if total["applied"] != applied.total() or applied.keys() - homes.keys():
        yield f"{total['applied']} by the counts, {applied.total()} applied, {len(homes)} came"
    touches: Counter[str] = Counter()
    for fresh in folded:
        for name, value in fresh.states.items():
            node = decode_node(name, value) if name.startswith("s:") else None
            if isinstance(node, Live):
                touches.update({n: t.count for n, t in node.actor.touches.items()})
    if touches.total() > total["applied"] or (
        touches.total() < total["applied"] and not registry.erased
    ):
        yield f"{touches.total()} contacts in the profiles, {total['applied']} applied"
    told: dict[str, set[str]] = defaultdict(set)
    for number in range(world.cluster.partitions[topics.DEAD_EVENTS]):
        for record in world.log.held(topics.DEAD_EVENTS, number):
            letter = orjson.loads(record.value)
            told[letter["id"]].add(letter["reason"])
    at = registrar_partition(world)
    void = {f"{topics.EVENTS}:{at}:{offset}": "identity/split" for offset in registry.void}
    bad = world.door.bad | void
    for place, reason in bad.items():
        if told.get(place) != {reason}:
            yield f"{place} is in the dead letters for {told.get(place)}, and not for {reason}"
    if extra := told.keys() - bad.keys():
        yield f"{len(extra)} dead letters that nobody wanted, such as {min(extra)}"
    if total["dead"] != len(bad):
        yield f"{total['dead']} dead by the counts, {len(bad)} in truth"


def _receipts(world: World) -> dict[str, str]:
    """Return the homes of the events that tell of a delivery, by their id."""
    found = {}
    for number in range(world.cluster.count):
        for record in world.log.held(topics.EVENTS, number):
            if b'"type":"delivery.' in record.value:
                body = orjson.loads(record.value)
                found[body["id"]] = body["ids"][0]
    return found


def registrar_partition(world: World) -> int:
    """Return whose log is the registrar's."""
    return crc32(b"R") % world.cluster.count


def registry_of(world: World) -> Registry:
    """Return who is whom by the registrar's log."""
    registry = Registry()
    registry.read(world.log.held(topics.EVENTS, registrar_partition(world)))
    return registry


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
    for trigger, name in sorted(wanted):
        state = states.get(f"{trigger}|{name}")
        got = world.channels.got[name].get(trigger, [])
        reasons = told.get((trigger, name), set())
        if state is None or state == "pending":
            yield f"{trigger} for {name}: {state}"
        elif state == "sent" and trigger not in world.channels.accepted[name]:
            yield f"{trigger} for {name} counts as sent, and nobody has got it"
        elif state != "sent" and f"delivery/{state}" not in reasons:
            yield f"{trigger} for {name} is {state}, and nobody was told"
        if not got and not reasons:
            yield f"{trigger} never reached {name}, and nobody was told"
        if len({orjson.loads(body)["id"] for body in got}) > 1:
            yield f"{trigger} for {name}: two triggers under one id"
    there = _receipts(world)
    for member, state in states.items():
        if state == "sent" and _event_id("engine", f"deliver\0{member}|sent") not in there:
            yield f"{member} was sent, and its customer was not told"
    for name, got_by in world.channels.got.items():
        extra = {(trigger, name) for trigger in got_by} - wanted
        if extra:
            yield f"{name} has got {sorted(extra)[:3]}, which no rule has made for it"


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
    """G3, J7: identifiers named together are one person, the one that the signposts lead to.

    Where staff has had a word, who is whom is told by the registrar's log.
    """
    nodes: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    for fresh in folded:
        for name, value in fresh.states.items():
            if name.startswith("s:"):
                nodes[name.rpartition(":")[2]] = decode_node(name, value)
            else:
                entries[name.rpartition("/")[2]] = decode_entry(value)
    yield from ways(nodes, entries, registry_of(world))
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    homes = set()
    for found, _ in world.door.sent.values():
        if not found.person.ordered:
            homes.add(found.ids[0])
            for name in found.ids:
                parent[root(name)] = root(found.ids[0])
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
    erased = registry_of(world).erased
    yield from compare(logs, world.story.people, list(items.values()), erased)


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
