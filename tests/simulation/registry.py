"""Who must be whom by the registrar's own log: a naive reading that shares no code with the engine.

It keeps plain sets of identifiers and knows IDENTITY.md's rules of claims, erasures and cuts by
heart. With orders of staff, who is whom depends on their place among the claims (G6), so the input
is that one log and not the events.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

CAPS = {"u": 1, "m": 1, "n": 1, "p": 5, "e": 5, "o": 5, "w": 5, "d": 20, "a": 20}
QUARANTINE = 5


@dataclass
class Registry:
    """People as sets of names; `pins`: parted once; `refused`: how often a name was."""

    person: dict[str, set[str]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)  # by an order of staff
    void: set[int] = field(default_factory=set)  # offsets of splits that part nobody

    def of(self, name: str) -> set[str]:
        """Return all names of the person of a name."""
        return self.person.setdefault(name, {name})

    def root(self, name: str) -> str:
        """Return the name that a person goes by: the lowest."""
        return min(each for each in self.of(name) if not each.startswith("-p"))

    def read(self, records: list[Any]) -> None:
        """Take in the registrar's records, each (source, number) once."""
        marks: dict[bytes, int] = {}
        for record in records:
            headers = dict(record.headers)
            if record.key != b"R":
                continue
            if "src" in headers:
                if int(headers["mseq"]) <= marks.get(headers["src"], 0):
                    continue
                marks[headers["src"]] = int(headers["mseq"])
            body = orjson.loads(record.value)
            if headers["kind"] == b"claim":
                for name in body["names"]:
                    self.claim(body["by"], name, body["ev"])
            elif headers["kind"] == b"erase":
                self.erase(body["name"])
            elif headers["kind"] == b"split":
                if not self.split(body["name"], body["ids"]):
                    self.void.add(record.offset)

    def claim(self, by: str, name: str, ev: int) -> None:
        """Join two persons, unless they are rivals."""
        a, b = self.of(by), self.of(name)
        if a is b or by in self.erased or name in self.erased:
            return
        level = clash(a, b)
        if level > ev or (ev == 0 and self.refused[name] >= QUARANTINE):
            if name[0] not in "0-" and len(b) > 1:
                self.refused[name] += 1
            return
        a |= b
        for each in b:
            self.person[each] = a

    def erase(self, name: str) -> None:
        """Nobody is this person any more."""
        self.touched |= self.of(name)
        self.erased |= self.of(name)

    def split(self, name: str, ids: list[str]) -> bool:
        """Part a person; False where nobody would leave, or nobody stay."""
        whole, root = self.of(name), self.root(name)
        born = {each for each in whole if each[0] != "-"}
        leaving = {each for each in born if (each in ids) != (root in ids)}
        level = int(root[1]) - 1 if root[0] == "-" else 9
        if name in self.erased or leaving in (set(), born) or level < 0:
            return False
        self.touched |= whole
        staying = whole - leaving
        if not any(each[0] == "-" for each in staying):
            staying.add("-p" + root[2:])
        new = {f"-{level}{min(leaving)[2:]}", *leaving}
        for half in (staying, new):
            self.touched |= half
            for each in half:
                self.person[each] = half
        return True


def clash(a: set[str], b: set[str]) -> int:
    """Return 2 for two who were parted, 1 for rivals, else 0."""
    if any(name[0] == "-" for name in a) and any(name[0] == "-" for name in b):
        return 2
    mine, theirs = (Counter(name[1] for name in each if name[0] != "-") for each in (a, b))
    return int(any(mine[type] + theirs[type] > CAPS[type] for type in mine.keys() & theirs.keys()))
