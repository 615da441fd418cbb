"""What rule files share: named conditions, sets, segments, and the catalogue of what may be done.

A file without `rule:` that has one of KEYS. A name stands in one file only: nothing overrides.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.events.contract import Contracts
from engine.rules.expression.compile import Condition, compile_condition
from engine.rules.model import Segment
from engine.rules.scopes import Scopes
from engine.rules.text.problems import Problem
from engine.rules.text.reader import Reader
from engine.rules.text.source import Node, parse_source

CATALOGUE = ("offers", "messages", "cases")
KEYS = ("sets", "conditions", "segments", *CATALOGUE)
COSTS = ("currency", "channels")  # beside a list of offers: engine/rules/offers.py
CONDITION = ("if", "title")
SEGMENT = ("if", "title", "daily")
DAILY = ("never", "members", "everybody")
_IS_RULE = re.compile(r"^rule[ \t]*:", re.MULTILINE)
_IS_SHARED = re.compile(rf"^(?:{'|'.join(KEYS)})[ \t]*:", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_USED = re.compile(r"\b(?:conditions|sets)\.([a-z][a-z0-9_]*)")
MEMBERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Shared:
    """What is shared. `catalogue`: offers, messages, cases -> their names, where they are listed.

    `texts`: name of a condition or set -> what it is made of, for the versions of rules.
    """

    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    segments: Mapping[str, Segment] = field(default_factory=dict)
    catalogue: Mapping[str, frozenset[str]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def used(self, text: str) -> str:
        """Return what a text's shared names are made of, also through one another."""
        if not self.texts:
            return ""
        found: dict[str, str] = {}
        waiting = _USED.findall(text)
        while waiting:
            name = waiting.pop()
            if name in self.texts and name not in found:
                found[name] = self.texts[name]
                waiting += _USED.findall(found[name])
        return "".join(f"\0{name}\0{found[name]}" for name in sorted(found))


NOTHING = Shared()


def is_shared(text: str) -> bool:
    """Tell whether a file holds what rules share, and not a rule."""
    return not _IS_RULE.search(text) and bool(_IS_SHARED.search(text))


def parse_shared(
    texts: Mapping[str, str],
    contracts: Contracts,
    problems: list[Problem],
    *,
    is_published: bool = False,
) -> Shared:
    """Return what some files share, by path; their mistakes go to `problems`.

    Raises
    ------
    RulesError
        If a text is no YAML at all.
    """
    files = _Files(contracts, is_published=is_published)
    for path, text in sorted(texts.items()):
        root, found = parse_source(path, text)
        reader = Reader(path)
        reader.problems += found
        if reader.keys(root, (*KEYS, *COSTS)):
            files.read(reader, root)
        files.readers.append(reader)
    shared = files.shared()
    for reader in files.readers:
        problems += reader.problems
    return shared


class _Files:
    """The files read so far; conditions are compiled when all names are known."""

    def __init__(self, contracts: Contracts, *, is_published: bool) -> None:
        self.contracts = contracts
        self.is_published = is_published
        self.readers: list[Reader] = []
        self.sets: dict[str, tuple[str, ...]] = {}
        self.catalogue: dict[str, frozenset[str]] = {}
        self.nodes: dict[str, tuple[Reader, Node]] = {}
        self.segments: dict[str, tuple[Reader, Node]] = {}
        self.done: dict[str, Condition] = {}
        self.open: list[str] = []

    def read(self, reader: Reader, root: Node) -> None:
        for section in KEYS:
            node = reader.child(root, section)
            if node is None:
                continue
            if section in CATALOGUE:
                self.listed(reader, section, node)
                continue
            if node.kind != "map":
                reader.add(node, "R105", f"want keys with values, got a {node.kind}")
                continue
            for name, (key, value) in node.pairs.items():
                if not _NAME.fullmatch(name):
                    hint = "write small_letters_and_underscores"
                    reader.add(key, "R114", f"'{name}' is no name", hint)
                elif self.is_taken(section, name):
                    hint = "nothing overrides another: give it another name"
                    reader.add(key, "R128", f"'{name}' stands here twice", hint)
                elif section == "sets":
                    self.set(reader, name, value)
                else:
                    (self.nodes if section == "conditions" else self.segments)[name] = reader, value

    def is_taken(self, section: str, name: str) -> bool:
        if section == "sets":
            return name in self.sets or name in self.contracts.sets
        return name in (self.nodes if section == "conditions" else self.segments)

    def set(self, reader: Reader, name: str, value: Node) -> None:
        members = tuple(item.text for item in value.items if item.kind == "text")
        if value.kind != "list" or not members or len(members) > MEMBERS_MAX:
            message = f"'{name}' is a list of 1 to {MEMBERS_MAX} texts"
            reader.add(value, "R105", message, "such as [gold, diamond]")
            return
        self.sets[name] = members

    def listed(self, reader: Reader, section: str, node: Node) -> None:
        """Read a list of names, or a map of names with whatever the house notes beside them."""
        names = list(node.pairs) if node.kind == "map" else [item.text for item in node.items]
        self.catalogue[section] = self.catalogue.get(section, frozenset()) | frozenset(names)

    def shared(self) -> Shared:
        # The plain ones first: then a slip of the pen finds the name that was meant.
        for name in sorted(self.nodes, key=self.names_another):
            self.condition(name)
        segments = {
            name: self.segment(reader, name, node) for name, (reader, node) in self.segments.items()
        }
        texts = {name: "\0".join(members) for name, members in self.sets.items()}
        texts |= {name: condition.text for name, condition in self.done.items()}
        return Shared(self.sets, self.done, segments, self.catalogue, texts)

    def names_another(self, name: str) -> bool:
        return "conditions." in _text(self.nodes[name][1])

    def condition(self, name: str) -> None:
        """Compile a named condition, those that it names before it."""
        if name in self.done:
            return
        reader, node = self.nodes[name]
        if name in self.open:
            circle = " -> ".join([*self.open[self.open.index(name) :], name])
            reader.add(node, "R142", f"conditions name one another in a circle: {circle}")
            for each in self.open[self.open.index(name) :]:
                self.done[each] = self.unread()
            return
        self.open.append(name)
        body = _body(reader, node, CONDITION)
        for other in _USED.findall(body.text if body is not None else ""):
            if other in self.nodes:
                self.condition(other)
        self.open.pop()
        if name not in self.done:
            found = None if body is None else self.compiled(reader, body)
            self.done[name] = self.unread() if found is None else found

    def segment(self, reader: Reader, name: str, node: Node) -> Segment:
        body = _body(reader, node, SEGMENT)
        found = None if body is None else self.compiled(reader, body)
        found = self.unread() if found is None else found
        daily = reader.choice(node, "daily", DAILY, "never") if node.kind == "map" else "never"
        return Segment(name, _title(reader, node, name), found, daily)

    def unread(self) -> Condition:
        """Stand for a condition with a mistake: it is told once, not by all that name it."""
        return compile_condition("true", Scopes(self.contracts, Shared()).scope(), trigger="")

    def compiled(self, reader: Reader, body: Node) -> Condition | None:
        known: Any = Shared(self.sets, self.done)
        scope = Scopes(self.contracts, known, is_published=self.is_published).scope()
        return reader.expression(body, lambda text: compile_condition(text, scope, trigger=""))


def _text(node: Node) -> str:
    body = node.pairs.get("if", (node, node))[1] if node.kind == "map" else node
    return body.text


def _body(reader: Reader, node: Node, keys: tuple[str, ...]) -> Node | None:
    """Return the condition of an entry: the entry itself, or what stands under `if`."""
    if node.kind == "text":
        return node
    return reader.child(node, "if") if reader.keys(node, keys, ("if",)) else None


def _title(reader: Reader, node: Node, name: str) -> dict[str, str]:
    title = reader.child(node, "title")
    if title is not None and title.kind == "map":
        return {lang: value.text for lang, (_, value) in title.pairs.items()}
    text = name if title is None else title.text
    return {"en": text, "zh": text}
