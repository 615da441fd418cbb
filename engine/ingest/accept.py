"""The one check behind every door: a message becomes an event with a home, or an error with a reason."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.clock import YEAR_1970_MS, YEAR_2100_MS, parse_iso
from engine.errors import ContractError
from engine.events import codec
from engine.events.cloudevents import from_cloudevent, is_cloudevent
from engine.events.contract import Contract, Contracts
from engine.events.ids import TYPES, birth_id, entity_id, event_id, normalise
from engine.events.model import Event
from engine.events.raw import RawEvent
from engine.events.segment import from_segment
from engine.ingest.sources import Source

EVENT_SIZE_MAX = 32_768  # bytes
DEPTH_MAX = 16
KEYS_MAX = 256
MESSAGE_ID_LENGTH_MAX = 256
REASONS = frozenset(
    """contract/json contract/shape contract/type contract/missing contract/set
    contract/unknown-event contract/too-large contract/too-deep contract/too-many-keys
    source/type identity/missing time/impossible""".split()
)
_SLUG = re.compile(r"[^a-z0-9_]+")
_WEAK_ONLY = ("2", "3")  # strengths that a source without trust may name


class Accepted(NamedTuple):
    """An event that is in order: `key` is its home, `value` its bytes for the log."""

    event: Event
    key: str
    value: bytes


def accept(
    message: dict[str, Any],
    *,
    raw: bytes,
    source: Source,
    received_at: int,
    sent_at: int | None,
    contracts: Contracts,
    secret: bytes,
    method: str | None = None,
) -> Accepted:
    """Check one message of any dialect.

    Parameters
    ----------
    raw
        Its bytes, for the size limit and, without a message id, for the event's id.
    received_at, sent_at
        UTC ms: our clock at the door; the sender's clock when the batch left, if it said so.
    method
        Segment method of the path, over the message's own type.

    Raises
    ------
    ContractError
        With a code of REASONS and the path of the mistake.
    """
    if len(raw) > EVENT_SIZE_MAX:
        raise ContractError(
            f"{len(raw)} bytes; an event has at most {EVENT_SIZE_MAX}", code="contract/too-large"
        )
    _check_shape(message)
    cloud = method is None and is_cloudevent(message)
    found = from_cloudevent(message) if cloud else from_segment(message, method)
    contract, name = _contract(found.name, source, contracts)
    at, original_at = _times(found, received_at, sent_at)
    if contract is not None:
        found.data.setdefault("currency", source.currency)
        data = contracts.check(contract, found.data)
        for spec in contract.fields.values():
            if spec.identifier and data.get(spec.name) is not None:
                found.identifiers.setdefault(spec.identifier, data[spec.name])
    else:
        data = found.data
    ids = _identify(found.identifiers, data, source, secret)
    if contract is not None and contract.entity and contract.key_field in data:
        thing = str(data[contract.key_field])
        ids.append(entity_id(contract.entity, thing, tenant=source.tenant, secret=secret))
    if not ids or (ids[0][0] == "E" and (contract is None or contract.key == "person")):
        raise ContractError(
            "nobody is named; want userId, anonymousId, email, phone or another identifier",
            code="identity/missing",
        )
    event = Event(
        id=event_id(source.name, found.message_id, raw),
        tenant=source.tenant,
        source=source.name,
        type=name,
        at=at,
        original_at=original_at,
        received_at=received_at,
        ids=ids,
        ev=1 if source.trust == "proves" else 0,
        data=data,
    )
    return Accepted(event, ids[0], codec.encode(event))


def _check_shape(message: dict[str, Any]) -> None:
    keys = 0
    level: list[Any] = [message]
    for depth in range(DEPTH_MAX + 1):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                keys += len(value)
                deeper += value.values()
            elif isinstance(value, list):
                deeper += value
        if keys > KEYS_MAX:
            raise ContractError(
                f"more than {KEYS_MAX} keys in one event", code="contract/too-many-keys"
            )
        level = [value for value in deeper if isinstance(value, dict | list)]
        if not level:
            return
        if depth == DEPTH_MAX:
            break
    raise ContractError(f"deeper than {DEPTH_MAX} levels", code="contract/too-deep")


def _contract(name: str, source: Source, contracts: Contracts) -> tuple[Contract | None, str]:
    contract = contracts.by_segment_name(name)
    if contract is not None:
        if not source.may_send(contract.name):
            raise ContractError(
                f"source `{source.name}` may not send `{contract.name}`", code="source/type"
            )
        return contract, contract.name
    if source.custom and (slug := _SLUG.sub("_", name.lower().removeprefix("custom."))[:64]):
        return None, f"custom.{slug.strip('_') or 'event'}"
    near = contracts.nearest(name)
    hint = f"; did you mean `{near}`?" if near else ""
    raise ContractError(
        f"no contract for event `{name[:80]}`{hint}", code="contract/unknown-event"
    )


def _times(found: RawEvent, received_at: int, sent_at: int | None) -> tuple[int, int]:
    """Return (at, original_at): the device's clock is believed only in its differences."""
    sent = sent_at if sent_at is not None else _instant(found.sent)
    original = _instant(found.original)
    if original is None:
        original = sent if sent is not None else received_at
    at = original
    if sent is not None:
        at = received_at - max(0, sent - original)
    if not YEAR_1970_MS < at < YEAR_2100_MS:
        raise ContractError(f"{at} ms is outside 1970 to 2100", code="time/impossible")
    return at, original


def _instant(value: Any) -> int | None:
    if value is None or value == "":
        return None
    at: int | None = None
    if type(value) in (int, float) and abs(value) < 1e15:
        at = int(value)
    elif isinstance(value, str) and len(value) < 64:
        try:
            at = parse_iso(value)
        except (ValueError, OverflowError):
            at = None
    if at is None or not YEAR_1970_MS < at < YEAR_2100_MS:
        raise ContractError(
            f"{value!r:.60} is no instant of 1970 to 2100; want 2026-01-02T03:04:05Z",
            code="time/impossible",
        )
    return at


def _identify(
    identifiers: Mapping[str, Any], data: dict[str, Any], source: Source, secret: bytes
) -> list[str]:
    ids: set[str] = set()
    for kind in TYPES:
        value = identifiers.get(kind)
        if value is None:
            value = data.get(kind)
        if value is None:
            continue
        if kind == "id_number":
            data.pop("id_number", None)  # never in clear, not even once
        plain = normalise(kind, str(value), region=source.region)
        if plain is None:
            continue  # stays a fact: a number that is none finds nobody
        if kind != "id_number":
            data[kind] = plain
        birth = birth_id(kind, plain, tenant=source.tenant, secret=secret)
        if source.trust != "none" or birth[0] in _WEAK_ONLY:
            ids.add(birth)
    return sorted(ids)
