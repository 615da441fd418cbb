"""The syntax of an expression as a tree: what was written, and where."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """`kind`: int, double, string, bool, null or duration (then `value` is ms)."""

    kind: str
    value: Any
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Name:
    """One name with its place."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Path:
    """`cart.category`: names with dots between."""

    parts: tuple[Name, ...]
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    items: tuple["Node", ...]
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Prefix:
    """`!x` or `-x`."""

    operator: str
    operand: "Node"
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Infix:
    """A comparison, `in` or arithmetic; `at` is the place of the operator."""

    operator: str
    left: "Node"
    right: "Node"
    at: int
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Logic:
    """`a && b && c` or `a || b || c`, flat."""

    operator: str
    operands: tuple["Node", ...]
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Ternary:
    """`condition ? yes : no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"
    start: int
    end: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)` or `target.name(arguments)`."""

    name: Name
    target: "Node | None"
    arguments: tuple["Node", ...]
    start: int
    end: int
    height: int = 1


Node = Literal | Path | Items | Prefix | Infix | Logic | Ternary | Call
