"""One rule file becomes one Rule, checked against contracts, profile and features, or all mistakes."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from engine.clock import HOUR_MS
from engine.events.contract import Contracts
from engine.events.ids import ENTITIES
from engine.profile import schema
from engine.rules.cases import parse_cases
from engine.rules.expression.compile import Condition, Value, compile_condition, compile_value
from engine.rules.expression.types import Scope
from engine.rules.model import (
    ACTIONS,
    CHANNELS,
    KINDS,
    REPEATS,
    STATUSES,
    Action,
    Goal,
    Limit,
    Rule,
    Schedule,
    Step,
)
from engine.rules.problems import Problem
from engine.rules.reader import Reader, nearest
from engine.rules.source import Node, parse_source
from engine.rules.values import limit, minutes_of_day, share

_TOP = ["rule", "title", "owner", "why", "status", "priority", "kind", "key", "per", "when", "if", "repeat", "do", "limits", "group", "quiet_hours", "holdout", "goal", "fresh", "tests"]
_STEP = ("event", "as", "where", "times", "within", "not", "schedule")
_ACTION = (*ACTIONS, "channels", "deadline", "fields", "for")
_ID = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_VALUE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
STEPS_MAX = 6
TIMES_MAX = 100
FACTS = schema.schema()


class _Scopes:
    """What the expressions of one rule may name: its steps so far, and everything shared."""

    def __init__(self, contracts: Contracts) -> None:
        self.contracts = contracts
        self._events: dict[str, Mapping[str, Any]] = {}
        self._types: dict[str, str] = {}
        traits = {
            trait: contract.fields[name].type
            for contract in contracts.by_name.values()
            for name, trait in contract.traits.items()
            if name in contract.fields
        }
        self._profile = {**traits, **FACTS}
        titles = {name: c.title for name, c in contracts.by_name.items()}
        self._labels = {**schema.labels(FACTS), **schema.labels(schema.FEATURES), **titles}

    def see(self, alias: str, event: str) -> None:
        """Make a step's event known under its alias."""
        contract = self.contracts.get(event)
        self._events = {**self._events, alias: contract.fields if contract else {}}
        self._types = {**self._types, alias: event}

    def scope(self) -> Scope:
        """Return what may be named now."""
        return Scope(
            events=self._events,
            profile=self._profile,
            features=schema.FEATURES,
            sets=self.contracts.sets,
            aggregates=self._fields,
            event_types=self.contracts.by_name.keys(),
            types=self._types,
            labels=self._labels,
        )

    def _fields(self, event: str) -> Mapping[str, Any] | None:
        contract = self.contracts.get(event)
        return contract.fields if contract else None


def parse_rule(path: str, text: str, contracts: Contracts) -> tuple[Rule | None, list[Problem]]:
    """Return (rule, mistakes and warnings); the rule is None if any of them is an error.

    Raises
    ------
    RulesError
        If the text is no YAML at all.
    """
    root = parse_source(path, text)
    reader = Reader(path)
    if not reader.keys(root, _TOP, ("rule", "owner", "do", "when")):
        return None, reader.problems
    parser = _Parser(reader, root, contracts)
    version = sha256(text.encode()).hexdigest()[:12]
    rule = parser.rule(version)
    wrong = any(p.level == "error" for p in reader.problems)
    return (None if wrong else rule), reader.problems


class _Parser:
    def __init__(self, reader: Reader, root: Node, contracts: Contracts) -> None:
        self.reader = reader
        self.root = root
        self.contracts = contracts
        self.scopes = _Scopes(contracts)
        self.trigger = "event"

    def rule(self, version: str) -> Rule:
        """Return the rule as far as it can be read."""
        reader, root = self.reader, self.root
        identity = reader.text(root, "rule")
        if not _ID.fullmatch(identity):
            place = reader.child(root, "rule") or root
            reader.add(place, "R114", f"'{identity}' is no name", "write small-letters-and-dashes")
        key = reader.text(root, "key", "person")
        if key != "person" and key not in ENTITIES:
            place = reader.child(root, "key") or root
            reader.add(place, "R115", f"no kind of thing '{key}'", nearest(key, ENTITIES))
        schedule, steps, absent = self._when()
        kind = self._kind()
        status = reader.choice(root, "status", STATUSES, "draft")
        limits = self._limits()
        actions = self._actions()
        if steps and not limits and any(a.type != "suppress" for a in actions):
            place = reader.child(root, "when") or root
            hint = "add limits:, such as - 1 per 7d"
            reader.add(place, "R130", "a rule without limits can fire at every event", hint,
                       level="warning")
        cases = parse_cases(reader, root, self.contracts)
        if status == "live" and not (
            any(c.expect for c in cases) and any(not c.expect for c in cases)
        ):
            place = reader.child(root, "tests") or reader.child(root, "rule") or root
            hint = "add one test with expect: [..] and one with expect: []"
            reader.add(place, "R131", "a live rule has a test that fires and one that does not", hint)
        return Rule(
            id=identity,
            path=reader.path,
            version=version,
            title=self._title(identity),
            owner=reader.text(root, "owner"),
            why=reader.text(root, "why"),
            status=status,
            priority=reader.whole(root, "priority", 0, -1000, 1000),
            kind=kind,
            key=key,
            per=self._per(steps),
            schedule=schedule,
            steps=steps,
            absent=absent,
            condition=self._condition(root, "if"),
            repeat=reader.choice(root, "repeat", REPEATS, "restart" if absent else "keep-first"),
            actions=actions,
            limits=limits,
            group=reader.text(root, "group"),
            quiet=reader.scalar(root, "quiet_hours", _quiet, 'write "22:00-08:00"'),
            holdout=reader.scalar(root, "holdout", share, "write a share, such as 10%") or 0.0,
            goal=self._goal(),
            fresh_ms=reader.length(root, "fresh", HOUR_MS) or HOUR_MS,
            cases=cases,
        )

    def _title(self, identity: str) -> dict[str, str]:
        node = self.reader.child(self.root, "title")
        if node is None:
            return {"en": identity, "zh": identity}
        if node.kind == "map":
            found = {name: value.text for name, (_, value) in node.pairs.items()}
            first = next(iter(found.values()), identity)
            return {"en": found.get("en", first), "zh": found.get("zh", first)}
        return {"en": node.text, "zh": node.text}

    def _kind(self) -> str:
        """The rule's kind; an action may say it too, as the first examples do."""
        kinds = {
            node.pairs["kind"][1].text
            for node in self.reader.items(self.root, "do")
            if node.kind == "map" and "kind" in node.pairs
        }
        default = "service" if kinds == {"service"} else "marketing"
        only_cases = all(
            node.kind == "map" and {"case", "suppress", "event"} & node.pairs.keys()
            for node in self.reader.items(self.root, "do")
        )
        return self.reader.choice(self.root, "kind", KINDS, "service" if only_cases else default)

    def _when(self) -> tuple[Schedule | None, tuple[Step, ...], Step | None]:
        schedule: Schedule | None = None
        steps: list[Step] = []
        absent: Step | None = None
        nodes = self.reader.items(self.root, "when")
        if len(nodes) > STEPS_MAX:
            self.reader.add(nodes[0], "R122", f"a rule has at most {STEPS_MAX} steps")
        for index, node in enumerate(nodes):
            if not self.reader.keys(node, _STEP):
                continue
            if absent is not None:
                self.reader.add(node, "R116", "'not' is the last step of a rule")
            if "schedule" in node.pairs:
                if index:
                    self.reader.add(node, "R117", "'schedule' is the first step, or none")
                schedule = self._schedule(node)
            elif "not" in node.pairs:
                if not steps:
                    hint = "for customers who do nothing at all use schedule:"
                    self.reader.add(node, "R118", "'not' needs an event before it", hint)
                absent = self._step(node, "not", index)
            elif "event" in node.pairs:
                steps.append(self._step(node, "event", index))
            else:
                self.reader.add(node, "R102", "'event', 'not' or 'schedule' is missing")
        return schedule, tuple(steps), absent

    def _step(self, node: Node, kind: str, index: int) -> Step:
        reader = self.reader
        event = reader.text(node, kind)
        place = node.pairs[kind][1]
        if self.contracts.get(event) is None:
            hint = nearest(event, self.contracts.by_name)
            reader.add(place, "E231", f"unknown event type '{event}'", hint)
        alias = reader.text(node, "as") or (f"step{index}" if kind == "event" else "absent")
        within = reader.length(node, "within")
        times = reader.whole(node, "times", 1, 1, TIMES_MAX)
        if within is None and (kind == "not" or times > 1) and "within" not in node.pairs:
            reader.add(place, "R119", f"'{kind}' needs 'within'", "such as within: 30m")
        self.scopes.see(alias, event)
        where = self._condition(node, "where", trigger=alias)
        if kind == "event":
            self.trigger = alias
        return Step(event, alias, where, times, within, absent=kind == "not")

    def _schedule(self, node: Node) -> Schedule | None:
        reader = self.reader
        value = node.pairs["schedule"][1]
        if not reader.keys(value, ("date", "before", "at", "every"), ("date",)):
            return None
        fact = reader.text(value, "date").removeprefix("profile.")
        if fact not in FACTS:
            place = reader.child(value, "date") or value
            reader.add(place, "E205", f"the profile has no '{fact}'", nearest(fact, FACTS))
        at = reader.scalar(value, "at", minutes_of_day, 'write "09:00"')
        every = reader.choice(value, "every", ("year", "once"), "year")
        before = reader.length(value, "before") or 0
        return Schedule(fact, 540 if at is None else at, before, every == "year")

    def _per(self, steps: tuple[Step, ...]) -> str:
        field = self.reader.text(self.root, "per")
        contract = self.contracts.get(steps[0].event) if steps else None
        if field and contract and field not in contract.fields:
            place = self.reader.child(self.root, "per") or self.root
            hint = nearest(field, contract.fields)
            self.reader.add(place, "E203", f"event '{contract.name}' has no field '{field}'", hint)
        return field

    def _condition(self, node: Node, name: str, *, trigger: str = "") -> Condition | None:
        value = self.reader.child(node, name)
        if value is None:
            return None
        scope, alias = self.scopes.scope(), trigger or self.trigger
        return self.reader.expression(
            value, lambda text: compile_condition(text, scope, trigger=alias)
        )

    def _limits(self) -> tuple[Limit, ...]:
        found = []
        for node in self.reader.items(self.root, "limits"):
            read = limit(node.text)
            if read is None:
                hint = "write 1 per 7d, or 3 per day in group promo"
                self.reader.add(node, "R123", f"'{node.text}' is no limit", hint)
            else:
                found.append(Limit(*read))
        return tuple(found)

    def _goal(self) -> Goal | None:
        node = self.reader.child(self.root, "goal")
        if node is None or not self.reader.keys(node, ("event", "within"), ("event", "within")):
            return None
        event = self.reader.text(node, "event")
        if self.contracts.get(event) is None:
            place = self.reader.child(node, "event") or node
            hint = nearest(event, self.contracts.by_name)
            self.reader.add(place, "E231", f"unknown event type '{event}'", hint)
        return Goal(event, self.reader.length(node, "within") or HOUR_MS)

    def _actions(self) -> tuple[Action, ...]:
        found = []
        for node in self.reader.items(self.root, "do"):
            if not self.reader.keys(node, (*_ACTION, "kind")):
                continue
            kinds = [kind for kind in ACTIONS if kind in node.pairs]
            if len(kinds) != 1:
                hint = "one of " + ", ".join(ACTIONS)
                self.reader.add(node, "R124", "an action does one thing", hint)
                continue
            found.append(self._action(node, kinds[0]))
        return tuple(found)

    def _action(self, node: Node, kind: str) -> Action:
        reader = self.reader
        channels = []
        for item in reader.items(node, "channels"):
            if item.text not in CHANNELS:
                reader.add(item, "R125", f"no channel '{item.text}'", nearest(item.text, CHANNELS))
            channels.append(item.text)
        length = reader.length(node, "for") or 0
        if kind == "suppress" and not length and "for" not in node.pairs:
            reader.add(node, "R119", "'suppress' needs 'for'", "such as for: 3d")
        fields = reader.child(node, "fields")
        pairs = fields.pairs.items() if fields is not None else ()
        return Action(
            type=kind,
            name=reader.text(node, kind),
            channels=tuple(channels),
            deadline_ms=reader.length(node, "deadline") or 0,
            for_ms=length,
            fields={name: self._template(value) for name, (_, value) in pairs},
        )

    def _template(self, node: Node) -> tuple[str | Value, ...]:
        parts: list[str | Value] = []
        at = 0
        scope = self.scopes.scope()
        for found in _VALUE.finditer(node.text):
            parts.append(node.text[at : found.start()])
            inner = _inside(node, found.start(1), found[1])
            value = self.reader.expression(
                inner, lambda text: compile_value(text, scope, trigger=self.trigger)
            )
            if value is not None:
                parts.append(value)
            at = found.end()
        parts.append(node.text[at:])
        return tuple(part for part in parts if part != "")


def _inside(node: Node, offset: int, text: str) -> Node:
    """Return the node of a part of a text, at its own place."""
    line, column = node.place(offset)
    return Node("text", line, column, text, "", text)


def _quiet(text: str) -> tuple[int, int] | None:
    start, _, end = text.partition("-")
    first, last = minutes_of_day(start.strip()), minutes_of_day(end.strip())
    return None if first is None or last is None or first == last else (first, last)


