"""The shape of a rule file: its text becomes a Rule, or all its mistakes at their places."""

import re
from hashlib import sha256

from engine.clock import HOUR_MS
from engine.events.contract import Contracts
from engine.events.ids import ENTITIES
from engine.rules.actions import parse_actions
from engine.rules.cases import parse_cases
from engine.rules.check import check_rule
from engine.rules.expression.compile import Condition, Value, compile_condition, compile_value
from engine.rules.model import (
    COUNT_MAX,
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
from engine.rules.scopes import RESERVED, Scopes
from engine.rules.text.problems import Problem
from engine.rules.text.reader import Reader, nearest
from engine.rules.text.source import Node, parse_source
from engine.rules.text.values import limit, minutes_of_day, share

_TOP = (
    *("rule", "title", "owner", "why", "status", "priority", "kind", "key", "per", "when", "if"),
    *("repeat", "do", "limits", "group", "quiet_hours", "holdout", "goal", "fresh", "tests"),
)
_STEP = ("event", "as", "where", "times", "within", "not", "schedule")
_ID = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_ALIAS = re.compile(r"[a-z][a-z0-9_]*")
STEPS_MAX = 6
TIMES_MAX = 100


def parse_rule(path: str, text: str, contracts: Contracts) -> tuple[Rule | None, list[Problem]]:
    """Return (rule, mistakes and warnings); the rule is None if any of them is an error.

    Raises
    ------
    RulesError
        If the text is no YAML at all.
    """
    root, problems = parse_source(path, text)
    reader = Reader(path)
    reader.problems += problems
    if not reader.keys(root, _TOP, ("rule", "owner", "do", "when")):
        return None, reader.problems
    parser = _Parser(reader, root, contracts)
    version = sha256(text.encode()).hexdigest()[:12]
    rule = parser.rule(version)
    check_rule(reader, root, rule, contracts)
    wrong = any(p.level == "error" for p in reader.problems)
    return (None if wrong else rule), reader.problems


class _Parser:
    def __init__(self, reader: Reader, root: Node, contracts: Contracts) -> None:
        self.reader = reader
        self.root = root
        self.contracts = contracts
        self.scopes = Scopes(contracts)
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
        group = reader.text(root, "group")
        kind, limits = self._kind(), self._limits()
        named = {each.group for each in limits} | {group}
        return Rule(
            id=identity,
            path=reader.path,
            version=version,
            title=self._title(identity),
            owner=reader.text(root, "owner"),
            why=reader.text(root, "why"),
            status=reader.choice(root, "status", STATUSES, "draft"),
            priority=reader.whole(root, "priority", 0, -1000, 1000),
            kind=kind,
            key=key,
            per=reader.text(root, "per"),
            schedule=schedule,
            steps=steps,
            absent=absent,
            condition=self._condition(root, "if"),
            repeat=reader.choice(root, "repeat", REPEATS, "restart" if absent else "keep-first"),
            actions=self._actions(),
            limits=limits,
            group=group,
            quiet=reader.scalar(root, "quiet_hours", _quiet, 'write "22:00-08:00"'),
            holdout=reader.scalar(root, "holdout", share, "write a share, such as 10%") or 0.0,
            goal=self._goal(),
            fresh_ms=reader.length(root, "fresh", HOUR_MS) or HOUR_MS,
            cases=parse_cases(reader, root, self.contracts),
            groups=frozenset(named - {""}) if kind == "marketing" else frozenset(),
        )

    def _title(self, identity: str) -> dict[str, str]:
        node = self.reader.child(self.root, "title")
        if node is None:
            return {"en": identity, "zh": identity}
        if node.kind == "map" and self.reader.keys(node, ("en", "zh")):
            found = {name: value.text for name, (_, value) in node.pairs.items()}
            first = next(iter(found.values()), identity)
            return {"en": found.get("en", first), "zh": found.get("zh", first)}
        text = self.reader.text(self.root, "title", identity)
        return {"en": text, "zh": text}

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
        if not nodes and (key := self.root.pairs.get("when")) is not None:
            self.reader.add(key[0], "R102", "'when' has no step", "such as - event: cart.updated")
        if len(nodes) > STEPS_MAX:
            self.reader.add(nodes[STEPS_MAX], "R122", f"a rule has at most {STEPS_MAX} steps")
        for index, node in enumerate(nodes[:STEPS_MAX]):
            if not self.reader.keys(node, _STEP):
                continue
            if absent is not None:
                self.reader.add(node, "R116", "'not' is the last step of a rule")
            if "schedule" in node.pairs:
                if index:
                    self.reader.add(node, "R117", "'schedule' is the first step, or none")
                schedule = self._schedule(node)
            elif "not" in node.pairs:
                if not steps and schedule is None:
                    hint = "for customers who do nothing at all use schedule:"
                    self.reader.add(node, "R118", "'not' needs a step before it", hint)
                absent = self._absent(node)
            elif "event" in node.pairs:
                if schedule is not None:
                    hint = "behind a date there is at most one 'not'"
                    self.reader.add(node, "R117", "an event cannot follow 'schedule'", hint)
                steps.append(self._step(node, index))
            else:
                self.reader.add(node, "R102", "'event', 'not' or 'schedule' is missing")
        return schedule, tuple(steps), absent

    def _step(self, node: Node, index: int) -> Step:
        reader = self.reader
        event, alias = self._named(node, "event"), self._alias(node, f"step{index}")
        times = reader.whole(node, "times", 1, 1, TIMES_MAX)
        within = reader.length(node, "within")
        if within is None and times > 1 and "within" not in node.pairs:
            hint = "such as within: 10m"
            reader.add(node.pairs["times"][0], "R119", "'times' needs 'within'", hint)
        self.scopes.see(alias, event)
        where = self._condition(node, "where", trigger=alias)
        self.trigger = alias
        return Step(event, alias, where, times, within)

    def _absent(self, node: Node) -> Step:
        """Read `not: .. within: ..`; the length may be computed: `within: "{{ .. }}"`."""
        reader = self.reader
        event, alias = self._named(node, "not"), self._alias(node, "absent")
        if "times" in node.pairs:
            reader.add(node.pairs["times"][0], "R101", "'not' has no 'times'")
        value = reader.child(node, "within")
        within: int | None = None
        computed: Value | None = None
        if value is None:
            reader.add(node.pairs["not"][1], "R119", "'not' needs 'within'", "such as within: 30m")
        elif value.text.strip().startswith("{{"):
            computed = self._length(value)
        else:
            within = reader.length(node, "within")
        self.scopes.see(alias, event)
        where = self._condition(node, "where", trigger=alias)
        self.scopes.hide(alias)
        return Step(event, alias, where, 1, within, computed)

    def _length(self, node: Node) -> Value | None:
        text = node.text
        start, end = text.index("{{") + 2, text.rfind("}}")
        hint = 'such as "{{ promise.issue == "refund" ? 48m : 19h }}"'
        if end < start or text[end + 2 :].strip():
            self.reader.add(node, "R110", f"'{text}' is not a length of time", hint)
            return None
        line, column = node.place(start)
        inner = Node("text", line, column, text[start:end], "", text[start:end])
        scope = self.scopes.scope()
        value = self.reader.expression(
            inner, lambda found: compile_value(found, scope, trigger=self.trigger)
        )
        if value is not None and value.type.base != "duration":
            self.reader.add(inner, "R110", "this does not make a length of time", hint)
        return value

    def _named(self, node: Node, key: str) -> str:
        """Return the event type that a step names; a near miss counts as what was meant."""
        event = self.reader.text(node, key)
        if self.contracts.get(event) is None:
            near = nearest(event, self.contracts.by_name)
            place = node.pairs[key][1]
            self.reader.add(place, "E231", f"unknown event type '{event}'", near)
            return near.split('"')[1] if near else event
        return event

    def _alias(self, node: Node, default: str) -> str:
        alias = self.reader.text(node, "as") or default
        if "as" in node.pairs:
            place = node.pairs["as"][1]
            if not _ALIAS.fullmatch(alias) or alias in RESERVED:
                hint = "write a word, such as cart"
                self.reader.add(place, "R114", f"'{alias}' is no name", hint)
            elif alias in self.scopes.aliases:
                self.reader.add(place, "R128", f"another step is called '{alias}' already")
        return alias

    def _schedule(self, node: Node) -> Schedule | None:
        reader = self.reader
        value = node.pairs["schedule"][1]
        if not reader.keys(value, ("date", "before", "at", "every"), ("date",)):
            return None
        fact = reader.text(value, "date").removeprefix("profile.")
        if fact not in self.scopes.profile:
            place = reader.child(value, "date") or value
            hint = nearest(fact, self.scopes.profile)
            reader.add(place, "E204", f"the profile has no '{fact}'", hint)
        at = reader.scalar(value, "at", minutes_of_day, 'write "09:00"')
        every = reader.choice(value, "every", ("year", "once"), "year")
        before = reader.length(value, "before") or 0
        return Schedule(fact, 540 if at is None else at, before, every == "year")

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
            if read is None or read[0] > COUNT_MAX:
                hint = f"write 1 per 7d, or 3 per day in group promo; at most {COUNT_MAX}"
                self.reader.add(node, "R123", f"'{node.text}' is no limit", hint)
            else:
                found.append(Limit(*read))
        return tuple(found)

    def _goal(self) -> Goal | None:
        node = self.reader.child(self.root, "goal")
        if node is None or not self.reader.keys(node, ("event", "within"), ("event", "within")):
            return None
        event = self._named(node, "event") if "event" in node.pairs else ""
        return Goal(event, self.reader.length(node, "within") or HOUR_MS)

    def _actions(self) -> tuple[Action, ...]:
        return parse_actions(self.reader, self.root, self.scopes, trigger=self.trigger)


def _quiet(text: str) -> tuple[int, int] | None:
    start, _, end = text.partition("-")
    first, last = minutes_of_day(start.strip()), minutes_of_day(end.strip())
    return None if first is None or last is None or first == last else (first, last)
