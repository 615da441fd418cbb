"""Why and why not, for one customer or thing and a rule: its part of the log, folded once more.

Nothing is stored for it and the workers do nothing more: what can be answered reaches back as far
as the log does (`retention_hours` of `channel.events`), and costs the reading of one partition.
"""

import asyncio
from dataclasses import replace
from sys import maxsize
from typing import Any

from engine.errors import EngineError
from engine.events.ids import ENTITIES, TYPES, normalise
from engine.events.record import partition_of
from engine.identity.node import MINE
from engine.keys import node_name
from engine.matching import guard
from engine.matching.why.incident import Ask, incident_of
from engine.matching.why.occasion import ACTED, Occasion
from engine.matching.why.standing import standing
from engine.outcome import Meta
from engine.pipeline.envelope import Arrival
from engine.pipeline.state import Partition
from engine.ports import Reader, Store
from engine.rules.model import Rule
from engine.runtime.lookup import Found, Lookup
from engine.runtime.past.answer import answer
from engine.runtime.past.part import Part, part_of
from engine.runtime.past.watch import Watch
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.simulation.rewind import rewound

RECORDS_MAX = 1_000_000  # of the partition, the newest: some ten seconds of reading
OCCASIONS_MAX = 50
CAUSES_MAX = 3  # of guards: each is the reading of one partition
OTHERS_MAX = 8  # nodes of a person that were once apart, whose partitions are read too


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
        """Return what a rule did about a person or a thing and why, the newest first, in words.

        `who`: `user_id:u1`, a customer id, or the thing that a rule is about, such as `store:s7`.

        Raises
        ------
        EngineError
            `identity/unknown` person or thing, `identity/type` or `identity/value`: no identifier
            looks so; `rules/unknown` rule, `rules/kind`: it is about another kind of them.
        """
        found = await self._lookup.find(who)
        if found is None:
            raise _nobody(who)
        partition = partition_of(found.customer, self._count)
        meta = await self._store.meta(partition)
        await self._library.need("ruleset", meta.ruleset)
        rules = self._library.book.rule_sets[meta.ruleset]
        if rule in rules.rules:
            _check_kind(rules.rules[rule], found.live.actor.kind, who)
        part = await self._part(found, found.customer)
        known = rules.rules.get(rule) or self._taken_out(rule, part)
        if known is None:
            raise EngineError(f"no rule `{rule}` in rule set {meta.ruleset}", code="rules/unknown")
        _check_kind(known, found.live.actor.kind, who)
        state = Partition(partition, self._count, Meta(), timers_max=maxsize)
        if not part.is_whole:
            # Without a model scores stay as they are: what they were made of is of today.
            state.meta = Meta(now=part.since, clk=part.since, ruleset=meta.ruleset)
            node = rewound(found.live, part.since, part.events, rules.rules)
            state.nodes[node_name(self._tenant, found.customer)] = node
        occasions = await self._watched(state, part, found.customer, rule)
        if part.is_whole:
            occasions += await self._before(found, rule)
        occasions.sort(key=lambda each: each.at)
        shown = known.with_status("disabled") if rule in meta.disabled else known
        occasions = await self._with_incidents(shown, found, occasions[-OCCASIONS_MAX:])
        now = standing(shown, rules.segments, found.live.actor, meta.now)
        told = answer(shown, found.live.actor, part, occasions, now, rules.contracts)
        return {"who": who, "customer": found.customer, **told}

    def _taken_out(self, rule: str, part: Part) -> Rule | None:
        """Return a rule that is in no file any more, as the newest set had it that a log names."""
        for arrival in reversed(part.arrivals):
            if isinstance(arrival, Arrival) and arrival.kind == "ruleset":
                found = self._library.book.rule_sets[arrival.body.version].rules.get(rule)
                if found is not None:
                    return found.with_status("retired")
        return None

    async def _watched(
        self, state: Partition, part: Part, node_id: str, rule: str
    ) -> list[Occasion]:
        watch = Watch(state, self._library.book, self._tenant, node_id, rule)
        # A second or two for a busy shop, in which the process that answers must not stand still.
        await asyncio.to_thread(watch.run, part.arrivals)
        return watch.occasions

    async def _before(self, found: Found, rule: str) -> list[Occasion]:
        """Return what happened to nodes of the person before they became one."""
        occasions = []
        for name in _once_apart(found)[:OTHERS_MAX]:
            part = await self._part(found, name)
            if part.events:
                home = partition_of(name, self._count)
                state = Partition(home, self._count, Meta(), timers_max=maxsize)
                occasions += await self._watched(state, part, name, rule)
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
            if isinstance(arrival, Arrival)
            and arrival.kind == "part"
            and arrival.body.type == guard.ASKED
        }
        return list(found.values())

    async def _part(self, found: Found, node_id: str) -> Part:
        part = await self._read(node_id)
        part.is_whole = part.is_whole or found.live.actor.created_at > part.since
        return part

    async def _read(self, node_id: str) -> Part:
        return await part_of(
            node_id,
            self._reader,
            self._library,
            count=self._count,
            records_max=self._records_max,
        )


def _nobody(who: str) -> EngineError:
    """Return why nobody is found: nobody is there, or it is no identifier."""
    kind, colon, value = who.partition(":")
    if kind in ENTITIES:
        return EngineError(f"nothing has come of {who} yet", code="identity/unknown")
    if colon and kind not in TYPES:
        known = ", ".join((*TYPES, *ENTITIES))
        return EngineError(f"no identifier type `{kind}`; one of {known}", code="identity/type")
    if colon and normalise(kind, value) is None:
        return EngineError(f"`{value}` is no {kind}", code="identity/value")
    return EngineError(f"nobody has {who}", code="identity/unknown")


def _check_kind(rule: Rule, kind: str, who: str) -> None:
    """Refuse to ask of a customer what is about shops, or the other way round."""
    if rule.key == kind:
        return
    if rule.key == "person":
        raise EngineError(
            f"rule `{rule.id}` is about customers, and {who} is none; ask of one, such as "
            "user_id:u1",
            code="rules/kind",
        )
    raise EngineError(
        f"rule `{rule.id}` is about things of kind {rule.key}, and {who} is none; "
        f"ask of one, such as {rule.key}:ID",
        code="rules/kind",
    )


def _once_apart(found: Found) -> list[str]:
    """Return the nodes that have become this person."""
    seen = found.live.links.seen
    return [name for name in sorted(seen) if seen[name] == MINE and name != found.customer]
