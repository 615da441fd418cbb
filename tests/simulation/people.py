"""Stories of who shows which identifiers, and who is whom by them: a plain union-find."""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from random import Random
from typing import Any

from engine.events.model import Event
from tests.simulation.registry import CAPS
from tests.simulation.world import TENANT

Script = list[tuple[str, Any]]


def an_event(number: int, ids: list[str], at: int, *, ev: int = 0) -> Event:
    """Return an event that names identifiers; its id depends on its number alone."""
    name = sha256(b"%d" % number).hexdigest()[:32]
    return Event(
        id=name,
        tenant=TENANT,
        source="sim",
        type="web.page_viewed",
        at=at,
        original_at=at,
        received_at=at,
        ids=sorted(set(ids)),
        ev=ev,
        data={},
    )


def a_story(
    random: Random, *, people: int, events: int, strays: float, now: int, trust: float = 0.0
) -> Script:
    """Return a script: people with several identifiers, seen a few at a time, some astray."""
    owned = []
    for person in range(people):
        letters = "up" + "m" * random.randint(0, 1)
        letters += "d" * random.randint(1, 3) + "a" * random.randint(1, 3)
        owned.append([_name(person, place, letter) for place, letter in enumerate(letters)])
    script: Script = []
    for number in range(events):
        mine = random.choice(owned)
        ids = random.sample(mine, random.randint(1, min(3, len(mine))))
        if random.random() < strays:
            ids.append(random.choice(random.choice(owned)))
        ev = int(random.random() < trust)
        script.append(("event", an_event(number, ids, now + number, ev=ev)))
        if random.random() < 0.5:
            script.append(("work", random.randint(1, 6)))
        if random.random() < 0.1:
            script.append(("tick", 1_000))
    return script


def _name(person: int, place: int, letter: str) -> str:
    strength = {"u": 0, "m": 0, "p": 1}.get(letter, 3)
    return f"{strength}{letter}{person:04d}{place}"


def owner_of(name: str) -> str:
    """Return whose an identifier is, in the story."""
    return name[2:6]


def rivals(names: Iterable[str]) -> bool:
    """Tell whether a set of identifiers has more values of a type than one person may."""
    born = [name for name in names if name[0] != "-"]
    return any(
        sum(name[1] == letter for name in born) > CAPS[letter]
        for letter in {name[1] for name in born}
    )


class Groups:
    """Union-find over names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        """Return the representative of a name's group."""
        while self._parent.setdefault(name, name) != name:
            name = self._parent[name]
        return name

    def join(self, a: str, b: str) -> None:
        """Make two groups one."""
        self._parent[self.root(a)] = self.root(b)

    def all(self) -> list[set[str]]:
        """Return the groups."""
        found: dict[str, set[str]] = defaultdict(set)
        for name in list(self._parent):
            found[self.root(name)].add(name)
        return list(found.values())
