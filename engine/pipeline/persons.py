"""What each message does at a node: absent, signpost or live (the table of IDENTITY.md)."""

from engine.errors import ContractError
from engine.events.ids import is_entity
from engine.events.model import Event
from engine.identity import messages
from engine.identity.node import (
    MINE,
    TRUSTED,
    Tombstone,
    merge_links,
    refuse,
    takes,
    wants_claim,
)
from engine.identity.registrar import ADDRESS
from engine.ingest.lateness import placed
from engine.matching import context, guard
from engine.pipeline import parting
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, forward, send_control
from engine.pipeline.merge import merge_actor
from engine.pipeline.nodes import disarm, live_at, tell_alias
from engine.pipeline.state import Live, Node, Partition, decode_node, encode_node
from engine.pipeline.think import close_turn, look_at, open_turn, think


def event(state: Partition, arrival: Arrival, book: Book) -> None:
    """E1-E4: apply an event where its home's chain ends, or pass it on."""
    home = arrival.body.ids[0]
    node = state.nodes[arrival.name]
    if isinstance(node, Live) and arrival.node_id == home:
        live: Live | None = node  # as nearly always
    else:
        live = _end(state, arrival, home, book)
    if live is not None:
        _apply(state, live, arrival, book)


def probe(state: Partition, arrival: Arrival, book: Book) -> None:
    """P: an event without effect: what it meets on its way learns where its home's person is."""
    body: messages.Probe = arrival.body
    name = arrival.name
    if state.nodes[name] is None and arrival.node_id == body.home:
        return
    if _end(state, arrival, body.home, book) is not None:
        state.dirty.add(name)


def look(state: Partition, arrival: Arrival, book: Book) -> None:
    """Look at whoever lives here as of now; what was joined to another is looked at there."""
    live = state.nodes[arrival.name]
    if isinstance(live, Live) and live.actor.kind == "person" and not live.links.shared:
        state.dirty.add(arrival.name)
        look_at(state, arrival.node_id, live, arrival.body, book)


def _end(state: Partition, arrival: Arrival, home: str, book: Book) -> Live | None:
    """E1-E3: Return the live node where the chain of a home ends; None if that is not here.

    Then the arrival is passed on, or dropped where its home was erased.
    """
    here, tenant = arrival.node_id, arrival.body.tenant
    node = state.nodes[arrival.name]
    if isinstance(node, Tombstone):
        _pass_on(state, arrival, home, node, book)
        return None
    if here == home:
        return live_at(state, arrival)
    if arrival.pr == 0:  # a hint: believed only where this home has arrived before
        if node is not None and node.links.seen.get(home) == MINE:
            return node
        forward(state, arrival, home, pr=0, shared=False, secret=book.secret)
        return None
    live = live_at(state, arrival)
    if (target := live.links.moved.get(home)) is not None:
        forward(
            state, arrival, target, pr=arrival.pr + 1, shared=arrival.shared, secret=book.secret
        )
        return None
    live.links.seen[home] = MINE
    if arrival.pr > 1:
        notice = messages.Shorten(tenant, here)
        send_control(state, "cmp", home, notice, secret=book.secret, hop=arrival.hop)
    return live


def part(state: Partition, arrival: Arrival, book: Book) -> None:
    """A thing hears what happened to a person at it (WIRE.md, Ids: PART)."""
    body: Event = arrival.body
    here = arrival.node_id
    name = arrival.name
    node = state.nodes[name]
    if not is_entity(here):
        _answer(state, arrival, node, book)
        return
    assert not isinstance(node, Tombstone), "things are never absorbed"
    live = live_at(state, arrival)
    state.dirty.add(name)
    if body.type in guard.TYPES or body.type in context.TYPES:
        _heard(state, live, arrival, book)
    elif _is_new(state, live, body):
        turn = open_turn(state, body.tenant, here, live, book)
        think(turn, state, body, book)
        close_turn(state, turn, book)


def _answer(state: Partition, arrival: Arrival, node: Node, book: Book) -> None:
    """A thing answers a person, wherever that person lives by now; the erased hear nothing."""
    if isinstance(node, Live):
        state.dirty.add(arrival.name)
        _heard(state, node, arrival, book)
    elif node is not None and node.fwd:
        forward(state, arrival, node.fwd, pr=0, shared=False, secret=book.secret)


def _heard(state: Partition, live: Live, arrival: Arrival, book: Book) -> None:
    body: Event = arrival.body
    rules = book.rule_sets.get(state.meta.ruleset)
    if rules is not None and _is_new(state, live, body):
        turn = open_turn(state, body.tenant, arrival.node_id, live, book)
        (context if body.type in context.TYPES else guard).hear(rules, turn, body)
        close_turn(state, turn, book)


def absorb(state: Partition, arrival: Arrival, book: Book) -> None:
    """A: become a signpost to the winner; a live node sends it all that it has."""
    body: messages.Absorb = arrival.body
    if not body.winner:
        parting.erase(state, arrival)
        return
    here = arrival.node_id
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Tombstone):
        return  # a node is absorbed at most once (J2)
    if node is not None:
        disarm(state, body.tenant, here, node)
        bytes_ = encode_node(node)
        assert bytes_ is not None
        moving = messages.MoveIn(body.tenant, here, bytes_, body.forced)
        send_control(state, "mi", body.winner, moving, secret=book.secret, hop=arrival.hop)
        state.outcome.count("customers", -1)
    signpost = state.nodes[name] = Tombstone(fwd=body.winner, shared=body.shared)
    state.dirty.add(name)
    tell_alias(state, body.tenant, here, signpost)
    state.outcome.count("absorbed")


def move_in(state: Partition, arrival: Arrival, book: Book) -> None:
    """M: take in all that an absorbed node had; a signpost passes it on."""
    body: messages.MoveIn = arrival.body
    here = arrival.node_id
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Tombstone):
        if node.fwd:
            forward(state, arrival, node.fwd, pr=0, shared=False, secret=book.secret)
        else:
            parting.take_in_ways(state, arrival, node, _arrived(name, body).links, book)
        return
    loser = _arrived(name, body)
    live = live_at(state, arrival)
    state.dirty.add(name)
    if type(loser) is not Live:
        state.outcome.count("tails_lost")
    merge_links(live.links, loser.links, body.absorbed)
    parting.pass_on_ring(state, arrival, loser.links, live.links.moved, book)
    if not body.absorbed:
        return
    turn = open_turn(state, body.tenant, here, live, book)
    merge_actor(turn, loser.actor, absorbed=body.absorbed, forced=body.forced)
    close_turn(state, turn, book)
    state.outcome.count("merged")


def refusal(state: Partition, arrival: Arrival, book: Book) -> None:
    """R: note that the registrar refused; the answer follows its asker down the chain."""
    body: messages.Refusal = arrival.body
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Live):
        refuse(node.links, body.name, hard=body.hard, ev=body.ev, now=state.meta.now)
        state.dirty.add(name)
    elif node is not None and node.fwd:
        forward(state, arrival, node.fwd, pr=0, shared=False, secret=book.secret)


def shorten(state: Partition, arrival: Arrival, book: Book) -> None:
    """C: a shortcut that only the events homed at this signpost use."""
    body: messages.Shorten = arrival.body
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Tombstone) and not node.erased and body.root < node.target:
        node.own = body.root
        state.dirty.add(name)
        tell_alias(state, body.tenant, arrival.node_id, node)


def quarantine(state: Partition, arrival: Arrival, book: Book) -> None:
    """Q: events homed at this identifier are shared by too many for rules on persons."""
    name = arrival.name
    node = state.nodes[name]
    if isinstance(node, Live):
        node.links.shared = True
        state.dirty.add(name)
    elif node is not None and not node.erased:
        node.shared = True
        state.dirty.add(name)
        tell_alias(state, arrival.body.tenant, arrival.node_id, node)


def _pass_on(state: Partition, arrival: Arrival, home: str, node: Tombstone, book: Book) -> None:
    here = arrival.node_id
    by_hint = arrival.pr == 0 and here != home
    if node.erased and by_hint:
        forward(state, arrival, home, pr=0, shared=False, secret=book.secret)
        return
    if node.erased and (here == home or not node.way(home)):
        if arrival.kind == "event":
            state.outcome.count("dropped_erased")
        return
    if by_hint:
        to, pr = node.fwd, 0
    elif here == home:
        to, pr = node.target, 1
    else:
        to, pr = node.way(home), arrival.pr + 1
    shared = arrival.shared or (here == home and node.shared)
    forward(state, arrival, to, pr=pr, shared=shared, secret=book.secret)


def _arrived(name: str, body: messages.MoveIn) -> Live:
    node = decode_node(name, body.state)
    assert isinstance(node, Live), "only live nodes move in"
    return node


def _is_new(state: Partition, live: Live, body: Event) -> bool:
    # Before the first tick there is no log time; a ring dated 0 would be stale at that tick.
    return takes(live.links, _event_hash(body), state.meta.now or body.received_at)


def _event_hash(body: Event) -> bytes:
    try:
        return bytes.fromhex(body.id[:16])
    except ValueError:
        raise ContractError(
            f"$.id: want 32 hex digits, got {body.id[:40]!r}", code="contract/type"
        ) from None


def _apply(state: Partition, live: Live, arrival: Arrival, book: Book) -> None:
    body: Event = arrival.body
    here = arrival.node_id
    state.dirty.add(arrival.name)
    if not _is_new(state, live, body):
        state.outcome.count("duplicate")
        return
    state.outcome.count("applied")
    if state.meta.now:  # before the first tick there is no log time to hold it against
        body.at, code = placed(body.at, state.meta.now)
        if code is not None:
            state.outcome.count(code)
    if len(body.ids) > 1:
        _claim(state, live, arrival, book)
    turn = open_turn(state, body.tenant, here, live, book)
    shared = arrival.shared or (live.links.shared and here == body.ids[0])
    think(turn, state, body, book, for_rules=not shared)
    close_turn(state, turn, book)


def _claim(state: Partition, live: Live, arrival: Arrival, book: Book) -> None:
    body: Event = arrival.body
    here, home = arrival.node_id, body.ids[0]
    weak: list[str] = []
    trusted: list[str] = []
    for birth_id in body.ids:
        if birth_id in (here, home):
            continue
        if is_entity(birth_id):
            _tell_entity(state, arrival, birth_id, book)
            continue
        proved = bool(body.ev) and home[0] == "0" and birth_id[0] == "0"
        if wants_claim(live.links, birth_id, at=body.at, trusted=proved):
            (trusted if proved else weak).append(birth_id)
            live.links.seen[birth_id] = TRUSTED if proved else 1
    for names, ev in ((trusted, 1), (weak, 0)):
        if names:
            message = messages.Claim(body.tenant, here, names, ev)
            send_control(state, "claim", ADDRESS, message, secret=book.secret, hop=arrival.hop)


def _tell_entity(state: Partition, arrival: Arrival, entity: str, book: Book) -> None:
    body: Event = arrival.body
    rules = book.rules(state.meta)
    contract = rules.contracts.get(body.type) if rules else None
    personal = {n for n, f in contract.fields.items() if f.personal} if contract else set()
    message = Event(
        id=body.id,
        tenant=body.tenant,
        source=body.source,
        type=body.type,
        at=body.at,
        original_at=body.original_at,
        received_at=body.received_at,
        ids=[entity, arrival.node_id],  # who it was, for counting heads: a keyed hash, no name
        data={n: v for n, v in body.data.items() if n not in personal},
    )
    send_control(state, "part", entity, message, secret=book.secret, hop=arrival.hop)
