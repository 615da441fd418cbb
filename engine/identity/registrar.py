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
PIN = "-p"  # begins a member without a node: this person is not joined with who was cut off
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


Verdict = Joined | Refused | None


def find(entries: Entries, name: str) -> str:
    """Return the root of an identifier, '' if it was erased."""
    entry = entries[name]
    return entry if isinstance(entry, str) else name


def clash(a: list[str], b: list[str]) -> int:
    """Return 0 (may join), 1 (rivals: only trust joins them) or 2 (pinned apart by staff)."""
    if any(name[0] == "-" for name in a) and any(name[0] == "-" for name in b):
        return 2
    for letter in {name[1] for name in a} & {name[1] for name in b}:
        count = sum(name[1] == letter for name in a) + sum(name[1] == letter for name in b)
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
        cut=any(member[0] == "-" for member in members),
    )


def forget(entries: Entries, name: str) -> bool:
    """Take a null mark away; False when there is none."""
    if entries[name] != "":
        return False
    entries[name] = None
    return True


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
