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
from engine.identity.messages import Version
from engine.identity.node import MINE
from engine.keys import node_name
from engine.matching import guard
from engine.matching.why.incident import Ask, incident_of
from engine.matching.why.occasion import ACTED, Occasion
from engine.matching.why.standing import standing
from engine.matching.why.told import time_of, told
from engine.outcome import Meta
from engine.pipeline.envelope import Arrival, read
from engine.pipeline.state import Partition
from engine.ports import Reader, Store
from engine.profile.calendar import zone_of
from engine.rules.model import Rule
from engine.runtime.lookup import Found, Lookup
from engine.runtime.past.watch import AWAKE, Watch
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.simulation.rewind import rewound

RECORDS_MAX = 1_000_000  # of the partition, the newest: some ten seconds of reading
OCCASIONS_MAX = 50
CAUSES_MAX = 3  # of guards: each is the reading of one partition
OTHERS_MAX = 8  # nodes of a person that were once apart, whose partitions are read too
READ_MAX = 2_000
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
        occasions = await self._with_incidents(shown, found, occasions[-OCCASIONS_MAX:])
        now = standing(shown, rules.segments, found.live.actor, meta.now)
        return _answer(shown, found, part, occasions, now, rules.contracts)

    def _watched(self, state: Partition, part: Part, node_id: str, rule: str) -> list[Occasion]:
        watch = Watch(state, self._library.book, self._tenant, node_id, rule)
        watch.run(part.arrivals)
        return watch.occasions

    async def _before(self, found: Found, rule: str) -> list[Occasion]:
        """Return what happened to nodes of the person before they became one."""
        occasions = []
        for name in _once_apart(found)[:OTHERS_MAX]:
            part = await self._part(found, name)
            if part.events:
                home = partition_of(name, self._count)
                state = Partition(home, self._count, Meta(), timers_max=maxsize)
                occasions += self._watched(state, part, name, rule)
        return occasions

    async def _with_incidents(
        self, rule: Rule, found: Found, occasions: list[Occasion]
    ) -> list[Occasion]:
        """Say of the newest causes how many shared them, as the log of their incidents tells."""
        causes = list(dict.fromkeys(o.cause for o in reversed(occasions) if o.cause is not None))
        if rule.guard is None or not causes:
            return occasions
        who = {found.customer, *_once_apart(found)}
        shown = list(occasions)
        for cause in causes[:CAUSES_MAX]:
            asks = await self._asks(rule, cause)
            for place, each in enumerate(occasions):
                if each.cause == cause:
                    is_over = each.outcome in ACTED
                    seen = incident_of(
                        rule.guard, cause, asks, who=who, at=each.at, is_over=is_over
                    )
                    shown[place] = replace(each, incident=seen)
        return shown

    async def _asks(self, rule: Rule, cause: str) -> list[Ask]:
        """Return who asked an incident, in the order of its log."""
        part = await self._read(guard.incident_id(self._tenant, rule.id, cause))
        found = {
            arrival.body.id: (arrival.body.at, arrival.body.ids[1])
            for arrival in part.arrivals
            if arrival.kind == "part" and arrival.body.type == guard.ASKED
        }
        return list(found.values())

    async def _part(self, found: Found, node_id: str) -> Part:
        part = await self._read(node_id)
        part.is_whole = part.is_whole or found.live.actor.created_at > part.since
        return part

    async def _read(self, node_id: str) -> Part:
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
        part.is_whole = not cut
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


def _once_apart(found: Found) -> list[str]:
    """Return the nodes that have become this person."""
    seen = found.live.links.seen
    return [name for name in sorted(seen) if seen[name] == MINE and name != found.customer]


def _answer(
    rule: Rule,
    found: Found,
    part: Part,
    occasions: Sequence[Occasion],
    now: Sequence[Occasion],
    contracts: Contracts,
) -> dict[str, Any]:
    zone = zone_of(found.live.actor)

    def show(each: Occasion) -> dict[str, Any]:
        return {
            "at": iso(each.at),
            "local": time_of(each.at, zone),
            "outcome": each.outcome,
            "event": each.event,
            "event_id": each.event_id,
            "step": each.step,
            "clause": dict(each.clause),
            "values": dict(each.values),
            **_more(each),
            "words": {lang: told(rule, each, contracts, zone, lang) for lang in ("zh", "en")},
        }

    shown, standing_now = [show(each) for each in reversed(occasions)], [show(n) for n in now]
    newest = (shown or standing_now)[:1] if rule.status in AWAKE else shown[:1]
    return {
        "rule": rule.id,
        "title": dict(rule.title),
        "status": rule.status,
        "customer": found.customer,
        "since": iso(part.since),
        "is_whole": part.is_whole,
        "verdict": newest[0]["words"] if newest else _nothing(rule),
        "now": standing_now,
        "occasions": shown,
    }


def _more(each: Occasion) -> dict[str, Any]:
    """Return what only some occasions have: the table's grades, the incident of a guard."""
    found: dict[str, Any] = {}
    if each.table:
        found["table"] = [
            {"scale": g.scale, "grade": g.grade or None, "clause": dict(g.clause),
             "values": dict(g.values)}
            for g in each.table
        ]  # fmt: skip
    if (shared := each.incident) is not None:
        found["incident"] = {
            "cause": shared.cause,
            "customers": shared.customers,
            "more_than": shared.more_than,
            "within_ms": shared.within_ms,
            "tripped_at": iso(shared.tripped_at) if shared.tripped_at else None,
            "released_at": iso(shared.released_at) if shared.released_at else None,
        }
    return found


def _nothing(rule: Rule) -> dict[str, str]:
    """Say why there was no occasion at all."""
    if rule.status not in AWAKE:
        return {
            "en": f"The rule is {rule.status}: it does not act.",
            "zh": f"规则状态为 {rule.status}，不会触发。",
        }
    names = ", ".join(dict.fromkeys(step.event for step in rule.steps))
    return {
        "en": f"Nothing that it is about has happened: {names}.",
        "zh": f"尚未发生相关事件：{names}。",
    }
