"""Reads the values of one rule file's tree and collects every mistake, each at its place."""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from engine.rules.expression.types import ExpressionErrors
from engine.rules.text.problems import Problem
from engine.rules.text.source import Node
from engine.rules.text.values import LENGTH_HINT, length_ms, plain, plain_of

T = TypeVar("T")
# Mistakes that a character of the other keyboard explains.
_OF_FORM = frozenset(
    ("R101", "R105", "R110", "R111", "R112", "R113", "R114", "R123", "R125", "E231")
)


def nearest(name: str, known: Collection[str]) -> str:
    """Return the hint that names the known word nearest to a wrong one, '' when none is near."""
    near = get_close_matches(name, sorted(known), 1, 0.6)
    return f'did you mean "{near[0]}"?' if near else ""


class Reader:
    """The mistakes of one file so far, and readers for each kind of value."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []

    def add(
        self, node: Node, code: str, message: str, hint: str = "", *, level: str = "error"
    ) -> None:
        """Note a mistake at a node."""
        length = len(node.raw.split("\n")[0]) or len(node.text) or 1
        wide = [each for each in node.text if plain_of(each) is not None]
        if wide and level == "error" and code in _OF_FORM:
            hint = f"write {plain_of(wide[0])} for {wide[0]}"
        self.problems.append(
            Problem(self.path, node.line, node.column, length, code, message, hint, level)
        )

    def keys(self, node: Node, known: Collection[str], required: Collection[str] = ()) -> bool:
        """Check the keys of a map; False if it is none."""
        if node.kind != "map":
            self.add(node, "R105", f"want keys with values, got a {node.kind}")
            return False
        for name, (key, value) in node.pairs.items():
            if name not in known:
                # Of {en: this, and that} YAML makes a second key, which has no value.
                is_comma = value.kind == "text" and not value.text and not value.raw.strip()
                hint = nearest(name, known) or ("a text with a comma stands in quotes" * is_comma)
                self.add(key, "R101", f"unknown key '{name}'", hint)
        for name in required:
            pair = node.pairs.get(name)
            if pair is None or (pair[1].kind == "text" and not pair[1].text.strip()):
                place = Node("text", node.line, node.column) if pair is None else pair[0]
                self.add(place, "R102", f"'{name}' is missing")
        return True

    def child(self, node: Node, name: str) -> Node | None:
        """Return the value of a key, None if it is not there."""
        found = node.pairs.get(name) if node.kind == "map" else None
        return found[1] if found else None

    def text(self, node: Node, name: str, default: str = "") -> str:
        """Return a text."""
        value = self.child(node, name)
        if value is None:
            return default
        if value.kind != "text":
            self.add(value, "R105", f"'{name}' wants a text, got a {value.kind}")
            return default
        return value.text.strip()

    def choice(self, node: Node, name: str, known: Collection[str], default: str) -> str:
        """Return one of some words."""
        text = self.text(node, name, default)
        if text not in known:
            value = self.child(node, name)
            assert value is not None
            hint = nearest(text, known) or "one of " + ", ".join(known)
            self.add(value, "R111", f"'{text}' is no {name}", hint)
            return default
        return text

    def whole(self, node: Node, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number between two bounds."""
        value = self.child(node, name)
        if value is None:
            return default
        try:
            number = int(value.text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            message = f"'{value.text}' is no whole number of {least} to {most}"
            self.add(value, "R112", message)
            return default
        return number

    def length(self, node: Node, name: str, default: int | None = None) -> int | None:
        """Return a length of time in ms."""
        value = self.child(node, name)
        if value is None:
            return default
        found = length_ms(value.text.strip()) if value.kind == "text" else None
        if not found:
            self.add(value, "R110", f"'{value.text}' is not a length of time", LENGTH_HINT)
            return default
        return found

    def scalar(self, node: Node, name: str, read: Callable[[str], T | None], what: str) -> T | None:
        """Return what `read` makes of a text; `what` says what would be right."""
        value = self.child(node, name)
        if value is None:
            return None
        found = read(value.text.strip()) if value.kind == "text" else None
        if found is None:
            self.add(value, "R113", f"'{value.text}' cannot be read as {name}", what)
        return found

    def items(self, node: Node, name: str) -> Sequence[Node]:
        """Return the items of a list; a single text or map is a list of one."""
        value = self.child(node, name)
        if value is None:
            return []
        return value.items if value.kind == "list" else [value]

    def expression(self, node: Node, compile_: Callable[[str], T]) -> T | None:
        """Return a compiled expression; its mistakes get the places of the file."""
        try:
            return compile_(node.text)
        except ExpressionErrors as errors:
            for problem in errors.problems:
                line, column = node.place(problem.offset)
                self.problems.append(
                    Problem(
                        self.path,
                        line,
                        column,
                        problem.length,
                        problem.code,
                        problem.message,
                        problem.hint,
                    )
                )
            return None

    def data(self, node: Node) -> Any:
        """Return a node as plain values, as JSON would have them."""
        if node.kind == "map":
            return {name: self.data(value) for name, (_, value) in node.pairs.items()}
        if node.kind == "list":
            return [self.data(item) for item in node.items]
        return plain(node.text, node.style)
