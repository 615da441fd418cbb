"""A rule file as a tree of nodes that know their place; whoever reads a scalar decides its type.

YAML's own guesses are not made here: `on`, `no`, `21:00` and `1997-01-01` stay text, a repeated key
is a mistake, and so is whatever only YAML could mean (tags, anchors).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import yaml

from engine.errors import RulesError
from engine.rules.text.problems import Problem

FILE_SIZE_MAX = 65_536
NODES_MAX = 5_000
DEPTH_MAX = 32
_QUICK: Any = getattr(yaml, "CSafeLoader", None)  # libyaml: not every build of PyYAML has it
# What libyaml accepts or counts otherwise than Python's parser (tests/properties/test_rule_source).
_ODD = "\t\r\x85\u2028\u2029\ufeff"
_SAVE = "save it as UTF-8"
_ODD_BLOCK = re.compile("[|>][-+0-9]*#")


class Node(msgspec.Struct, frozen=True, gc=False):
    """One value with its place. `kind`: text, list or map; `style`: YAML's quote or block mark.

    `line`, `column` from 1. `raw`: the characters of the file that hold a text.
    """

    kind: str
    line: int
    column: int
    text: str = ""
    style: str = ""
    raw: str = ""
    items: Sequence["Node"] = ()
    pairs: Mapping[str, tuple["Node", "Node"]] = MappingProxyType({})

    def place(self, offset: int) -> tuple[int, int]:
        """Return (line, column) in the file of a character of `text`, whatever the quoting."""
        line, column, at = self.line, self.column, 0
        raw = self.raw
        for index in range(min(offset + 1, len(self.text))):
            wanted = self.text[index]
            while at < len(raw) and not _same(raw[at], wanted):
                line, column = _after(raw[at], line, column)
                at += 1
            if index == offset or at >= len(raw):
                return line, column
            line, column = _after(raw[at], line, column)
            at += 1
        return line, column


def _same(have: str, wanted: str) -> bool:
    return have == wanted or (have.isspace() and wanted.isspace())


def _after(character: str, line: int, column: int) -> tuple[int, int]:
    return (line + 1, 1) if character == "\n" else (line, column + 1)


def parse_source(path: str, text: str) -> tuple[Node, list[Problem]]:
    """Return (the tree of a file, repeated keys and what only YAML could mean).

    Raises
    ------
    RulesError
        `problems` has the one place where it stops being YAML.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:  # bytes that are no UTF-8, as files are read
        line, column = _place(text, error.start)
        problem = Problem(path, line, column, 1, "R107", "this file is no UTF-8", _SAVE)
        raise RulesError(problem.message, problems=(problem,), where=path) from None
    if size > FILE_SIZE_MAX:
        problem = Problem(path, 1, 1, 1, "R120", f"a rule file has at most {FILE_SIZE_MAX} bytes")
        raise RulesError(problem.message, problems=(problem,), where=path)
    if _QUICK is not None and not _is_odd(text):
        try:
            return _Quick(path, text, _QUICK(text)).document()
        except yaml.YAMLError:
            return _slowly(path, text)  # it says what is wrong in the same words everywhere
    return _slowly(path, text)


def _is_odd(text: str) -> bool:
    return any(odd in text for odd in _ODD) or ("#" in text and bool(_ODD_BLOCK.search(text)))


def _slowly(path: str, text: str) -> tuple[Node, list[Problem]]:
    try:
        return _Builder(path, text, yaml.SafeLoader(text)).document()
    except yaml.MarkedYAMLError as error:
        problem = _unreadable(path, text, error)
        raise RulesError(problem.message, problems=(problem,), where=path) from None
    except yaml.reader.ReaderError as error:
        line, column = _place(text, error.position)
        message = f"the character U+{ord(text[error.position]):04X} cannot stand here"
        problem = Problem(path, line, column, 1, "R100", message, "delete it")
        raise RulesError(problem.message, problems=(problem,), where=path) from None
    except yaml.YAMLError as error:
        problem = Problem(path, 1, 1, 1, "R100", f"this is no text of YAML: {error}")
        raise RulesError(problem.message, problems=(problem,), where=path) from None


def _place(text: str, index: int) -> tuple[int, int]:
    """Return (line, column) of a character, both from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


class _Builder:
    """Our tree of the events of one of YAML's parsers."""

    def __init__(self, path: str, text: str, parser: Any) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._text = text
        self._next = parser.get_event
        self._count = 0

    def document(self) -> tuple[Node, list[Problem]]:
        """Return (the tree of the only document, its problems); of an empty file an empty map."""
        self._next()
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            return Node("map", 1, 1), self.problems
        root = self.node(self._next(), 0)
        self._next()
        last = self._next()
        if not isinstance(last, yaml.StreamEndEvent):
            raise _refused("another document begins here; a rule file holds one", last)
        return root, self.problems

    def node(self, event: Any, depth: int) -> Node:
        """Return the node that begins with an event."""
        self.admit(event, depth)
        self._count += 1
        mark, end = event.start_mark, event.end_mark
        line, column = mark.line + 1, mark.column + 1
        if self._count > NODES_MAX:
            message = f"a rule file has at most {NODES_MAX} values"
            problem = Problem(self.path, line, column, 1, "R121", message)
            raise RulesError(message, problems=(problem,), where=self.path)
        if event.tag and event.tag != "!" and not event.tag.startswith("tag:yaml.org,2002:"):
            return self.tagged(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            raw = self._text[mark.index : end.index]
            return Node("text", line, column, event.value, event.style or "", raw)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self.node(item, depth + 1))
            return Node("list", line, column, items=items)
        pairs: dict[str, tuple[Node, Node]] = {}
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            name = self.node(key, depth + 1)
            if name.text in pairs:
                self._add(key.start_mark, "R104", f"key '{name.text}' stands here twice")
            pairs[name.text] = (name, self.node(self._next(), depth + 1))
        return Node("map", line, column, pairs=pairs)

    def tagged(self, event: Any, depth: int) -> Node:
        """Return the line of a tag: what was meant is checked all the same, and may be wrong."""
        mark = event.start_mark
        self._add(mark, "R103", f"{event.tag} is a tag of YAML", _QUOTE)
        end = self._text.find("\n", mark.index)
        raw = self._text[mark.index : end if end >= 0 else None].rstrip()
        inside = int(isinstance(event, yaml.CollectionStartEvent))
        while inside:
            each = self._next()
            if isinstance(each, yaml.CollectionEndEvent):
                inside -= 1
                continue
            self.admit(each, depth + inside)
            inside += isinstance(each, yaml.CollectionStartEvent)
        return Node("text", mark.line + 1, mark.column + 1, raw, "", raw)

    def admit(self, event: Any, depth: int) -> None:
        """Refuse what would only ever hide what a rule says: references, and depth without end."""
        if getattr(event, "anchor", None):  # an alias has one too
            raise _refused("& and * at the start of a value are references", event)
        if depth >= DEPTH_MAX:
            raise _refused(f"more than {DEPTH_MAX} levels inside one another", event)

    def _add(self, mark: Any, code: str, message: str, hint: str = "") -> None:
        self.problems.append(
            Problem(self.path, mark.line + 1, mark.column + 1, 1, code, message, hint)
        )


class _Quick(_Builder):
    """The same of libyaml's events, a twentieth of the work; it gives up where the two differ.

    It gives up at whatever is refused too: the other says so. Python spends longer on a call than
    libyaml on an event, so what is there of texts and keys stands in one function.
    """

    def node(self, event: Any, depth: int) -> Node:
        """Return the node that begins with an event."""
        self._count += 1
        if event.anchor or event.tag or self._count > NODES_MAX or depth >= DEPTH_MAX:
            raise yaml.YAMLError  # an alias has an anchor too
        kind, mark = event.__class__, event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if kind is yaml.ScalarEvent:
            text, style = event.value, event.style or ""
            if not style and (not text or "?" in text):
                raise yaml.YAMLError
            raw = self._text[mark.index : event.end_mark.index]
            return Node("text", line, column, text, style, raw)
        following, node = self._next, self.node
        if kind is yaml.SequenceStartEvent:
            items = []
            while (item := following()).__class__ is not yaml.SequenceEndEvent:
                items.append(node(item, depth + 1))
            return Node("list", line, column, items=items)
        pairs: dict[str, tuple[Node, Node]] = {}
        while (key := following()).__class__ is not yaml.MappingEndEvent:
            name = node(key, depth + 1)
            if name.text in pairs:
                self._add(key.start_mark, "R104", f"key '{name.text}' stands here twice")
            pairs[name.text] = name, node(following(), depth + 1)
        return Node("map", line, column, pairs=pairs)


def _refused(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, event.start_mark)


_WIDE_KEY = re.compile(r"\s*(?:-\s*)?[A-Za-z_.\-]+：")
_QUOTE = "put the condition after | on a line of its own, or in quotes"


def _unreadable(path: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    for number, each in enumerate(text.splitlines()[:line], 1):
        if found := _WIDE_KEY.match(each):  # YAML goes on for a while before it stumbles
            message = "'：' is a full-width character"
            hint = "write : and a space behind it"
            return Problem(path, number, found.end(), 1, "R106", message, hint)
    shown = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    looks_like_condition = any(sign in shown for sign in ("where:", "if:", "{{", "&&", "||"))
    hint = _QUOTE if looks_like_condition else ""
    if str(error.problem).endswith("start>'"):
        hint = "indent the keys of one step alike"
    if "\t" in shown:
        hint = "indent with spaces, not tabs"
    return Problem(path, line, column, 1, "R100", str(error.problem), hint)
