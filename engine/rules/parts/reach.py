"""What comes to the customers or things that a rule is about; for all else it waits for ever."""

from collections.abc import Iterator
from functools import lru_cache

from engine.events.contract import Contracts
from engine.rules.model import CONTEXTS, Rule
from engine.rules.movers import movers_of, reads_of
from engine.rules.parts.when import TRANSITIONS
from engine.rules.text.reader import Reader
from engine.rules.text.source import Node

OF_PERSONS = frozenset({"churn.band"})  # facts that are worked out for people only
UNREAD = ("rule", "title", "owner", "why", "tests")  # keys under which nothing is named


def check_reach(reader: Reader, root: Node, rule: Rule, contracts: Contracts) -> None:
    """Tell what never reaches this kind of actor: it would be waited for, or asked for, in vain."""
    reach = _Reach(reader, root, rule, contracts)
    for place, event in _events(reader, root):
        reach.event(event, place)
    for reads in reads_of(rule):
        for event in (*reads.columns, *reads.tallies):
            reach.event(event)
        for name in sorted(reads.profile):
            reach.fact(name)
        for name in sorted(reads.features):
            reach.feature(name)
    if rule.schedule is not None and rule.schedule.fact:
        (place,) = _named(root.pairs["when"][1], "date")
        reach.fact(rule.schedule.fact, place)
    if rule.scope is not None:
        for name in rule.scope.facts:
            reach.fact(name, root.pairs["scope"][1].pairs[name][0])
    if rule.key != "person":
        reach.channels()


class _Reach:
    def __init__(self, reader: Reader, root: Node, rule: Rule, contracts: Contracts) -> None:
        self.reader, self.root = reader, root
        self.rule, self.contracts = rule, contracts

    def comes(self, event: str) -> bool:
        """Tell whether an event type comes to the kind of actor that the rule is about."""
        contract = self.contracts.get(event)
        if contract is None:
            return True
        if self.rule.key == "person":
            return contract.key == "person"
        return contract.entity == self.rule.key

    def event(self, event: str, place: Node | None = None) -> None:
        if self.comes(event):
            return
        place = place or self.spot(f'"{event}"')
        if self.rule.key == "person":
            kind = self.contracts.by_name[event].key
            message = f"'{event}' happens to a {kind}, not to a customer"
            self.reader.add(place, "R134", message, f"write key: {kind}")
        else:
            names = [c.name for c in self.contracts.by_name.values() if self.comes(c.name)]
            hint = "these do: " + ", ".join(sorted(names)[:4]) if names else ""
            message = f"'{event}' does not name a {self.rule.key}"
            self.reader.add(place, "R134", message, hint)

    def fact(self, name: str, place: Node | None = None) -> None:
        """Tell a fact that nothing which comes to the actor can set."""
        types, is_person = _movers(name, self.contracts), self.rule.key == "person"
        if is_person or name not in OF_PERSONS:
            if not types or any(map(self.comes, types)):
                return
        hint, whose = "", "customer" if is_person else self.rule.key
        asked = {self.contracts.by_name[event].key for event in types or ()} & set(CONTEXTS)
        if is_person and asked:
            hint = f"add context: {min(asked)} and write context.{name}"
        place = place or self.spot(f"profile.{name}")
        self.reader.add(place, "E204", f"the profile of a {whose} has no '{name}'", hint)

    def feature(self, name: str) -> None:
        """Tell a score of a thing: by a shared condition, since elsewhere there is no such name."""
        if self.rule.key != "person":
            message = f"there is no feature '{name}' of a {self.rule.key}"
            self.reader.add(self.spot(f"features.{name}"), "E205", message)

    def channels(self) -> None:
        """Tell the channels for which a thing has no address, or no consent to give."""
        good = ("desk", "mail") if self.rule.kind == "service" else ("desk",)
        for node in _named(self.root.pairs["do"][1], "channels"):
            items = node.items if node.kind == "list" else [node]
            # One that works makes the rule work: the others are of no use, and do no harm.
            level = "warning" if any(item.text in good for item in items) else "error"
            for item in items:
                if item.text not in good:
                    message = f"a {self.rule.key} cannot be reached by '{item.text}'"
                    self.reader.add(item, "R152", message, "write channels: [desk]", level=level)

    def spot(self, words: str) -> Node:
        """Return the place of some words in the rule; the rule's key of what a shared name says."""
        for key, (_, value) in self.root.pairs.items():
            for node in () if key in UNREAD else _texts(value):
                if (at := node.text.find(words)) >= 0:
                    line, column = node.place(at)
                    return Node("text", line, column, words)
        return self.root.pairs.get("key", self.root.pairs["rule"])[1]


@lru_cache(maxsize=1_000)  # all rules ask for the same few facts
def _movers(name: str, contracts: Contracts) -> frozenset[str] | None:
    return movers_of((name,), contracts)


def _events(reader: Reader, root: Node) -> list[tuple[Node, str]]:
    """Return (where it stands, event type) of what steps, a silence and the goal name."""
    found = []
    for node in reader.items(root, "when"):
        for key in ("event", "not", "unless", *TRANSITIONS):
            value = reader.child(node, key)
            if value is not None:
                found.append((value, TRANSITIONS.get(key, value.text)))
        schedule = reader.child(node, "schedule")
        of = None if schedule is None else reader.child(schedule, "of")
        found += [] if of is None else [(of, of.text)]
    goal = reader.child(root, "goal")
    event = None if goal is None else reader.child(goal, "event")
    return found if event is None else [*found, (event, event.text)]


def _texts(node: Node) -> Iterator[Node]:
    if node.kind == "text":
        yield node
    for _, value in node.pairs.values():
        yield from _texts(value)
    for item in node.items:
        yield from _texts(item)


def _named(node: Node, name: str) -> Iterator[Node]:
    """Yield what stands under a key below a node, but among the fields of an action."""
    for key, (_, value) in node.pairs.items():
        if key == name:
            yield value
        elif key != "fields":
            yield from _named(value, name)
    for item in node.items:
        yield from _named(item, name)
