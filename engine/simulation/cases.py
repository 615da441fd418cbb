"""Runs the tests inside rule files on the engine's own fold, with the live ticker's ticks."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.clock import DAY_MS, SECOND_MS
from engine.decision.holdout import is_held_out, is_of_share
from engine.decision.model import Outbound, Trigger
from engine.errors import ContractError
from engine.events import topics
from engine.events.ids import ENTITIES, entity_id, is_entity
from engine.events.model import Event
from engine.events.record import Headers, Outgoing, Record
from engine.identity import mac
from engine.identity.messages import Tick, Version
from engine.identity.node import Links
from engine.keys import node_name
from engine.matching import guard
from engine.matching.why.occasion import ACTED
from engine.outcome import Meta, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import read
from engine.pipeline.fold import fold
from engine.pipeline.needs import needed_nodes
from engine.pipeline.state import STATE_VERSION, Live, Partition
from engine.profile.model import Actor, Trait
from engine.rules.cases import INCIDENT, compare
from engine.rules.compile import RuleSet, index
from engine.rules.model import CONTEXTS, Case, Rule

SECRET = b"the secret of rule tests"
TENANT = "test"
AFTER_MS = 40 * DAY_MS  # how long waits are followed after the last event
TICKS_MAX = 2_000
CUSTOMERS_MAX = 10_000
_KEYS = {
    "user_id": "u1",
    "email": "u1@customers.example",
    "phone": "+8613800000001",
    "openid": "wx1",
    "device_id": "d1",
    "anonymous_id": "a1",
}
_json = msgspec.json.Encoder().encode


class Shop:
    """One partition with the actors of a test, driven by hand: the smallest whole engine.

    `actors`: node id -> (the name that the test has for it, its state at the begin).
    """

    def __init__(self, rules: RuleSet, actors: Mapping[str, tuple[str, Actor]]) -> None:
        self._book = Book(secret=SECRET, rule_sets={rules.version: rules})
        self._state = Partition(0, 1, Meta())
        self._names: dict[str, str] = {}
        for node_id, (who, actor) in actors.items():
            name = node_name(TENANT, node_id)
            self._names[name] = who
            self._state.nodes[name] = Live(STATE_VERSION, Links(), actor)
        self._offset = 0
        self.fired: list[dict[str, Any]] = []
        self._control("ruleset", Version(rules.version))

    def tick(self, now: int) -> None:
        """Let log time pass; due waits fire on the way, each at its own tick."""
        for _ in range(TICKS_MAX):
            score = min(self._state.timers.values(), default=now + 1)
            if score > now:
                break
            at = -(-score // SECOND_MS) * SECOND_MS
            self._control("tick", Tick(now=at, passed=at))
        if now > self._state.meta.now:
            self._control("tick", Tick(now=now, passed=now))

    def send(self, node_id: str, event: Event) -> None:
        """Let one event arrive at an actor."""
        value, key = _json(event), node_id.encode()
        headers: Headers = ()
        if is_entity(node_id) and len(event.ids) > 1:  # as a person's fold tells a thing
            seal = mac.sign("part", key, value, SECRET)
            headers = (("kind", b"part"), ("mac", seal))
        self._feed(Outgoing(topics.EVENTS, 0, key, value, headers))

    def _control(self, kind: str, body: msgspec.Struct) -> None:
        value = _json(body)
        seal = mac.sign(kind, kind.encode(), value, SECRET)
        headers = (("kind", kind.encode()), ("mac", seal))
        self._feed(Outgoing(topics.EVENTS, 0, kind.encode(), value, headers))

    def _feed(self, out: Outgoing) -> None:
        """Fold a record, and what actors tell one another because of it."""
        state, waiting = self._state, deque([out])
        while waiting:
            out = waiting.popleft()
            record = Record(out.topic, 0, self._offset, out.key, out.value, out.headers)
            self._offset += 1
            arrival = read(record, SECRET)
            for name in needed_nodes(state, [arrival]):
                state.nodes.setdefault(name, None)
            fold(state, arrival, self._book)
            state.note_timers()
            outcome, state.outcome = state.outcome, Outcome()
            waiting.extend(
                Outgoing(move.topic, 0, move.key.encode(), move.value, move.headers)
                for _, move in outcome.moves
                if move.topic == topics.EVENTS
            )
            for name in sorted(state.dirty):
                self._note(name, outcome)
            state.dirty.clear()

    def _note(self, name: str, outcome: Outcome) -> None:
        """Note what was decided for an actor; a case that an incident raises is only sent."""
        live = self._state.nodes[name]
        if not isinstance(live, Live):
            return
        if live.actor.kind == guard.KIND:
            sent = [msgspec.json.decode(move.value, type=Outbound) for _, move in outcome.triggers]
            self.fired += [
                {"who": INCIDENT, "at": each.at, "type": each.action.type, "name": each.action.name}
                for each in sent
                if isinstance(each, Trigger) and each.entity == guard.KIND
            ]
        self.fired += [
            {**entry, "who": self._names.get(name, "")}
            for entry in live.actor.triggers
            if entry["outcome"] in ACTED
        ]
        live.actor.triggers = []


def run_case(rule: Rule, case: Case, rules: RuleSet, lang: str = "en") -> list[str]:
    """Run one test of a rule alone; return in words what differs from what it expects."""
    only = {rule.id: rule.with_status("live")}
    alone = index(only, rules.contracts, version="test", shared=rules.shared)
    nodes = _nodes(rule, case)
    shop = Shop(alone, {node_id: (who, _actor(rule, case)) for who, node_id in nodes.items()})
    shop.tick(case.start)
    last = case.start
    for number, (at, arrives, name, data, who) in _by_arrival(case):
        last = max(last, case.start + arrives)
        shop.tick((case.start + arrives) // SECOND_MS * SECOND_MS)
        try:
            arrived, node_id = case.start + arrives, _thing(rules, name, data) or nodes[who]
            event = _event(rules, case.start + at, arrived, number, name, data, node_id)
        except ContractError as error:
            return [f"{name}: {error}"]
        shop.send(node_id, event)
    latest = max((case.start + int(e["at"]) for e in case.expect if "at" in e), default=last)
    shop.tick(max(last, latest) + _after(rule, case))
    return compare(case, shop.fired, lang)


def _after(rule: Rule, case: Case) -> int:
    """Return how long a test goes on: a schedule comes again, so of one no longer than it must."""
    if rule.schedule is None:
        return AFTER_MS
    return 7 * DAY_MS if rule.schedule.weekdays and not case.expect else DAY_MS


def _by_arrival(case: Case) -> Sequence[tuple[int, tuple[int, int, str, Mapping[str, Any], str]]]:
    return sorted(enumerate(case.events), key=lambda item: (item[1][1], item[0]))


def _nodes(rule: Rule, case: Case) -> dict[str, str]:
    """Return who is in the test -> an id that the rule's holdout takes, or does not take."""
    people = ["", *dict.fromkeys(who for *_, who in case.events if who)]
    if rule.key != "person":
        return {who: f"E{ENTITIES[rule.key]}test{who}" for who in people}
    fit = (
        node_id
        for number in range(CUSTOMERS_MAX)
        if is_held_out(rule, node_id := f"0utest{number}") == case.held_out
        and is_of_share(rule, node_id)
    )
    return {who: next(fit, f"0utest{who}") for who in people}


def _thing(rules: RuleSet, name: str, data: Mapping[str, Any]) -> str:
    """Return the id of a thing that may be asked, if an event happens to one; else ''."""
    contract = rules.contracts.get(name)
    if contract is None or contract.entity not in CONTEXTS or contract.key == "person":
        return ""
    value = str(data.get(contract.key_field))
    return entity_id(contract.entity, value, tenant=TENANT, secret=SECRET)


def _actor(rule: Rule, case: Case) -> Actor:
    actor = Actor(kind=rule.key, created_at=case.start, keys=dict(_KEYS))
    actor.traits = {name: Trait(value, "given", 0) for name, value in case.profile.items()}
    actor.scores = dict(case.features)
    return actor


def _event(
    rules: RuleSet,
    at: int,
    arrives: int,
    number: int,
    name: str,
    data: Mapping[str, Any],
    node_id: str,
) -> Event:
    contract = rules.contracts.get(name)
    assert contract is not None
    read = rules.contracts.check(contract, dict(data))
    ids = [node_id]
    if is_entity(node_id):
        if (person := data.get("user_id")) is not None:
            ids.append(f"0u{person}")
        read = {n: v for n, v in read.items() if not getattr(contract.fields.get(n), "personal", 0)}
    return Event(
        id=f"{number:016x}{0:016x}",
        tenant=TENANT,
        source="test",
        type=name,
        at=at,
        original_at=at,
        received_at=arrives,
        ids=ids,
        data=read,
    )
