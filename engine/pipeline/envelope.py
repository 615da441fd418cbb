"""How records between actors look: their headers and bodies, read and written in one place."""

from typing import Any

import msgspec

from engine.errors import ContractError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Record, partition_of
from engine.identity import mac, messages
from engine.identity.registrar import ADDRESS
from engine.keys import node_name
from engine.outcome import Move
from engine.pipeline.state import Partition

HOPS_MAX = 64
BODIES: dict[str, type[msgspec.Struct]] = {
    "event": Event,
    "part": Event,
    "tick": messages.Tick,
    "claim": messages.Claim,
    "absorb": messages.Absorb,
    "mi": messages.MoveIn,
    "ref": messages.Refusal,
    "cmp": messages.Shorten,
    "quar": messages.Quarantine,
    "erase": messages.Erase,
    "split": messages.Split,
    "probe": messages.Probe,
    "look": messages.Look,
    "ruleset": messages.Version,
    "model": messages.Version,
    "disable": messages.Disable,
    "grow": messages.Grow,
    "grown": messages.Grow,
}
_UNADDRESSED = {"tick", "claim", "ruleset", "model", "disable", "grow", "grown"}
_ADDRESSED = frozenset(BODIES) - _UNADDRESSED  # to a node
_decoders = {kind: msgspec.json.Decoder(body).decode for kind, body in BODIES.items()}
_json = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(Event).decode


class Arrival(msgspec.Struct, gc=False):
    """A record with its headers and body read, or the error that says why they could not be.

    `node_id`: the node it is addressed to; `name`: its key, where it has one. `src` None: it comes
    from outside, not from an actor; `mseq` is the sender's number. `hop`: actors passed so far.
    `pr`: tombstones passed since its home (0: it came by a hint). `shared`: its home is in
    quarantine.
    """

    record: Record
    node_id: str = ""
    name: str = ""
    kind: str = "event"
    body: Any = None
    src: int | None = None
    mseq: int = 0
    hop: int = 0
    pr: int = 0
    shared: bool = False
    error: ContractError | None = None


def read(record: Record, secret: bytes) -> Arrival:
    """Return the arrival of a record; a control record without our seal is an error."""
    arrival = Arrival(record)
    try:
        if record.headers:
            _read_headers(arrival, dict(record.headers), secret)
        arrival.node_id = record.key.decode("ascii")
        if arrival.kind != "event":
            control: Any = _decoders[arrival.kind](record.value)
            arrival.body = control
            if arrival.kind in _ADDRESSED and arrival.node_id != ADDRESS:
                arrival.name = node_name(control.tenant, arrival.node_id)
            return arrival
        body = arrival.body = _decode_event(record.value)
        arrival.name = node_name(body.tenant, arrival.node_id)
        if not body.ids:
            raise ContractError("an event without identifiers has no home", code="identity/missing")
    except ContractError as error:
        # Its frames hold this arrival, which no collector looks at: a ring that nobody breaks.
        arrival.error = error.with_traceback(None)
    except (msgspec.MsgspecError, ValueError) as error:
        arrival.error = ContractError(str(error), code="log/unreadable")
    return arrival


def _read_headers(arrival: Arrival, found: dict[str, bytes], secret: bytes) -> None:
    kind = arrival.kind = found.get("kind", b"event").decode("ascii")
    if kind not in BODIES:
        raise ContractError(f"no record kind `{kind}`", code="control/kind")
    record = arrival.record
    seal = found.get("mac")
    if kind != "event" and not mac.holds(seal, kind, record.key, record.value, secret):
        raise ContractError(f"a `{kind}` record without the engine's seal", code="control/mac")
    if (src := found.get("src")) is not None:
        arrival.src = int(src)
        arrival.mseq = int(found["mseq"])
        arrival.hop = int(found.get("hop", 0))
        arrival.pr = int(found.get("pr", 0))
        arrival.shared = "sh" in found


def send(state: Partition, move: Move) -> None:
    """Put a record into the moves of the batch, under the next number."""
    state.meta.mseq += 1
    state.outcome.moves.append((state.meta.mseq, move))


def send_control(
    state: Partition, kind: str, to: str, body: msgspec.Struct, *, secret: bytes, hop: int
) -> None:
    """Send a control message to an actor, sealed; `hop`: of the record that caused it."""
    _send_actor(state, kind, to, _json(body), (), secret, hop)


def forward(
    state: Partition, arrival: Arrival, to: str, *, pr: int, shared: bool, secret: bytes
) -> None:
    """Pass an arrival on to another actor, its bytes unchanged."""
    headers: tuple[tuple[str, bytes], ...] = (("pr", b"%d" % pr),)
    if shared:
        headers += (("sh", b"1"),)
    _send_actor(state, arrival.kind, to, arrival.record.value, headers, secret, arrival.hop)
    state.outcome.count("forwarded")


def _send_actor(
    state: Partition,
    kind: str,
    to: str,
    value: bytes,
    headers: tuple[tuple[str, bytes], ...],
    secret: bytes,
    hop: int,
) -> None:
    stamped = (
        ("kind", kind.encode("ascii")),
        ("src", b"%d" % state.index),
        ("mseq", b"%d" % (state.meta.mseq + 1)),
        ("hop", b"%d" % (hop + 1)),
        *headers,
    )
    if kind != "event":
        stamped += (("mac", mac.sign(kind, to.encode("ascii"), value, secret)),)
    send(state, Move(topics.EVENTS, partition_of(to, state.count), to, value, stamped))
