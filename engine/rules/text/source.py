"""A rule file as a tree of nodes that know their place; whoever reads a scalar decides its type.

YAML's own guesses are not made here: `on`, `no`, `21:00` and `1997-01-01` stay text, a repeated key
is a mistake, and so is whatever only YAML could mean (tags, anchors).
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.errors import RulesError
from engine.rules.text.problems import Problem

FILE_SIZE_MAX = 65_536
NODES_MAX = 5_000
DEPTH_MAX = 32


@dataclass(slots=True)
class Node:
    """One value with its place. `kind`: text, list or map; `style`: YAML's quote or block mark.

    `line`, `column` from 1. `raw`: the characters of the file that hold a text.
    """

    kind: str
    line: int
    column: int
    text: str = ""
    style: str = ""
    raw: str = ""
    items: "list[Node]" = field(default_factory=list)
    pairs: "dict[str, tuple[Node, Node]]" = field(default_factory=dict)

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
    if len(text.encode()) > FILE_SIZE_MAX:
        problem = Problem(path, 1, 1, 1, "R120", f"a rule file has at most {FILE_SIZE_MAX} bytes")
        raise RulesError(problem.message, problems=(problem,), where=path)
    try:
        composed = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        problem = _unreadable(path, text, error)
        raise RulesError(problem.message, problems=(problem,), where=path) from None
    except yaml.YAMLError as error:
        problem = Problem(path, 1, 1, 1, "R100", f"this is no text of YAML: {error}")
        raise RulesError(problem.message, problems=(problem,), where=path) from None
    builder = _Builder(path, text)
    root = builder.node(composed) if composed is not None else Node("map", 1, 1)
    return root, builder.problems


class _Loader(yaml.SafeLoader):
    """YAML of a bounded depth and without references: both only ever hide what a rule says."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node; the parser is recursive, so its depth must have an end."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.composer.ComposerError(
                None, None, "& and * at the start of a value are references", event.start_mark
            )
        if self._depth >= DEPTH_MAX:
            message = f"more than {DEPTH_MAX} levels inside one another"
            raise yaml.composer.ComposerError(None, None, message, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._text = text
        self._count = 0

    def node(self, composed: Any) -> Node:
        """Return our node of YAML's."""
        self._count += 1
        mark = composed.start_mark
        line, column = mark.line + 1, mark.column + 1
        if self._count > NODES_MAX:
            message = f"a rule file has at most {NODES_MAX} values"
            problem = Problem(self.path, line, column, 1, "R121", message)
            raise RulesError(message, problems=(problem,), where=self.path)
        if not composed.tag.startswith("tag:yaml.org,2002:"):
            self._add(mark, "R103", f"{composed.tag} is a tag of YAML", _QUOTE)
            # What was meant is checked all the same: it may have mistakes of its own.
            end = self._text.find("\n", mark.index)
            raw = self._text[mark.index : end if end >= 0 else None].rstrip()
            return Node("text", line, column, raw, "", raw)
        if isinstance(composed, yaml.ScalarNode):
            raw = self._text[mark.index : composed.end_mark.index]
            style = composed.style or ""
            return Node("text", line, column, composed.value, style, raw)
        if isinstance(composed, yaml.SequenceNode):
            return Node("list", line, column, items=[self.node(item) for item in composed.value])
        found = Node("map", line, column)
        for key, value in composed.value:
            name = self.node(key)
            if name.text in found.pairs:
                self._add(key.start_mark, "R104", f"key '{name.text}' stands here twice")
            found.pairs[name.text] = (name, self.node(value))
        return found

    def _add(self, mark: Any, code: str, message: str, hint: str = "") -> None:
        self.problems.append(
            Problem(self.path, mark.line + 1, mark.column + 1, 1, code, message, hint)
        )


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
    looks_like_condition = any(key in shown for key in ("where:", "if:", "{{"))
    hint = _QUOTE if looks_like_condition else ""
    if "\t" in shown:
        hint = "indent with spaces, not tabs"
    return Problem(path, line, column, 1, "R100", str(error.problem), hint)
