"""What parts a person from others, or from us: a split in two, and erasure, at its nodes."""

from engine.decision.model import Split
from engine.events import topics
from engine.identity import messages
from engine.identity.node import Links, Tombstone
from engine.outcome import Move
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, send, send_control
from engine.pipeline.nodes import disarm, live_at
from engine.pipeline.state import STATE_VERSION, Live, Partition, encode_node
from engine.pipeline.think import close_turn, open_turn
from engine.profile.model import Actor


def split(state: Partition, arrival: Arrival, book: Book) -> None:
    """S: some homes are somebody else's now; what they may bring again is in the ring we send."""
    body: messages.Split = arrival.body
    here = arrival.node_id
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Tombstone):
        return  # erased: a node that was absorbed is no root and hears of no split
    live = live_at(state, arrival)
    state.dirty.add(name)
    for home in body.ids:
        live.links.moved[home] = body.name
        live.links.seen.pop(home, None)
    pass_on_ring(state, arrival, live.links, dict.fromkeys(body.ids, body.name), book)
    turn = open_turn(state, body.tenant, here, live, book)
    split = Split(tenant=body.tenant, customer=here, part=body.name, ids=body.ids, at=turn.now)
    turn.emitted += (split,)
    close_turn(state, turn, book)


def pass_on_ring(
    state: Partition, arrival: Arrival, arrived: Links, moved: dict[str, str], book: Book
) -> None:
    """Send a ring behind the homes in `moved`, before any event that follows it; then probe them.

    An event of theirs may have been applied where the ring comes from, and come again.
    """
    if not moved:
        return
    tenant, hop = arrival.body.tenant, arrival.hop
    ring = Links(ring=arrived.ring, ring_at=arrived.ring_at)
    copy = encode_node(Live(STATE_VERSION, ring, Actor(kind="person", created_at=state.meta.now)))
    assert copy is not None
    for target in sorted(set(moved.values())):
        body = messages.MoveIn(tenant, "", copy)
        send_control(state, "mi", target, body, secret=book.secret, hop=hop)
    for home in sorted(moved):
        send_control(
            state, "probe", home, messages.Probe(tenant, home), secret=book.secret, hop=hop
        )


def take_in_ways(
    state: Partition, arrival: Arrival, gone: Tombstone, arrived: Links, book: Book
) -> None:
    """Keep of a state that comes too late, its person was erased, who had left it before.

    They are somebody else and live: their events still come by the one who is erased.
    """
    if arrived.moved:
        gone.moved = gone.moved | arrived.moved
        state.dirty.add(arrival.name)
    pass_on_ring(state, arrival, arrived, gone.moved, book)


def erase(state: Partition, arrival: Arrival) -> None:
    """A0: nothing of the person stays here; events homed here are dropped from now on."""
    body: messages.Absorb = arrival.body
    here = arrival.node_id
    name = arrival.name
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
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Tombstone) and node.erased:
        state.nodes[name] = None
        state.dirty.add(name)
