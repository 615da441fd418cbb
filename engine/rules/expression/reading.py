"""Code that reads fields, facts and columns, and the names that it uses for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.profile.calendar import PERIODS, elapsed
from engine.profile.logs import exact, pace, windows
from engine.profile.things import tally
from engine.rules.expression import values
from engine.rules.expression.meaning import Read

STEPS_MAX = 3_000  # of one function: a ternary in a ternary doubles its code

_WINDOWS = {
    "count": windows.count,
    "count_word": windows.count_word,
    "reaches": pace.reaches,
    "sum": windows.total,
    "avg": windows.mean,
    "min": windows.least,
    "max": windows.most,
    "distinct": windows.distinct,
    "median": windows.percentile,
    "percentile": windows.percentile,
    "first": windows.first,
    "last": windows.last,
    "age": windows.age,
    "rate": pace.rate,
}
CALLED: dict[str, Any] = {  # the globals of all functions
    "__builtins__": {},
    **{f"window_{name}": function for name, function in _WINDOWS.items()},
    **{f"read_{name}": function for name, function in values.READERS.items()},
    **{f"elapsed_{period}": elapsed(period) for period in PERIODS},
    **{f"days_{period}": tally.days_of(period) for period in PERIODS},
    "tally_count": tally.count,
    "tally_sum": tally.total,
    "tally_avg": tally.mean,
    "tally_distinct": tally.distinct,
    "tally_median": tally.percentile,
    "tally_percentile": tally.percentile,
    "trait": values.trait,
    "added": values.added,
    "subtracted": values.subtracted,
    "multiplied": values.multiplied,
    "ratio": values.ratio,
    "quotient": values.quotient,
    "remainder": values.remainder,
    "to_int": values.to_int,
    "to_double": values.to_double,
    "to_string": values.to_string,
    "major": values.major,
    "whole": values.whole,
    "numbers": exact.numbers,
    "codes": exact.codes,
    "code_of": exact.code_of,
    "empty": values.EMPTY,
    "unset": object(),
    "caught": values.CAUGHT,
    "len": len,
    "range": range,
    "str": str,
}


class TooLarge(Exception):
    """The code of one function would pass STEPS_MAX."""


class Known(NamedTuple):
    """A value: `code` may be run, and has it, once all `guards` were True in this order."""

    guards: tuple[str, ...]
    code: str


@dataclass(slots=True)
class Rows:
    """The loop over the rows of one aggregate: what is read once before it."""

    prelude: list[str] = field(default_factory=list)
    names: dict[tuple[str, str], str] = field(default_factory=dict)


def joined(parts: tuple[str, ...] | list[str], word: str = "and") -> str:
    """Return conditions as one in brackets, `True` for none.

    >>> joined(["a", "b"])
    '(a and b)'
    """
    if not parts:
        return "True"
    return parts[0] if len(parts) == 1 else "(" + f" {word} ".join(parts) + ")"


class Reading:
    """The names of one function's code; `names` is what its globals stand for.

    `alone`: the function is of one event's data. `shares`: its conditions share aggregates, and
    `shared` has the names of what they gave.
    """

    def __init__(self, form: str, *, alone: bool = False, shares: bool = False) -> None:
        self.careful = form == "careful"
        self.parameters = "data, actor, at" if alone else "events, actor, at"
        self.checks = self.careful  # does a read check its type
        self.names: dict[str, Any] = {}
        self.constants: dict[tuple[type, Any], str] = {}
        self.aliases: dict[str, str] = {}
        self.functions: list[str] = []
        self.alone = alone
        self.shared: dict[str, str] | None = {} if shares else None
        self.rows: Rows | None = None
        self.temporaries = 0
        self.steps = 0

    @contextmanager
    def checking(self, needed: bool) -> Iterator[None]:
        """Let reads check their types for a while, where it is needed."""
        before, self.checks = self.checks, self.checks or needed
        yield
        self.checks = before

    def step(self) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise TooLarge

    def temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries}"

    def checked(self, code: str) -> Known:
        """Return as known what is None where it is unknown."""
        name = self.temporary()
        return Known((f"({name} := {code}) is not None",), name)

    def named(self, known: Known) -> Known:
        """Return a value whose code may be run twice for the price of one."""
        if known.code.isidentifier() or known.code.lstrip("-").isdigit():
            return known
        checked = self.checked(known.code)
        return Known((*known.guards, *checked.guards), checked.code)

    def constant(self, value: Any) -> str:
        if value is None or type(value) is bool:
            return repr(value)
        if type(value) in (int, float) and self.alone:  # nobody shares such code
            return f"({value!r})" if value < 0 else repr(value)
        key = (type(value), value)
        if key not in self.constants:
            self.constants[key] = f"k{len(self.constants)}"
            self.names[self.constants[key]] = value
        return self.constants[key]

    def raw(self, node: Read) -> str:
        """Return code that reads a field of an event, the profile or the features, untyped."""
        name = self.constant(node.name)
        if node.source == "event":
            return f"{self.event(node.alias)}.get({name})"
        if node.source == "feature":
            return f"actor.scores.get({name})"
        if node.reader is None:
            return f"trait(actor, {name})"
        reader = f"read_{len(self.names)}"
        self.names[reader] = node.reader
        return f"{reader}(actor, at)"

    def event(self, alias: str) -> str:
        """Return the name of a step's event; inside of the row loop it is read where it is used."""
        if self.alone:
            return "data"
        key = self.constant(alias)
        code = f"(events.get({key}) or empty)" if self.careful else f"events[{key}]"
        if self.rows is not None:
            return code
        return self.aliases.setdefault(code, f"e{len(self.aliases)}")

    def read(self, node: Read) -> Known:
        if node.source == "it":
            return self.read_column(node)
        code = self.raw(node)
        if self.checks:
            code = f"read_{node.type.base}({code})"
        if self.rows is not None:
            name = self.once("h", code)
            return Known((f"{name} is not None",), name)
        if node.source == "profile" and node.reader is None and not self.checks:
            found = self.temporary()
            get = f"actor.traits.get({self.constant(node.name)})"
            return Known((f"({found} := {get}) is not None",), f"{found}.value")
        return self.checked(code)

    def read_column(self, node: Read) -> Known:
        column, value = self.column(node), self.temporary()
        if node.type.base == "string":
            book = self.once("b", f"(log.book or empty).get({self.constant(node.name)})")
            return Known((f"({value} := {column}[row])",), f"{book}[{value} - 1]")
        return Known((f"({value} := {column}[row]) == {value}",), value)

    def column(self, node: Read) -> str:
        kind = "codes" if node.type.base == "string" else "numbers"
        return self.once("c", f"{kind}(log, {self.constant(node.name)})")

    def once(self, letter: str, code: str) -> str:
        """Return the name of what is read once before the loop over rows."""
        assert self.rows is not None, "only inside of an aggregate"
        name = self.rows.names.get((letter, code))
        if name is None:
            name = self.rows.names[letter, code] = f"{letter}{len(self.rows.names)}"
            self.rows.prelude.append(f"{name} = {code}")
        return name
