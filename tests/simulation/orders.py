"""Staff erase and part people while events, claims and merges are under way: what must hold then.

The laws are IDENTITY.md's, J1-J7 and G1-G6; each yields what it found broken. Who must be whom is
told by `registry.py` from the registrar's log alone; what was applied where, by folding the final
log once more.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from engine.adapters.memory import MemoryStore
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Outgoing, partition_of
from engine.identity.node import Tombstone
from engine.identity.registrar import ADDRESS
from engine.pipeline import persons
from engine.pipeline.book import Book
from engine.pipeline.state import Live, Node, decode_node
from engine.ports import Commit
from engine.runtime.partition.owner import Owner
from tests.instead import held, instead
from tests.simulation.findings import RESTS, Violation, told
from tests.simulation.people import Groups, Script, a_story, an_event, owner_of, rivals
from tests.simulation.registry import QUARANTINE, Registry, clash
from tests.simulation.virtual import Hangs
from tests.simulation.world import SECRET, Faults, Shelf, World, end_of_chain, run

STORM = Faults(
    reply_lost=0.03,
    commit_lost=0.03,
    rollback=0.01,
    publish_cut=0.04,
    death=0.02,
    duplicate=0.2,
    hint=0.15,
)
FOLD_MAX = 7  # records of one batch of the fold from scratch


def write(seed: int, *, now: int) -> Script:
    """Return a story with orders of staff in it: some crowded, with one or two people."""
    random = Random(f"{seed}/orders")
    crowded = random.random() < 0.6
    script = a_story(
        random,
        people=random.randint(1, 2) if crowded else random.randint(2, 6),
        events=random.randint(12, 40) if crowded else 100,
        strays=random.choice((0.0, 0.05, 0.2)),
        trust=random.choice((0.0, 0.0, 0.1, 0.4)),
        now=now,
    )
    names = sorted({name for what, event in script if what == "event" for name in event.ids})

    def somewhen(item: tuple[str, Any]) -> None:
        script.insert(random.randrange(len(script) // 6, len(script) + 1), item)

    # Staff keeps away at times: of whom it had a word nobody asks whether a proof has joined them.
    away = seed % 10 == 9
    for _ in range(0 if away else random.randint(0, 6 if crowded else 4)):
        name = random.choice(names)
        mates = [other for other in names if owner_of(other) == owner_of(name)]
        leaving = random.sample(mates, random.randint(1, max(1, len(mates) - 1)))
        somewhen(("split", (name, leaving)))
    for _ in range(0 if away else random.choice((0, 1, 1, 2))):
        name = random.choice(names)
        for _ in range(random.choice((1, 1, 2))):
            somewhen(("erase", name))
    for _ in range(random.randint(0, 20)):  # and much comes again, later
        place = random.randrange(len(script))
        if script[place][0] == "event":
            script.insert(random.randint(place, len(script)), script[place])
    unique = [name for name in names if name[0] == "0"]
    for number in range(3 if seed % 5 == 4 and len(unique) > 1 else 0):  # who knows it says so
        proof = an_event(10_000 + number, random.sample(unique, 2), now, ev=1)
        somewhen(("event", proof))
    return script


@dataclass
class Aftermath:
    """What is left of one seed. `applied`: event id -> the nodes at which it had an effect."""

    world: World
    events: dict[str, Event]
    registry: Registry
    nodes: dict[str, Node]
    applied: dict[str, list[str]]
    broken: list[Violation]  # seen while the log was folded once more

    def untouched(self, *names: str) -> bool:
        """Tell whether no order of staff was about any of these."""
        return not self.registry.touched.intersection(names)

    def names(self) -> list[str]:
        """Return all that has a node, or that the registrar has heard of."""
        known = {*self.nodes, *self.registry.person, *self.world.entries()}
        return sorted(name for name in known if not name.startswith("-p"))

    def edges(self) -> Iterator[tuple[str, str, bool]]:
        """Yield (home, other, whether it is trusted) of all events."""
        for event in self.events.values():
            home = event.ids[0]
            for name in event.ids[1:]:
                yield home, name, bool(event.ev) and home[0] == name[0] == "0"


def weather(seed: int, faults: Faults) -> list[Violation]:
    """Run one seed and return what is wrong afterwards."""
    world = World(seed, faults=faults, book=Book(secret=SECRET))
    script = write(seed, now=world.now)
    try:
        run(world, script)
    except Hangs as error:
        return [Violation(RESTS, str(error))]
    return laws(world, [event for what, event in script if what == "event"])


def laws(world: World, events: Sequence[Event]) -> list[Violation]:
    """Return what is wrong with a world that has come to rest; `events`: all that were sent."""
    at = world.log._topics[topics.EVENTS][partition_of(ADDRESS, world.count)]
    registry = Registry()
    registry.read(at)
    applied, broken = fold_again(world)
    left = Aftermath(
        world,
        {event.id: event for event in events},
        registry,
        world.nodes(),
        applied,
        broken,
    )
    return [*broken, *told(LAWS, left)]


class _Watching(MemoryStore):
    """J1 and J2, at every commit: ways only lead down, and no node comes back to life."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[Violation] = []

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        for name, data in commit.states.items():
            if name.startswith("s:"):
                old = decode_node(name, self._states[partition].get(name))
                new = decode_node(name, data)
                if _age(new) < _age(old):
                    self.broken.append(Violation("J2", f"{name} was {old}, is {new}"))
                if isinstance(new, Tombstone) and not new.erased:
                    if not new.target <= new.fwd < name.rpartition(":")[2]:
                        self.broken.append(Violation("J1", f"{name} leads to {new}"))
        await super().apply(partition, token, commit)


def _age(node: Node) -> int:
    if node is None:
        return 0
    if isinstance(node, Live):
        return 1
    return 3 if node.erased else 2


class _Nowhere:
    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Take what is published, and keep nothing."""

    async def close(self) -> None:
        """Nothing to close."""


def fold_again(world: World) -> tuple[dict[str, list[str]], list[Violation]]:
    """Fold the final log from scratch; return what was applied where, and what was broken (I1)."""
    applied: dict[str, list[str]] = defaultdict(list)
    broken: list[Violation] = []
    real = held(persons, "think")

    def think(turn: Any, state: Any, event: Event, book: Any, **more: Any) -> None:
        applied[event.id].append(turn.node_id)
        real(turn, state, event, book, **more)

    async def fold(partition: int) -> None:
        store = _Watching()
        owner = Owner(
            partition,
            partition_count=world.count,
            store=store,
            reader=world.log,
            publisher=_Nowhere(),
            library=Shelf(world.book),
            topic_partitions=world.partitions,
        )
        offset = await owner.take_over()
        log = world.log._topics[topics.EVENTS][partition]
        while records := log[offset : offset + FOLD_MAX]:
            offset, _ = await owner.batch(records)
        broken.extend(store.broken)
        if store._states[partition] != world.store._states[partition]:
            broken.append(Violation("I1", f"partition {partition} is not the fold of its log"))

    with instead((persons, "think", think)):
        for partition in range(world.count):
            asyncio.run(fold(partition))
    return applied, broken


def each_event_has_one_effect_or_met_an_erasure(left: Aftermath) -> Iterator[str]:
    """J3: at one node, once; none is lost but those of the erased, and each copy is counted."""
    for event in left.events.values():
        places = left.applied.get(event.id, [])
        if len(places) > 1:
            yield f"{event.id} was applied at {places}"
        if not places and event.ids[0] not in left.registry.erased:
            yield f"{event.id} of {event.ids} was never applied"
    counts = left.world.counts()
    copies = sum(not record.headers for record in left.world.log.records(topics.EVENTS))
    ends = counts["applied"] + counts["duplicate"] + counts["dropped_erased"]
    if ends != copies:
        yield f"{copies} copies came, {ends} ended: {counts}"
    live = sum(isinstance(node, Live) for node in left.nodes.values())
    if counts["customers"] != live:
        yield f"{counts['customers']} customers by the counts, {live} live"


def ways_end_where_the_registrar_says(left: Aftermath) -> Iterator[str]:
    """J7: the end of each chain is its person at the registrar, and an erased one ends nowhere."""
    yield from ways(left.nodes, left.world.entries(), left.registry)


def ways(nodes: dict[str, Node], entries: dict[str, object], registry: Registry) -> Iterator[str]:
    """Yield where nodes and entries, by birth id, differ from what the registrar's log says."""
    known = {*nodes, *registry.person, *entries}
    for name in sorted(name for name in known if not name.startswith("-p")):
        entry = entries.get(name)
        held = entry if isinstance(entry, str) else name
        end = end_of_chain(nodes, name)
        if name in registry.erased:
            gone = nodes.get(name)
            if held or end is not None or not (isinstance(gone, Tombstone) and gone.erased):
                yield f"{name} was erased: at the registrar {held!r}, it leads to {end}: {gone}"
            continue
        root = registry.root(name)
        if held != root:
            yield f"{name} is {held} at the registrar, by its log {root}"
        if name in nodes and end != root and not (end is None and root not in nodes):
            yield f"{name} leads to {end}, not to {root}"
        if name not in nodes and len(registry.of(name)) > 1:
            yield f"{name} is one of {sorted(registry.of(name))} and has no node"


def nodes_know_who_they_are(left: Aftermath) -> Iterator[str]:
    """J5: what a node has seen leads to it, and what leads to it, it has seen.

    Not after a cut: the claim of one who left meanwhile counts for the half that it is in by then,
    and its state goes to the other. Those two are never joined, so nobody asks again.
    """
    for name, node in left.nodes.items():
        if not isinstance(node, Live) or not left.untouched(name):
            continue
        for other, level in node.links.seen.items():
            if level > 0 and left.untouched(other) and end_of_chain(left.nodes, other) != name:
                yield f"{name} has seen {other} ({level}), which does not lead to it"
        for other in left.registry.of(name) - {name}:
            if other in left.nodes and other not in node.links.seen:
                yield f"{name} has never seen {other}, which leads to it"


def who_is_named_together_is_one_person_or_a_rival(left: Aftermath) -> Iterator[str]:
    """J4, G4: else the identifier is in quarantine, or staff has had a word."""
    registry = left.registry
    for home, name, _ in left.edges():
        a, b = registry.of(home), registry.of(name)
        if a is b or registry.refused[name] >= QUARANTINE or not left.untouched(home, name):
            continue
        if not clash(a, b):
            yield f"{home} and {name} could be one person"


def without_trust_every_cap_is_kept(left: Aftermath) -> Iterator[str]:
    """G1: exact, no races."""
    trusted = {name for home, other, proved in left.edges() if proved for name in (home, other)}
    for name in left.names():
        person = left.registry.of(name)
        if not person & trusted and rivals(person):
            yield f"{sorted(person)} are rivals, and one person"


def trust_joins(left: Aftermath) -> Iterator[str]:
    """G2: whoever a trusted edge connects is one person."""
    for home, name, proved in left.edges():
        if proved and left.untouched(home, name):
            if left.registry.of(home) is not left.registry.of(name):
                yield f"{home} and {name} are proved to be one, and are not"


def a_component_is_as_few_persons_as_it_can_be(left: Aftermath) -> Iterator[str]:
    """G3, G5: one where nobody disputes it; else at most one for each trusted group of uniques."""
    together, proved = Groups(), Groups()
    for home, name, trusted in left.edges():
        together.join(home, name)
        if trusted:
            proved.join(home, name)
    for component in together.all():
        shared = any(left.registry.refused[name] >= QUARANTINE for name in component)
        if shared or not left.untouched(*component):
            continue
        groups = {proved.root(name) for name in component if name[0] == "0"}
        most = max(1, len(groups)) if rivals(component) else 1
        persons_ = {left.registry.root(name) for name in component}
        if len(persons_) > most:
            yield f"{sorted(component)} are {sorted(persons_)}, and could be {most}"


LAWS: tuple[Callable[[Aftermath], Iterator[str]], ...] = (
    each_event_has_one_effect_or_met_an_erasure,
    ways_end_where_the_registrar_says,
    nodes_know_who_they_are,
    who_is_named_together_is_one_person_or_a_rival,
    without_trust_every_cap_is_kept,
    trust_joins,
    a_component_is_as_few_persons_as_it_can_be,
)
