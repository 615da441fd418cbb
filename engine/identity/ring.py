"""The ring of recent event ids of a node: an event that comes twice is applied once.

Bound by time and count (PROTOCOL.md 1.7): 24 h of log time and 512 ids. A merge keeps the union,
and adding to a ring that a merge made longer drops one id for one, never down to 512 at once: a
ring cut short at a merge loses ids that are still under way.
"""

from struct import Struct

from engine.clock import HOUR_MS

HORIZON_MS = 24 * HOUR_MS
RING_MAX = 512
MERGED_MAX = 4_096
_AT = Struct("<q")
_WIDTH = 8


def holds(ring: bytes, event_hash: bytes) -> bool:
    """Tell whether an 8-byte event hash is in the ring.

    >>> holds(b"aaaaaaaabbbbbbbb", b"bbbbbbbb"), holds(b"aaaaaaaabbbbbbbb", b"aabbbbbb")
    (True, False)
    """
    found = ring.find(event_hash)
    while found > 0 and found % _WIDTH:  # a hit across two ids is none
        found = ring.find(event_hash, found + 1)
    return found >= 0


def add(ring: bytes, times: bytes, event_hash: bytes, now: int) -> tuple[bytes, bytes]:
    """Return (ring, times) with one id more; `times` are log times (int64 LE) of the ids."""
    stale = 0
    size = len(times)
    if size < RING_MAX * _WIDTH and (not size or _AT.unpack_from(times)[0] >= now - HORIZON_MS):
        return ring + event_hash, times + _AT.pack(now)  # as nearly always
    while stale < size and _AT.unpack_from(times, stale)[0] < now - HORIZON_MS:
        stale += _WIDTH
    if not stale and size >= RING_MAX * _WIDTH:
        stale = _WIDTH
    return ring[stale:] + event_hash, times[stale:] + _AT.pack(now)


def merge(a: tuple[bytes, bytes], b: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return the union of two (ring, times), oldest first, the newest MERGED_MAX kept."""
    newest: dict[bytes, int] = {}
    for ring, times in (a, b):
        for place in range(0, len(ring), _WIDTH):
            name = ring[place : place + _WIDTH]
            at = _AT.unpack_from(times, place)[0]
            newest[name] = max(at, newest.get(name, at))
    kept = sorted((at, name) for name, at in newest.items())[-MERGED_MAX:]
    return b"".join(name for _, name in kept), b"".join(_AT.pack(at) for at, _ in kept)
