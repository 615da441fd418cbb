"""The registrar of a tenant: alone decides which identifiers are one person (IDENTITY.md).

Its entries: a pointer to a root (str), '' for an erased identifier, or a Root. An identifier
without an entry is a person of its own. A union re-points the loser's members: depth is always 1.
"""

from collections.abc import MutableMapping
from typing import NamedTuple

import msgspec

from engine.clock import DAY_MS
from engine.events.ids import CAPS

ADDRESS = "R"  # of the registrar, and what its partition is computed from
# An erased identifier stays known as such until no record about it can come any more: retention of
# `channel.events` (7 d) and the horizon of the ring (24 h). Then it may begin anew.
ERASED_MS = 8 * DAY_MS
PINNED = "-"  # begins a member that a cut has left: two persons that have one are never joined
PIN = "-p"  # ... on the side that kept its name: a member without a node
LEVEL_MAX = 9  # a person who was cut off is `-9` + hash; who is cut off from that one, `-8` + hash
REFUSALS_MAX = 5  # then a weak identifier is in quarantine (WIRE.md, Ids: N)


class Root(msgspec.Struct, array_like=True):
    """A person at the registrar: all members, refusals per weak member."""

    members: list[str]
    refusals: dict[str, int] = {}


Entry = Root | str | None
Entries = MutableMapping[str, Entry]  # by birth id; must hold each name that a claim can reach


class Joined(NamedTuple):
    """Two persons are one: `loser` becomes a signpost to `winner`."""

    winner: str
    loser: str
    forced: bool
    shared: bool


class Refused(NamedTuple):
    """`name` is not joined; `hard`: it was erased; `quarantined`: it has just reached the limit."""

    name: str
    hard: bool
    quarantined: bool


class Erased(NamedTuple):
    """A person is erased: all `members` that may have a node; `cut`: it was once cut in two."""

    members: list[str]
    cut: bool


class Cut(NamedTuple):
    """`ids` have left the person of `root`; who they are now has the new name `name`."""

    root: str
    name: str
    ids: list[str]


Verdict = Joined | Refused | None


def find(entries: Entries, name: str) -> str:
    """Return the root of an identifier, '' if it was erased."""
    entry = entries[name]
    return entry if isinstance(entry, str) else name


def clash(a: list[str], b: list[str]) -> int:
    """Return 0 (may join), 1 (rivals: only trust joins them) or 2 (pinned apart by staff)."""
    if _pinned(a) and _pinned(b):
        return 2
    for letter in _letters(a) & _letters(b):
        count = sum(name[1] == letter and name[0] != PINNED for name in (*a, *b))
        if count > CAPS.get(letter, 1):
            return 1
    return 0


def claim(entries: Entries, by: str, name: str, ev: int) -> Verdict:
    """Decide whether the person at `by` and the person of `name` are one; change the entries.

    Returns None when there is nothing to say: they are one already, or the claimant was erased.
    """
    a, b = find(entries, by), find(entries, name)
    if a == b or not a:
        return None
    if not b:
        return Refused(name, hard=True, quarantined=False)
    mine, theirs = _root(entries, a), _root(entries, b)
    level = clash(mine.members, theirs.members)
    quarantined = ev == 0 and theirs.refusals.get(name, 0) >= REFUSALS_MAX
    if level > ev or quarantined:
        return _refuse(entries, theirs, b, name)
    winner, loser = (a, b) if a < b else (b, a)
    return _join(entries, winner, loser, forced=level == 1)


def erase(entries: Entries, name: str) -> Erased | None:
    """Erase the person of a name: a null mark on every member; None if it is erased already."""
    root = find(entries, name)
    if not root:
        return None
    members = _root(entries, root).members
    for member in members:
        entries[member] = ""
    return Erased(
        [member for member in members if not member.startswith(PIN)],
        cut=_pinned(members),
    )


def cut(entries: Entries, name: str, ids: list[str]) -> Cut | None:
    """Part `ids` from the rest of the person of `name`; the half without the root's name leaves.

    Returns None when nothing would leave, or nothing would stay, or all levels are used up.
    """
    root = find(entries, name)
    if not root:
        return None
    person = _root(entries, root)
    born = [member for member in person.members if member[0] != PINNED]
    leaving = [member for member in born if (member in ids) != (root in ids)]
    level = int(root[1]) - 1 if root[0] == PINNED else LEVEL_MAX
    if not leaving or len(leaving) == len(born) or level < 0:
        return None
    # The hash of an identifier that leaves: free at this level, since it has left only once.
    new = f"{PINNED}{level}{leaving[0][2:]}"
    staying = [member for member in person.members if member not in leaving]
    if not _pinned(staying):
        pin = PIN + root[2:]
        staying.append(pin)
        entries[pin] = root
    for member in leaving:
        entries[member] = new
    counts = person.refusals
    entries[new] = Root([new, *leaving], {x: n for x, n in counts.items() if x in leaving})
    entries[root] = Root(sorted(staying), {x: n for x, n in counts.items() if x in staying})
    return Cut(root, new, leaving)


def forget(entries: Entries, name: str) -> bool:
    """Take a null mark away; False when there is none."""
    if entries[name] != "":
        return False
    entries[name] = None
    return True


def _pinned(members: list[str]) -> bool:
    return any(name[0] == PINNED for name in members)


def _letters(members: list[str]) -> set[str]:
    return {name[1] for name in members if name[0] != PINNED}


def _root(entries: Entries, name: str) -> Root:
    entry = entries[name]
    assert not isinstance(entry, str), "a root is no pointer: depth is 1"
    return entry if entry is not None else Root(members=[name])


def _refuse(entries: Entries, theirs: Root, root: str, name: str) -> Refused:
    weak = name[0] not in "0-"
    if not weak or len(theirs.members) == 1:
        return Refused(name, hard=False, quarantined=False)
    count = theirs.refusals.get(name, 0) + 1
    theirs.refusals[name] = min(count, REFUSALS_MAX + 1)
    entries[root] = theirs
    return Refused(name, hard=False, quarantined=count == REFUSALS_MAX)


def _join(entries: Entries, winner: str, loser: str, *, forced: bool) -> Joined:
    kept, gone = _root(entries, winner), _root(entries, loser)
    for member in gone.members:
        entries[member] = winner
    kept.members = sorted({*kept.members, *gone.members})
    for name, count in gone.refusals.items():
        kept.refusals[name] = kept.refusals.get(name, 0) + count
    entries[winner] = kept
    shared = gone.refusals.get(loser, 0) >= REFUSALS_MAX
    return Joined(winner, loser, forced=forced, shared=shared)
