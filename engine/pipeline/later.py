"""State that the next release wrote: what this one does not know of it is kept, not dropped.

A struct is an array, and a release only ever appends to it. So what stands behind the fields that
we know is the next release's own, and goes back to where it was. A value that was replaced in the
meantime has lost it, and so has a customer who moved in with another: that is for them to mend.
"""

from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from engine.identity.node import Tombstone
from engine.identity.registrar import Root
from engine.profile.model import Goal, Timer, Trait, types_of

REPLACED = (Trait, Timer, Goal)  # never changed in place: another value has another tail
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class LaterTombstone(Tombstone):
    """A signpost of the next release, with the bytes that it was read from."""

    original: bytes = b""


class LaterRoot(Root):
    """A registrar's person of the next release, with the bytes that it was read from."""

    original: bytes = b""


def read(kind: type[msgspec.Struct], later: type[msgspec.Struct], data: bytes) -> Any:
    """Return the struct of some bytes: a `later` one where they hold more than a `kind` has.

    `later` is `kind` with one more field, `original`.
    """
    found: Any = msgspec.msgpack.decode(data, type=kind)
    if len(_unpack(data)) <= len(kind.__struct_fields__):
        return found
    fields = (getattr(found, name) for name in kind.__struct_fields__)
    return later(*fields, original=data)


def version(data: bytes) -> int:
    """Return the version that a node's bytes begin with, whatever else is in them."""
    found: int = _unpack(data)[0]
    return found


def write(node: Any, kind: type[msgspec.Struct]) -> bytes:
    """Return the bytes of a later struct: what we know of it as it is now, the rest as it was."""
    now = _unpack(_pack(node))[: len(kind.__struct_fields__)]
    return _pack(_graft(kind, now, _unpack(node.original)))


def _graft(kind: Any, now: Any, old: Any) -> Any:
    fields = _fields(kind)
    if fields is not None:
        known = len(fields)
        if not isinstance(old, list) or (kind in REPLACED and old[:known] != now[:known]):
            return now
        grown = [_graft(of, new, was) for of, new, was in zip(fields, now, old, strict=False)]
        return grown + now[len(grown) : known] + old[known:]  # `now`, unopened, has its tail too
    if get_origin(kind) is dict and isinstance(old, dict):
        of = get_args(kind)[1]
        return {name: _graft(of, v, old[name]) if name in old else v for name, v in now.items()}
    if get_origin(kind) is list and isinstance(old, list):
        (of,) = get_args(kind)
        known = len(_fields(of) or ())
        if known:
            return [next((was for was in old if was[:known] == new[:known]), new) for new in now]
    return now


@cache
def _fields(kind: Any) -> tuple[Any, ...] | None:
    """Return the types of a struct's fields in order, None of what is no struct."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return tuple(types_of(kind).values())
    return None
