"""What parts a person from the rest: erasure at its nodes, and what others hear of an old id."""

import msgspec

from engine.events import topics
from engine.identity import messages
from engine.identity.node import Tombstone
from engine.keys import node_name
from engine.outcome import Move
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, send
from engine.pipeline.state import Live, Partition

_json = msgspec.json.Encoder().encode


def erase(state: Partition, arrival: Arrival) -> None:
    """A0: nothing of the person stays here; events homed here are dropped from now on."""
    body: messages.Absorb = arrival.body
    here = arrival.node_id
    name = node_name(body.tenant, here)
    node = state.nodes[name]
    gone = Tombstone("", erased=True)
    if isinstance(node, Live):
        disarm(state, body.tenant, here, node)
        state.outcome.count("customers", -1)
        if body.cut:
            gone.moved = node.links.moved
    elif node is not None and body.cut:
        gone.fwd, gone.moved = node.fwd, node.moved
    state.nodes[name] = gone
    state.dirty.add(name)
    send(state, Move(topics.ALIASES, -1, here, b"", ()))


def forget(state: Partition, arrival: Arrival, book: Book) -> None:
    """No record from before the erasure can come any more: the identifier may begin anew."""
    name = node_name(arrival.body.tenant, arrival.node_id)
    node = state.nodes[name]
    if isinstance(node, Tombstone) and node.erased:
        state.nodes[name] = None
        state.dirty.add(name)


def disarm(state: Partition, tenant: str, node_id: str, live: Live) -> None:
    """Take a node's timers off: they fire only where a person lives."""
    for timer_id in live.actor.timers:
        state.outcome.timers[f"{tenant}:{node_id}|{timer_id}"] = None


def tell_alias(state: Partition, tenant: str, old: str, customer: str) -> None:
    """Tell `customer.aliases` where an old id leads; only the old id's own node does, in order."""
    alias = messages.Alias(tenant=tenant, customer=customer, absorbed=old, at=state.meta.now)
    send(state, Move(topics.ALIASES, -1, old, _json(alias), ()))
