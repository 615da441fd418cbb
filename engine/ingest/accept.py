"""The one check behind every door: a message becomes an event with a home, or it has a reason."""

import re
from typing import Any, NamedTuple

from engine.clock import YEAR_1970_MS, YEAR_2100_MS, parse_iso
from engine.errors import ContractError
from engine.events import codec
from engine.events.catalogue import Contract, Contracts
from engine.events.cloudevents import from_cloudevent, is_cloudevent
from engine.events.fields import extras, got
from engine.events.ids import TYPES, entity_id, event_id, is_id_number, name_of
from engine.events.model import Event
from engine.events.raw import RawEvent
from engine.events.segment import from_segment
from engine.ingest.sources import Source

EVENT_SIZE_MAX = 32_768  # bytes
DEPTH_MAX = 16
KEYS_MAX = 256
NAME_LENGTH_MAX = 128  # of an event's name
SLUG_LENGTH_MAX = 64
REASONS = frozenset(
    (
        "contract/json",  # bytes that are no JSON, or text that is no Unicode
        "contract/shape",  # JSON, but no message of any dialect
        "contract/type",
        "contract/missing",
        "contract/set",
        "contract/range",
        "contract/unknown-event",
        "contract/too-large",
        "contract/too-deep",
        "contract/too-many-keys",
        "source/type",  # not this source's to send
        "source/unknown",  # the key is nobody's (Kafka; over HTTP that is a 401 and no letter)
        "identity/missing",
        "time/impossible",
    )
)
_NO_WORD = re.compile(r"\W+")  # 试驾 is a word too
_STRENGTHS_WITHOUT_TRUST = "23"
_KINDS = frozenset(TYPES)
_NODE = re.compile(r"(?:[0-3][a-z]|-[0-9]|E[a-z])[A-Za-z0-9_-]{16}")


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
        Its bytes, for the limits and, without a message id, for the event's id.
    received_at, sent_at
        UTC ms: our clock at the door; the sender's clock when the batch left, if it said so.
    method
        Segment method of the path, over the message's own type.

    Raises
    ------
    ContractError
        With a code of REASONS and the path of the mistake.
    """
    _check_limits(message, raw)
    if method is None and is_cloudevent(message):
        found = from_cloudevent(message)
    else:
        found = from_segment(message, method)
    try:
        return _checked(found, raw, source, received_at, sent_at, contracts, secret)
    except ContractError as error:
        error.where = f"{found.name[:NAME_LENGTH_MAX]} {(found.message_id or '')[:40]}".strip()
        raise
    except UnicodeEncodeError:
        raise ContractError("a lone surrogate is no text", code="contract/json") from None


def _checked(
    found: RawEvent,
    raw: bytes,
    source: Source,
    received_at: int,
    sent_at: int | None,
    contracts: Contracts,
    secret: bytes,
) -> Accepted:
    name, contract = _contract(found.name, source, contracts)
    at, original_at = _times(found, received_at, sent_at)
    if contract is None:
        data = extras(found.data)
    else:
        data = contracts.check(contract, found.data, currency=source.currency)
    ids = _addressees(found, data, contract, source, secret)
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


def _check_limits(message: dict[str, Any], raw: bytes) -> None:
    if len(raw) > EVENT_SIZE_MAX:
        raise ContractError(
            f"{len(raw)} bytes; an event has at most {EVENT_SIZE_MAX}", code="contract/too-large"
        )
    if may_break_limits(raw):
        _check_shape(message)


def may_break_limits(raw: bytes) -> bool:
    """Tell whether depth and keys are to be counted.

    Every level opens with a bracket and every key has a colon: so few of them need no walk. A key
    with its value is at least 4 bytes.
    """
    levels = raw.count(b"{") + raw.count(b"[")
    return levels > DEPTH_MAX or (len(raw) > 4 * KEYS_MAX and raw.count(b":") > KEYS_MAX)


def _check_shape(message: dict[str, Any]) -> None:
    keys = 0
    level: list[Any] = [message]
    for _ in range(DEPTH_MAX):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                keys += len(value)
                deeper += value.values()
            else:
                deeper += value
        if keys > KEYS_MAX:
            raise ContractError(
                f"more than {KEYS_MAX} keys in one event", code="contract/too-many-keys"
            )
        level = [value for value in deeper if isinstance(value, dict | list)]
        if not level:
            return
    raise ContractError(f"deeper than {DEPTH_MAX} levels", code="contract/too-deep")


def _contract(name: str, source: Source, contracts: Contracts) -> tuple[str, Contract | None]:
    """Return the canonical name of an event, and its contract if it has one."""
    contract = contracts.by_segment_name(name)
    if contract is not None:
        ours = contract.writer and contract.writer != source.name
        if ours or not source.may_send(contract.name):
            raise ContractError(
                f"source `{source.name}` may not send `{contract.name}`; see topics/sources.yaml",
                code="source/type",
            )
        return contract.name, contract
    slug = _NO_WORD.sub("_", name[:NAME_LENGTH_MAX].lower().removeprefix("custom.")).strip("_")
    if source.custom:
        return f"custom.{slug[:SLUG_LENGTH_MAX] or 'event'}", None
    near = contracts.nearest(name)
    hint = f"; did you mean `{near}`?" if near else ""
    raise ContractError(f"no contract for event `{name[:80]}`{hint}", code="contract/unknown-event")


def _times(found: RawEvent, received_at: int, sent_at: int | None) -> tuple[int, int]:
    """Return (at, original_at), UTC ms: of the sender's clock only the differences are believed.

    Source: Segment Spec, "Common Fields": receivedAt - (sentAt - originalTimestamp).
    """
    sent = sent_at
    if sent is None and found.sent is not None:
        sent = instant(found.sent)
    original = instant(found.original)
    if original is None:
        if found.original not in (None, ""):
            raise ContractError(
                "$.timestamp: want an instant of 1970 to 2100, such as 2026-01-02T03:04:05Z,"
                f" got {got(found.original)}",
                code="time/impossible",
            )
        original = received_at if sent is None else sent
    # A batch cannot have left before its event: then the clock was set between the two readings.
    at = original if sent is None else received_at - max(0, sent - original)
    if not YEAR_1970_MS <= at < YEAR_2100_MS:
        raise ContractError(f"{at} ms is outside 1970 to 2100", code="time/impossible")
    return at, original


def instant(value: Any) -> int | None:
    """Return UTC ms; None for what is no instant of 1970 to 2100."""
    if type(value) is str and len(value) <= 64:
        try:
            value = parse_iso(value)
        except (ValueError, OverflowError):
            return None
    return value if type(value) is int and YEAR_1970_MS <= value < YEAR_2100_MS else None


def _addressees(
    found: RawEvent,
    data: dict[str, Any],
    contract: Contract | None,
    source: Source,
    secret: bytes,
) -> list[str]:
    """Return the ids of all that the event is about; the first is its home."""
    if contract is not None and contract.writer and _is_node(home := data.get("customer")):
        return [str(home)]  # the engine answers the very node that decided, whoever that is
    ids = _identify(found, data, contract, source, secret)
    person = bool(ids)
    if contract is not None and contract.entity:
        thing = data.get(contract.key_field)
        if thing is not None:
            ids.append(entity_id(contract.entity, str(thing), tenant=source.tenant, secret=secret))
            person = person or contract.key != "person"
    if not person:
        raise ContractError(
            "nobody is named; want userId, anonymousId, email, phone or another identifier",
            code="identity/missing",
        )
    return ids


def _is_node(value: Any) -> bool:
    return isinstance(value, str) and _NODE.fullmatch(value) is not None


def _identify(
    found: RawEvent,
    data: dict[str, Any],
    contract: Contract | None,
    source: Source,
    secret: bytes,
) -> list[str]:
    """Return the birth ids, sorted; write identifiers into `data` in their one form.

    What is no identifier of its type stays a mere fact: a number that is no phone finds nobody.
    """
    said = dict(found.remembered)  # each place is believed before those ahead of it
    if contract is not None and contract.named_by:
        named = {kind: data.get(name) for name, kind in contract.named_by}
        said |= {kind: value for kind, value in named.items() if value is not None}
    if not _KINDS.isdisjoint(data):
        said |= {kind: value for kind, value in data.items() if kind in _KINDS}
    said |= found.identifiers
    ids: list[str] = []
    region, tenant, trusted = source.region, source.tenant, source.trust != "none"
    for kind, value in said.items():
        if type(value) is int and abs(value) < 2**63:
            value = str(value)
        if type(value) is not str:
            raise ContractError(f"$.{kind}: want string, got {got(value)}", code="contract/type")
        birth, kept, removed = name_of(kind, value, region, tenant, secret)
        if removed:
            data.pop(kind, None)
        if birth is None:
            continue
        if kept is not None:
            data[kind] = kept
        if trusted or birth[0] in _STRENGTHS_WITHOUT_TRUST:
            ids.append(birth)
    data.pop("id_number", None)  # never in clear, not even once
    if contract is not None and (contract.secret or contract.named_by):
        for name in contract.secret:
            data.pop(name, None)
        for name, _ in contract.named_by:
            if is_id_number(str(data.get(name))):
                del data[name]
    if len(ids) > 1:
        ids.sort()
    return ids
