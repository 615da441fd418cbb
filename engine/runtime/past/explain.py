"""Why and why not, for one customer and rule: their part of the log, folded once more and watched.

Nothing is stored for it and the workers do nothing more: what can be answered reaches back as far
as the log does (`retention_hours` of `channel.events`), and costs the reading of one partition.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from sys import maxsize
from typing import Any

from engine.clock import iso
from engine.errors import EngineError
from engine.events import topics
from engine.events.contract import Contracts
from engine.events.model import Event
from engine.events.record import Record, partition_of
from engine.identity.messages import Tick, Version
from engine.identity.node import MINE
from engine.keys import node_name
from engine.matching.explain import Occasion, of_event, of_note, waits_of
from engine.matching.told import told
from engine.outcome import Meta, Note, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, read
from engine.pipeline.fold import fold
from engine.pipeline.needs import needed_nodes
from engine.pipeline.state import Live, Partition
from engine.ports import Reader, Store
from engine.profile.calendar import zone_of
from engine.profile.model import Actor
from engine.rules.model import Rule
from engine.runtime.lookup import Found, Lookup
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.simulation.rewind import rewound

RECORDS_MAX = 1_000_000  # of the partition, the newest: some ten seconds of reading
OCCASIONS_MAX = 50
OTHERS_MAX = 8  # nodes of a person that were once apart, whose partitions are read too
READ_MAX = 2_000
_AWAKE = ("live", "shadow")
_CONTROL = (b"tick", b"ruleset", b"model", b"disable")


@dataclass(slots=True)
class Part:
    """A person's part of a partition's log. `since`: log time at its begin, UTC ms.

    `is_whole`: it holds all that ever happened to the person.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    since: int = 0
    is_whole: bool = True

    @property
    def events(self) -> list[Event]:
        """The person's events, each once."""
        found = {a.body.id: a.body for a in self.arrivals if a.kind == "event" and not a.error}
        return list(found.values())


class Explainer:
    """Answers for a live installation; reads only."""

    def __init__(
        self,
        *,
        store: Store,
        reader: Reader,
        lookup: Lookup,
        partition_count: int,
        tenant: str,
        secret: bytes,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self._store = store
        self._reader = reader
        self._lookup = lookup
        self._count = partition_count
        self._tenant = tenant
        self._library = ArtefactLibrary(reader, secret=secret)
        self._records_max = records_max

    async def explain(self, rule: str, who: str) -> dict[str, Any]:
        """Return what a rule did about a person and why, the newest first, in words.

        Raises
        ------
        EngineError
            `identity/unknown` person, `rules/unknown` rule.
        """
        found = await self._lookup.find(who)
        if found is None:
            raise EngineError(f"nobody has {who}", code="identity/unknown")
        partition = partition_of(found.customer, self._count)
        meta = await self._store.meta(partition)
        await self._library.need("ruleset", meta.ruleset)
        rules = self._library.book.rule_sets[meta.ruleset]
        if rule not in rules.rules:
            raise EngineError(f"no rule `{rule}` in rule set {meta.ruleset}", code="rules/unknown")
        part = await self._part(found, found.customer)
        state = Partition(partition, self._count, Meta(), timers_max=maxsize)
        if not part.is_whole:
            # Without a model scores stay as they are: what they were made of is of today.
            state.meta = Meta(now=part.since, clk=part.since, ruleset=meta.ruleset)
            node = rewound(found.live, part.since, part.events, rules.rules)
            state.nodes[node_name(self._tenant, found.customer)] = node
        occasions = self._watched(state, part, found.customer, rule)
        if part.is_whole:
            occasions += await self._before(found, rule)
        occasions.sort(key=lambda each: each.at)
        status = "disabled" if rule in meta.disabled else rules.rules[rule].status
        shown = replace(rules.rules[rule], status=status)
        return _answer(shown, found, part, occasions, rules.contracts)

    def _watched(self, state: Partition, part: Part, node_id: str, rule: str) -> list[Occasion]:
        watch = _Watch(state, self._library.book, self._tenant, node_id, rule)
        watch.run(part.arrivals)
        return watch.occasions

    async def _before(self, found: Found, rule: str) -> list[Occasion]:
        """Return what happened to nodes of the person before they became one."""
        seen = found.live.links.seen
        others = [name for name in sorted(seen) if seen[name] == MINE and name != found.customer]
        occasions = []
        for name in others[:OTHERS_MAX]:
            part = await self._part(found, name)
            if part.events:
                home = partition_of(name, self._count)
                state = Partition(home, self._count, Meta(), timers_max=maxsize)
                occasions += self._watched(state, part, name, rule)
        return occasions

    async def _part(self, found: Found, node_id: str) -> Part:
        """Read a node's records of its partition, the ticks and the versions between them."""
        partition = partition_of(node_id, self._count)
        start, end = await self._reader.bounds(topics.EVENTS, partition)
        offset = max(start, end - self._records_max)
        part, key = Part(), node_id.encode()
        cut = offset > 0
        while offset < end:
            records = await self._reader.read(topics.EVENTS, partition, offset, count_max=READ_MAX)
            if not records:
                break
            offset = records[-1].offset + 1
            for record in records:
                if record.key == key or record.key in _CONTROL:
                    await self._take(part, record)
        part.is_whole = not cut or found.live.actor.created_at > part.since
        return part

    async def _take(self, part: Part, record: Record) -> None:
        arrival = read(record, self._library.book.secret)
        if arrival.error is not None:
            return
        if arrival.kind == "tick" and not part.since:
            part.since = arrival.body.now
        elif isinstance(arrival.body, Version):
            await self._library.need(arrival.kind, arrival.body.version)
        part.arrivals.append(arrival)


class _Watch:
    """Folds a person's part of a log and notes what each record came to for one rule."""

    def __init__(self, state: Partition, book: Book, tenant: str, customer: str, rule: str) -> None:
        self.occasions: list[Occasion] = []
        self._state = state
        self._book = book
        self._name = node_name(tenant, customer)
        self._rule = rule
        self._newest: dict[str, tuple[int, str]] = {}  # group -> when, which rule acted
        self._tick: Arrival | None = None

    def run(self, arrivals: Sequence[Arrival]) -> None:
        """Fold all of them; a tick only where it decides something, or something follows it."""
        due = self._state.due
        for arrival in arrivals:
            if arrival.kind != "tick":
                self._catch_up()
                self._fold(arrival)
                continue
            self._tick = arrival
            assert isinstance(arrival.body, Tick)
            if due and due[0][0] <= arrival.body.passed:
                self._catch_up()
        self._catch_up()

    @property
    def actor(self) -> Actor | None:
        """The person as of now, None before their first event."""
        node = self._state.nodes.get(self._name)
        return node.actor if isinstance(node, Live) else None

    def _catch_up(self) -> None:
        tick, self._tick = self._tick, None
        if tick is not None:
            self._fold(tick)

    def _fold(self, arrival: Arrival) -> None:
        state, rule, actor = self._state, self._current(), self.actor
        waited = frozenset(waits_of(rule, actor)) if rule and actor else frozenset()
        for name in needed_nodes(state, [arrival]):
            state.nodes.setdefault(name, None)
        fold(state, arrival, self._book)
        state.note_timers()
        outcome, state.outcome = state.outcome, Outcome()
        state.dirty.clear()
        rule, actor = self._current(), self.actor
        if rule is not None and actor is not None and rule.status in _AWAKE:
            self._note(rule, actor, arrival, outcome, waited)

    def _note(
        self, rule: Rule, actor: Actor, arrival: Arrival, outcome: Outcome, waited: frozenset[str]
    ) -> None:
        noted = False
        for note in outcome.notes:
            self._remember(note)
            if note.rule == rule.id:
                noted = True
                self.occasions.append(of_note(rule, note, actor, rival=self._rival(rule)))
        if not noted and arrival.kind == "event" and outcome.counts.get("applied"):
            found = of_event(rule, arrival.body, actor, waited=waited)
            if found is not None:
                self.occasions.append(found)

    def _current(self) -> Rule | None:
        rules = self._book.rules(self._state.meta)
        is_on = rules is not None and self._rule not in self._state.meta.disabled
        return rules.rules.get(self._rule) if rules and is_on else None

    def _rival(self, rule: Rule) -> str:
        found = [self._newest[group] for group in rule.groups if group in self._newest]
        return max(found)[1] if found else ""

    def _remember(self, note: Note) -> None:
        """Note which other rule acted: it may be what a limit or a suppression comes from."""
        rule = self._book.rule_sets[self._state.meta.ruleset].rules.get(note.rule)
        if note.outcome == "fired" and rule is not None and rule.id != self._rule:
            stops = {a.name for a in rule.actions if a.type == "suppress"}
            for group in rule.groups | stops:
                self._newest[group] = (note.at, rule.id)


def _answer(
    rule: Rule, found: Found, part: Part, occasions: Sequence[Occasion], contracts: Contracts
) -> dict[str, Any]:
    zone = zone_of(found.live.actor)
    shown = [
        {
            "at": iso(each.at),
            "outcome": each.outcome,
            "event": each.event,
            "event_id": each.event_id,
            "step": each.step,
            "clause": dict(each.clause),
            "values": dict(each.values),
            "words": {lang: told(rule, each, contracts, zone, lang) for lang in ("zh", "en")},
        }
        for each in reversed(occasions[-OCCASIONS_MAX:])
    ]
    return {
        "rule": rule.id,
        "title": dict(rule.title),
        "status": rule.status,
        "customer": found.customer,
        "since": iso(part.since),
        "is_whole": part.is_whole,
        "verdict": shown[0]["words"] if shown else _nothing(rule, found.live.actor),
        "occasions": shown,
    }


def _nothing(rule: Rule, actor: Actor) -> dict[str, str]:
    """Say why there was no occasion at all."""
    if rule.status not in _AWAKE:
        return {
            "en": f"The rule is {rule.status}: it does not act.",
            "zh": f"规则状态为 {rule.status}，不会触发。",
        }
    timer = actor.timers.get(f"s:{rule.id}")
    if timer is not None:
        return {
            "en": f"It waits for its date: {iso(timer.due)}.",
            "zh": f"等待日期到来：{iso(timer.due)}。",
        }
    if rule.schedule is not None:
        return {
            "en": f"The profile has no date for it: {rule.schedule.fact}.",
            "zh": f"客户资料中没有所需日期：{rule.schedule.fact}。",
        }
    names = ", ".join(dict.fromkeys(step.event for step in rule.steps))
    return {
        "en": f"Nothing that it is about has happened: {names}.",
        "zh": f"尚未发生相关事件：{names}。",
    }
