"""The shape of a rule file: its text becomes a Rule, or all its mistakes at their places."""

import re
from collections.abc import Sequence
from hashlib import sha256

from engine.clock import HOUR_MS, MINUTE_MS
from engine.events.contract import Contracts
from engine.events.ids import ENTITIES
from engine.rules.cases import parse_cases
from engine.rules.check import check_rule
from engine.rules.expression.compile import compile_value
from engine.rules.model import (
    CONTEXTS,
    COUNT_MAX,
    KINDS,
    REPEATS,
    STATUSES,
    Goal,
    Guard,
    Limit,
    Rule,
    Scope,
)
from engine.rules.parts.actions import parse_actions
from engine.rules.parts.shared import NOTHING, Shared
from engine.rules.parts.table import parse_table
from engine.rules.parts.when import event_named, parse_condition, parse_pattern
from engine.rules.scopes import Scopes
from engine.rules.text.problems import Problem
from engine.rules.text.reader import Reader, nearest
from engine.rules.text.source import Node, parse_source
from engine.rules.text.values import limit, minutes_of_day, share

TOP = (
    *("rule", "title", "owner", "why", "status", "priority", "kind", "key", "per", "when", "if"),
    *("table", "repeat", "do", "limits", "group", "quiet_hours", "holdout", "goal", "fresh"),
    *("guard", "scope", "context", "tests"),
)
GUARD = ("same", "more_than", "within", "wait", "raise")
SCOPE_MAX = 1_000
CUSTOMERS_MAX = 200  # that a guard may wait for: so many are told, and remembered four times over
REQUIRED = ("rule", "owner", "do", "when")
# They are not part of a rule's version: who widens a pilot must not end what waits in it.
WORDS = ("title", "owner", "why", "status", "tests", "scope")
GUARD_WAIT_MS = 2 * MINUTE_MS
ID_LENGTH_MAX = 100
_ID = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")


def parse_rule(
    path: str,
    text: str,
    contracts: Contracts,
    shared: Shared = NOTHING,
    *,
    is_published: bool = False,
) -> tuple[Rule | None, list[Problem]]:
    """Return (rule, mistakes and warnings); the rule is None if any of them is an error.

    `is_published`: it was checked before it went into the log, by whichever release. Its tests and
    its sense are nothing to who runs it.

    Raises
    ------
    RulesError
        If the text is no YAML at all.
    """
    root, problems = parse_source(path, text)
    reader = Reader(path)
    reader.problems += problems
    if not reader.keys(root, TOP, REQUIRED):
        return None, reader.problems
    parser = _Parser(reader, root, contracts, shared, is_published=is_published)
    version = sha256((_content(root) + shared.used(text)).encode()).hexdigest()[:12]
    rule = parser.rule(version)
    if not is_published:
        check_rule(reader, root, rule, contracts)
    wrong = any(p.level == "error" for p in reader.problems)
    return (None if wrong else rule), reader.problems


def _content(root: Node) -> str:
    """Return what a file says, without what only people and tests read, nor how it is laid out.

    A mended title or one more test must not end the waits of customers.
    """
    pairs = {name: pair for name, pair in sorted(root.pairs.items()) if name not in WORDS}
    return repr({name: _plain(value) for name, (_, value) in pairs.items()})


def _plain(node: Node) -> object:
    if node.kind == "text":
        return node.text, node.style in ("'", '"')
    if node.kind == "map":
        return {name: _plain(value) for name, (_, value) in node.pairs.items()}
    return [_plain(item) for item in node.items]


class _Parser:
    def __init__(
        self,
        reader: Reader,
        root: Node,
        contracts: Contracts,
        shared: Shared,
        *,
        is_published: bool,
    ) -> None:
        self.reader = reader
        self.root = root
        self.contracts = contracts
        key = reader.text(root, "key", "person")
        thing = key if key in ENTITIES else ""
        self.scopes = Scopes(contracts, shared, thing=thing, is_published=is_published)

    def rule(self, version: str) -> Rule:
        """Return the rule as far as it can be read."""
        reader, root = self.reader, self.root
        identity = reader.text(root, "rule")
        if identity and not (_ID.fullmatch(identity) and len(identity) <= ID_LENGTH_MAX):
            hint = "write small-letters-and-dashes"
            if len(identity) > ID_LENGTH_MAX:
                hint = f"write at most {ID_LENGTH_MAX} characters"
            reader.add(root.pairs["rule"][1], "R114", f"'{identity[:120]}' is no name", hint)
        key = reader.text(root, "key", "person")
        if key != "person" and key not in ENTITIES:
            place = reader.child(root, "key") or root
            hint = nearest(key, ENTITIES) or "one of " + ", ".join(ENTITIES)
            reader.add(place, "R115", f"no kind of thing '{key}'", hint)
        pattern = parse_pattern(reader, root, self.scopes, self.contracts)
        absent, trigger = pattern.absent, pattern.trigger
        context = self._context()
        table, nodes = parse_table(reader, root, self.scopes, trigger=trigger)
        group = reader.text(root, "group")
        kind, limits = self._kind(nodes), self._limits()
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
            schedule=pattern.schedule,
            steps=pattern.steps,
            absent=absent,
            cancels=pattern.cancels,
            condition=parse_condition(reader, root, "if", self.scopes, trigger=trigger),
            repeat=reader.choice(root, "repeat", REPEATS, "restart" if absent else "keep-first"),
            actions=parse_actions(reader, root, nodes, self.scopes, trigger=trigger),
            table=table,
            limits=limits,
            group=group,
            quiet=reader.scalar(root, "quiet_hours", _quiet, 'write "22:00-08:00"'),
            holdout=reader.scalar(root, "holdout", share, "write a share, such as 10%") or 0.0,
            goal=self._goal(),
            guard=self._guard(trigger),
            scope=self._scope(),
            context=context,
            fresh_ms=reader.length(root, "fresh", HOUR_MS) or HOUR_MS,
            cases=() if self.scopes.is_published else parse_cases(reader, root, self.contracts),
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

    def _kind(self, nodes: Sequence[Node]) -> str:
        """The rule's kind; an action may say it too, as the first examples do."""
        kinds = {
            node.pairs["kind"][1].text
            for node in nodes
            if node.kind == "map" and "kind" in node.pairs
        }
        default = "service" if kinds == {"service"} else "marketing"
        only_cases = all(
            node.kind == "map" and {"case", "suppress", "event"} & node.pairs.keys()
            for node in nodes
        )
        return self.reader.choice(self.root, "kind", KINDS, "service" if only_cases else default)

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

    def _guard(self, trigger: str) -> Guard | None:
        reader, node = self.reader, self.reader.child(self.root, "guard")
        if node is None or not reader.keys(node, GUARD, ("same", "more_than", "within", "raise")):
            return None
        if self.scopes.thing:
            reader.add(node, "R147", "a guard counts customers, so it is of a rule about them")
        value, scope = reader.child(node, "same"), self.scopes.scope()
        same = (
            None
            if value is None
            else reader.expression(value, lambda text: compile_value(text, scope, trigger=trigger))
        )
        more_than = reader.whole(node, "more_than", 1, 1, CUSTOMERS_MAX)
        within = reader.length(node, "within") or HOUR_MS
        wait = reader.length(node, "wait") or GUARD_WAIT_MS
        case, listed = reader.text(node, "raise"), self.scopes.shared.catalogue.get("cases", ())
        if listed and case not in listed and "raise" in node.pairs:
            hint = nearest(case, listed) or "list it under cases: in the shared file"
            reader.add(node.pairs["raise"][1], "R141", f"there is no case '{case}'", hint)
        return None if same is None else Guard(same, more_than, within, wait, case)

    def _context(self) -> str:
        """Read `context: city`; conditions behind the steps may name `context.x` then."""
        reader, place = self.reader, self.reader.child(self.root, "context")
        if place is None:
            return ""
        if self.scopes.thing or "guard" in self.root.pairs:
            reader.add(place, "R149", "'context' is of a rule about customers, without a guard")
        kind = reader.choice(self.root, "context", CONTEXTS, CONTEXTS[0])
        self.scopes.see_context(kind)
        return kind

    def _scope(self) -> Scope | None:
        """Read `scope: {city: [..] or sets.NAME, share: 20%}`."""
        reader, node = self.reader, self.reader.child(self.root, "scope")
        if node is None or node.kind != "map":
            return None if node is None or reader.keys(node, ()) else Scope()
        known = [n for n, fact in self.scopes.profile.items() if fact.base == "string"]
        reader.keys(node, (*known, "share"))
        sets = {**self.contracts.sets, **self.scopes.shared.sets}
        facts: dict[str, frozenset[str]] = {}
        for name, (_, value) in node.pairs.items():
            if name == "share":
                continue
            words: set[str] = set()
            named = getattr(self.scopes.profile.get(name), "choices", None) or ""
            choices = () if self.scopes.is_published else sets.get(named, ())
            for item in reader.items(node, name):
                of = item.text.removeprefix("sets.")
                if of == item.text:
                    words.add(of)
                    if choices and of not in choices:
                        near = nearest(of, choices) or "one of " + ", ".join(choices)
                        reader.add(item, "E213", f'"{of}" is not one of {named}', near)
                elif of in sets:
                    words.update(sets[of])
                else:
                    reader.add(item, "E205", f"there is no set '{of}'", nearest(of, sets))
            if not words:
                hint = "such as [gold, diamond]"
                reader.add(value, "R105", f"'{name}' is a list of 1 to {SCOPE_MAX} texts", hint)
            facts[name] = frozenset(words)
        part = reader.scalar(node, "share", share, "write a share, such as 10%")
        return Scope(facts, 1.0 if part is None else part)

    def _goal(self) -> Goal | None:
        node = self.reader.child(self.root, "goal")
        if node is None or not self.reader.keys(node, ("event", "within"), ("event", "within")):
            return None
        known = "event" in node.pairs
        event = event_named(self.reader, node, "event", self.contracts) if known else ""
        return Goal(event, self.reader.length(node, "within") or HOUR_MS)


def _quiet(text: str) -> tuple[int, int] | None:
    start, _, end = text.partition("-")
    first, last = minutes_of_day(start.strip()), minutes_of_day(end.strip())
    return None if first is None or last is None or first == last else (first, last)
