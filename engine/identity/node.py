"""A node's links to identifiers, and the signpost that it becomes when another absorbs it."""

import msgspec

from engine.clock import DAY_MS
from engine.identity import ring

RETRY_MS = 30 * DAY_MS  # a refused identifier is asked for again in the next period
MINE = 3  # its state or an event down its chain has arrived here
TRUSTED = 2  # claimed with trust
CLAIMED = 1
PROVED = 100_000  # periods of RETRY_MS; a release that does not know it asks once too often


class Links(msgspec.Struct, array_like=True, gc=False):
    """What a live node knows of identifiers.

    `seen`: birth id -> MINE, TRUSTED, CLAIMED, or -(period of RETRY_MS in which it was refused),
    further below zero by PROVED where a claim with trust was.
    `moved`: home -> node it went to at a split. `ring`, `ring_at`: see `identity/ring.py`.
    `shared`: events homed here come from too many people.
    """

    seen: dict[str, int] = {}
    moved: dict[str, str] = {}
    ring: bytes = b""
    ring_at: bytes = b""
    shared: bool = False


class Tombstone(msgspec.Struct, array_like=True, gc=False):
    """A signpost: `fwd` for everything in transit, `own` for events homed here.

    `erased`: events homed here are dropped. Only where the person was once cut in two does such a
    node still show others their way, by `moved` (as in Links) and `fwd`.
    """

    fwd: str
    own: str = ""
    shared: bool = False
    erased: bool = False
    moved: dict[str, str] = {}

    @property
    def target(self) -> str:
        """Where an event that is homed at this node goes."""
        return self.own or self.fwd

    def way(self, home: str) -> str:
        """Where an event in transit goes, '' if nowhere: it belongs to nobody any more."""
        return self.moved.get(home) or self.fwd


def takes(links: Links, event_hash: bytes, now: int) -> bool:
    """Put an event id into the ring; False when it is there already."""
    held = links.ring
    if event_hash in held and ring.holds(held, event_hash):  # the first test is the cheap one
        return False
    links.ring, links.ring_at = ring.add(held, links.ring_at, event_hash, now)
    return True


def wants_claim(links: Links, name: str, *, at: int, trusted: bool) -> bool:
    """Tell whether an applied event's identifier is to be claimed (IDENTITY.md, E4)."""
    seen = links.seen.get(name)
    if seen is None:
        return True
    if seen > 0:
        return trusted and seen < TRUSTED
    if at // RETRY_MS > _period(seen):
        return True
    return trusted and seen > -PROVED


def refuse(links: Links, name: str, *, hard: bool, ev: int, now: int) -> None:
    """Note a refusal (IDENTITY.md, R); what is mine or trusted is immune to a weaker one.

    What was refused in an earlier period would be asked for again: it is forgotten here.
    """
    seen, period = links.seen.get(name), now // RETRY_MS
    if seen is None or seen == MINE:
        return
    if seen != TRUSTED or hard or ev:
        links.seen[name] = -period - (PROVED if ev or seen <= -PROVED else 0)
    for old in [x for x, level in links.seen.items() if level <= 0 and _period(level) < period]:
        del links.seen[old]


def _period(seen: int) -> int:
    return -seen - PROVED if seen <= -PROVED else -seen


def merge_links(winner: Links, loser: Links, absorbed: str) -> None:
    """Add a loser's links to the winner's: seen = max, moved = union, ring = union.

    A home that went away at a split is nobody's here, whatever a late state says: believed to be
    this node's, events that come by a hint would be applied here.
    """
    winner.moved.update(loser.moved)
    for name, level in loser.seen.items():
        winner.seen[name] = max(level, winner.seen.get(name, level))
    if absorbed:
        winner.seen[absorbed] = MINE
    for name in winner.moved:
        if winner.seen.get(name, 0) > 0:
            del winner.seen[name]
    winner.ring, winner.ring_at = ring.merge(
        (winner.ring, winner.ring_at), (loser.ring, loser.ring_at)
    )
