"""The usual track call, from the bytes that were sent to those of the log, in one function.

Nine events of ten are one: with a message id, a time and texts for identifiers. `accept` reads any
message; it builds each part of it as a dict, and its steps call each other thirty times. What is
done here is the same, step by step and byte by byte (tests/properties/test_usual.py); whatever is
not as usual, or not in order, is left to `accept`.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

import msgspec

from engine.clock import YEAR_1970_MS, YEAR_2100_MS
from engine.errors import ContractError
from engine.events import codec
from engine.events.catalogue import Contracts
from engine.events.fields import Check
from engine.events.ids import TYPES, entity_id, name_of
from engine.events.model import Event
from engine.ingest.accept import EVENT_SIZE_MAX, instant, may_break_limits
from engine.ingest.sources import Source

# What is shorter as it was sent is within EVENT_SIZE_MAX however it is written anew: a byte that is
# no UTF-8 becomes six, and 1e15 becomes 1000000000000000.0.
SIZE_MAX = EVENT_SIZE_MAX // 6
INSTANT_LENGTH_MAX = 64
_KINDS = frozenset(TYPES)
_NOTHING = msgspec.Raw()
# A larger number is a float to orjson, which reads all else.
_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Scalar = str | _Whole | float | bool | None
_Unread = dict[str, msgspec.Raw]  # no field has such a value
_Value = _Scalar | _Unread | list[_Scalar | _Unread | list[msgspec.Raw]]


class _Device(msgspec.Struct, gc=False):
    id: str | None = None


class _Traits(msgspec.Struct, gc=False):
    email: str | None = None
    phone: str | None = None


class _Context(msgspec.Struct, gc=False):
    device: _Device | None = None
    traits: _Traits | None = None


class _Track(msgspec.Struct, gc=False):
    """A track call as nearly all are; what nobody reads is passed over, not built."""

    event: str
    messageId: str
    properties: dict[str, _Value]
    type: Any = None
    userId: str | None = None
    anonymousId: str | None = None
    timestamp: str | None = None
    originalTimestamp: str | None = None
    sentAt: str | None = None
    context: _Context | None = None
    specversion: msgspec.Raw = _NOTHING


class _Known(NamedTuple):
    """What is known of an event's name; `key_field`: names a thing, '' = none."""

    type: str
    check: Check
    entity: str
    key_field: str
    alone: bool  # may the thing stand without a person?


Taken = tuple[str, bytes]  # home of an event that is in order, and its bytes for the log
Usual = Callable[[bytes | msgspec.Raw, int, int | None, str | None], Taken | None]
_track = msgspec.json.Decoder(_Track).decode
_from_iso = datetime.fromisoformat


def usual_of(source: Source, contracts: Contracts, secret: bytes) -> Usual:
    """Return the function (raw, received_at, sent_at, method) -> the event, or None.

    Its arguments are those of `accept`; None: ask `accept`, which takes it or tells why not.
    """
    known: dict[str, _Known] = {}
    find = partial(_learn, known, source, contracts)
    tenant, region, currency = source.tenant, source.region, source.currency
    trusted, ev = source.trust != "none", 1 if source.trust == "proves" else 0
    begun = sha256(source.name.encode() + b"\0")
    origin = source.name

    def usual(
        raw: bytes | msgspec.Raw, received_at: int, sent_at: int | None, method: str | None
    ) -> Taken | None:
        plain = bytes(raw)
        if len(plain) > SIZE_MAX or may_break_limits(plain):
            return None
        try:
            m = _track(plain)
            if (m.type if method is None else method) != "track":
                return None
            if method is None and m.specversion is not _NOTHING:
                return None
            here = known.get(m.event) or find(m.event)
            written = m.timestamp or m.originalTimestamp or ""
            if here is None or not m.messageId or len(written) > INSTANT_LENGTH_MAX:
                return None
            stamp = _from_iso(written)
            if stamp.tzinfo is None:
                return None
            at = original = round(stamp.timestamp() * 1000)
            if sent_at is None and m.sentAt:
                sent_at = instant(m.sentAt)
                if sent_at is None:
                    return None
            if sent_at is not None:
                at = received_at - max(0, sent_at - original)
            data = here.check(m.properties, currency)
            ids = []
            for kind, value in _said(m, data).items():
                birth, kept, removed = name_of(kind, value, region, tenant, secret)
                if removed:
                    data.pop(kind, None)
                if birth is not None:
                    if kept is not None:
                        data[kind] = kept
                    if trusted or birth[0] in "23":
                        ids.append(birth)
            data.pop("id_number", None)
            if len(ids) > 1:
                ids.sort()
            person = bool(ids)
            if here.key_field and (thing := data.get(here.key_field)) is not None:
                ids.append(entity_id(here.entity, str(thing), tenant=tenant, secret=secret))
                person = person or here.alone
            digest = begun.copy()
            digest.update(m.messageId.encode())
            earlier, later = (original, at) if original < at else (at, original)
            if not person or earlier < YEAR_1970_MS or later >= YEAR_2100_MS:
                return None
            event = Event(
                id=digest.hexdigest()[:32], tenant=tenant, source=origin, type=here.type, at=at,
                original_at=original, received_at=received_at, ids=ids, ev=ev, data=data,
            )  # fmt: skip
            return ids[0], codec.encode(event)
        except (msgspec.MsgspecError, ContractError, ValueError, OverflowError, RecursionError):
            return None

    return usual


def _said(m: _Track, data: dict[str, Any]) -> dict[str, str]:
    """Return what the event says of its person: each place is believed before those ahead of it."""
    said: dict[str, str] = {}
    if m.context is not None:
        device, traits = m.context.device, m.context.traits
        if device is not None and device.id:
            said["device_id"] = device.id
        if traits is not None:
            if traits.email is not None:
                said["email"] = traits.email
            if traits.phone is not None:
                said["phone"] = traits.phone
    if not _KINDS.isdisjoint(data):
        said |= {kind: value for kind, value in data.items() if kind in _KINDS}
    if m.userId is not None:
        said["user_id"] = m.userId
    if m.anonymousId is not None:
        said["anonymous_id"] = m.anonymousId
    return said


def _learn(
    known: dict[str, _Known], source: Source, contracts: Contracts, name: str
) -> _Known | None:
    """Note what is to be known of an event that this source may send; None: `accept` knows it."""
    contract = contracts.by_segment_name(name)
    if contract is None or contract.writer or not source.may_send(contract.name):
        return None
    if contract.named_by or contract.secret != ("id_number",):
        return None
    known[name] = _Known(
        contract.name,
        contracts.checker(contract),
        contract.entity,
        contract.key_field if contract.entity else "",
        contract.key != "person",
    )
    return known[name]
