"""The last contacts of one channel, packed: an event adds a few bytes, only a reader unpacks.

`Touch.recent` holds at most RECENT_MAX entries, oldest first: time (int64 LE, UTC ms), size
(uint16 LE), then msgpack of (event type, the few fields that tell a person what it was about).
"""

from collections.abc import Iterator
from struct import Struct
from typing import Any

import msgspec

from engine.profile.model import RECENT_MAX, Touch

BRIEF_SIZE_MAX = 2_048  # bytes of one contact's fields; larger ones are left out, the type stays
_HEAD = Struct("<qH")
_SIZE = _HEAD.size
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, dict[str, Any]]).decode


def add(touch: Touch, at: int, type: str, told: dict[str, Any]) -> None:
    """Count a contact and put it in its place by time, behind those of the same time."""
    packed = _pack((type, told))
    if len(packed) > BRIEF_SIZE_MAX:
        packed = _pack((type, {}))
    entry, recent = _HEAD.pack(at, len(packed)) + packed, touch.recent
    count = touch.count = touch.count + 1
    if at < touch.last_at:
        # The sort is stable: of one time, the one that came first stays first.
        entries: list[bytes] = [*_entries(recent), entry]
        entries.sort(key=_at)
        recent = b"".join(entries)
    else:
        touch.last_at = at
        recent += entry
    if count > RECENT_MAX:
        recent = recent[_SIZE + _HEAD.unpack_from(recent)[1] :]
    touch.recent = recent


def contacts(touch: Touch) -> list[tuple[int, str, dict[str, Any]]]:
    """Return (at, event type, fields) of each, oldest first."""
    return [(_at(e), *_unpack(e[_SIZE:])) for e in _entries(touch.recent)]


def merge(a: Touch, b: Touch) -> Touch:
    """Return the contacts of two who are one: the newest of both."""
    # Of one time, by their bytes: the same whichever of the two won.
    entries = sorted([*_entries(a.recent), *_entries(b.recent)], key=lambda e: (_at(e), e))
    recent = b"".join(entries[-RECENT_MAX:])
    return Touch(a.count + b.count, max(a.last_at, b.last_at), recent)


def _entries(recent: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(recent):
        end = place + _SIZE + _HEAD.unpack_from(recent, place)[1]
        yield recent[place:end]
        place = end


def _at(entry: bytes) -> int:
    at: int = _HEAD.unpack_from(entry)[0]
    return at
