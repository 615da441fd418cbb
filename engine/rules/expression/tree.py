"""The syntax of an expression as a tree: what was written, and where."""

from typing import Any

import msgspec


class Literal(msgspec.Struct, frozen=True, gc=False):
    """`kind`: int, double, string, bool, null or duration (then `value` is ms)."""

    kind: str
    value: Any
    start: int
    end: int
    height: int = 1


class Name(msgspec.Struct, frozen=True, gc=False):
    """One name with its place."""

    text: str
    start: int
    end: int


class Path(msgspec.Struct, frozen=True, gc=False):
    """`cart.category`: names with dots between."""

    parts: tuple[Name, ...]
    start: int
    end: int
    height: int = 1


class Items(msgspec.Struct, frozen=True, gc=False):
    """`[a, b]`."""

    items: tuple["Node", ...]
    start: int
    end: int
    height: int = 1


class Prefix(msgspec.Struct, frozen=True, gc=False):
    """`!x` or `-x`."""

    operator: str
    operand: "Node"
    start: int
    end: int
    height: int = 1


class Infix(msgspec.Struct, frozen=True, gc=False):
    """A comparison, `in` or arithmetic; `at` is the place of the operator."""

    operator: str
    left: "Node"
    right: "Node"
    at: int
    start: int
    end: int
    height: int = 1


class Logic(msgspec.Struct, frozen=True, gc=False):
    """`a && b && c` or `a || b || c`, flat."""

    operator: str
    operands: tuple["Node", ...]
    start: int
    end: int
    height: int = 1


class Ternary(msgspec.Struct, frozen=True, gc=False):
    """`condition ? yes : no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"
    start: int
    end: int
    height: int = 1


class Call(msgspec.Struct, frozen=True, gc=False):
    """`name(arguments)` or `target.name(arguments)`."""

    name: Name
    target: "Node | None"
    arguments: tuple["Node", ...]
    start: int
    end: int
    height: int = 1


Node = Literal | Path | Items | Prefix | Infix | Logic | Ternary | Call
