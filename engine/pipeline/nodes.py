"""A node begins to live, falls silent, or is told of under its old id."""

import msgspec

from engine.events import topics
from engine.events.ids import entity_kind, is_entity
from engine.identity import messages
from engine.identity.node import Links, Tombstone
from engine.outcome import Move
from engine.pipeline.envelope import Arrival, send
from engine.pipeline.state import STATE_VERSION, Live, Partition
from engine.profile.model import Actor

_json = msgspec.json.Encoder().encode


def live_at(state: Partition, arrival: Arrival) -> Live:
    """Return the live node that a record is addressed to; one that was absent begins here."""
    node = state.nodes[arrival.name]
    assert not isinstance(node, Tombstone), "its steps have looked for a signpost before"
    if node is None:
        here = arrival.node_id
        kind = entity_kind(here) if is_entity(here) else "person"
        node = Live(STATE_VERSION, Links(), Actor(kind=kind, created_at=state.meta.now))
        state.nodes[arrival.name] = node
        if kind == "person":
            state.outcome.count("customers")
    return node


def disarm(state: Partition, tenant: str, node_id: str, live: Live) -> None:
    """Take a node's timers off: they fire only where a person lives."""
    for timer_id in live.actor.timers:
        state.outcome.timers[f"{tenant}:{node_id}|{timer_id}"] = None


def tell_alias(state: Partition, tenant: str, old: str, signpost: Tombstone) -> None:
    """Tell `customer.aliases` where an old id leads; only the old id's own node does, in order."""
    alias = messages.Alias(
        tenant=tenant,
        customer=signpost.target,
        absorbed=old,
        at=state.meta.now,
        shared=signpost.shared,
    )
    send(state, Move(topics.ALIASES, -1, old, _json(alias), ()))
