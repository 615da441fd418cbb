"""One event, as it stands in the log."""

from typing import Any

import msgspec

EVENT_VERSION = 1


class Event(msgspec.Struct, gc=False, kw_only=True):
    """One thing one person (or thing) did, once: the value of `channel.events`.

    Attributes
    ----------
    id
        32 hex digits: sha256(source, 0, messageId), first 16 bytes. Same id = same event.
    source
        Name of the source whose key brought it in.
    type
        Canonical dotted name (`order.placed`), or `custom.<name>`.
    at, original_at, received_at
        UTC ms: when it happened by our clock; as the device said; when the door took it.
    ids
        Birth ids of all its identifiers, sorted; the first is its home. Empty for an event that
        belongs to a thing only (then `home` is the entity's id).
    ev
        0 weak, 1 proved: may a claim by this event be believed against a rival (WIRE.md, trust).
    data
        Fields of the contract, money as int minor units with `currency`.
    """

    v: int = EVENT_VERSION
    id: str
    tenant: str
    source: str
    type: str
    at: int
    original_at: int
    received_at: int
    ids: list[str] = []
    ev: int = 0
    data: dict[str, Any] = {}
