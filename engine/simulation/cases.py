"""Runs the tests inside rule files on the engine's own fold, with the live ticker's ticks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from engine.clock import DAY_MS, SECOND_MS
from engine.decision.holdout import is_held_out
from engine.errors import ContractError
from engine.events import topics
from engine.events.ids import ENTITIES, is_entity
from engine.events.model import Event
from engine.events.record import Headers, Outgoing, Record
from engine.identity import mac
from engine.identity.messages import Tick, Version
from engine.identity.node import Links
from engine.keys import node_name
from engine.outcome import Meta, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import read
from engine.pipeline.fold import fold
from engine.pipeline.needs import needed_nodes
from engine.pipeline.state import STATE_VERSION, Live, Partition
from engine.profile.model import Actor, Trait
from engine.rules.cases import compare
from engine.rules.compile import RuleSet, index
from engine.rules.model import Case, Rule

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
    """One partition with one actor, driven by hand: the smallest whole engine."""

    def __init__(self, rules: RuleSet, actor: Actor, node_id: str) -> None:
        self._book = Book(secret=SECRET, rule_sets={rules.version: rules})
        self._node_id = node_id
        self._state = Partition(0, 1, Meta())
        self._name = node_name(TENANT, node_id)
        self._state.nodes[self._name] = Live(STATE_VERSION, Links(), actor)
        self._offset = 0
        self.fired: list[dict[str, Any]] = []
        self.errors: list[str] = []
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

    def send(self, event: Event) -> None:
        """Let one event arrive."""
        value, key = _json(event), self._node_id.encode()
        headers: Headers = ()
        if is_entity(self._node_id) and len(event.ids) > 1:  # as a person's fold tells a thing
            seal = mac.sign("part", key, value, SECRET)
            headers = (("kind", b"part"), ("mac", seal))
        self._feed(Outgoing(topics.EVENTS, 0, key, value, headers))

    def _control(self, kind: str, body: msgspec.Struct) -> None:
        value = _json(body)
        seal = mac.sign(kind, kind.encode(), value, SECRET)
        headers = (("kind", kind.encode()), ("mac", seal))
        self._feed(Outgoing(topics.EVENTS, 0, kind.encode(), value, headers))

    def _feed(self, out: Outgoing) -> None:
        state = self._state
        record = Record(out.topic, 0, self._offset, out.key, out.value, out.headers)
        self._offset += 1
        arrival = read(record, SECRET)
        for name in needed_nodes(state, [arrival]):
            state.nodes.setdefault(name, None)
        fold(state, arrival, self._book)
        state.note_timers()
        state.outcome = Outcome()
        live = state.nodes[self._name]
        assert isinstance(live, Live)
        self.fired += [
            entry
            for entry in live.actor.triggers
            if entry["outcome"] in ("fired", "held_out", "shadow")
        ]
        live.actor.triggers = []


def run_case(rule: Rule, case: Case, rules: RuleSet) -> list[str]:
    """Run one test of a rule alone; return what differs from what it expects, [] if nothing."""
    only = {rule.id: replace(rule, status="live")}
    alone = index(only, rules.contracts, version="test", shared=rules.shared)
    node_id = _customer(rule, held_out=case.held_out)
    shop = Shop(alone, _actor(rule, case), node_id)
    shop.tick(case.start)
    last = case.start
    for number, (at, arrives, name, data) in _by_arrival(case):
        last = max(last, case.start + arrives)
        shop.tick((case.start + arrives) // SECOND_MS * SECOND_MS)
        try:
            arrived = case.start + arrives
            shop.send(_event(rules, case.start + at, arrived, number, name, data, node_id))
        except ContractError as error:
            return [f"event {name}: {error}"]
    latest = max((case.start + int(e["at"]) for e in case.expect if "at" in e), default=last)
    shop.tick(max(last, latest) + AFTER_MS if rule.schedule is None else max(last, latest) + DAY_MS)
    return compare(case, shop.fired) + shop.errors


def _by_arrival(case: Case) -> Sequence[tuple[int, tuple[int, int, str, Mapping[str, Any]]]]:
    return sorted(enumerate(case.events), key=lambda item: (item[1][1], item[0]))


def _customer(rule: Rule, *, held_out: bool) -> str:
    """Return an id that the rule's holdout takes, or does not take."""
    if rule.key != "person":
        return f"E{ENTITIES[rule.key]}test"
    for number in range(CUSTOMERS_MAX):
        if is_held_out(rule, f"0utest{number}") == held_out:
            return f"0utest{number}"
    return "0utest0"


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
