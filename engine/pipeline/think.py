"""Think: one event at one live node, in the order in which a person would.

What do we know now (profile, windows), are they leaving (churn), which rules come true (matching),
what may we do (decision). Timers take the same way when a tick has passed them.
"""

import msgspec

from engine.churn import step as churn
from engine.decision.model import Trigger
from engine.events import topics
from engine.events.ids import entity_id
from engine.events.model import Event
from engine.identity.messages import Look
from engine.keys import node_name
from engine.matching import match, segments
from engine.outcome import Move
from engine.pipeline.book import Book
from engine.pipeline.envelope import send, send_control
from engine.pipeline.state import Live, Partition
from engine.profile.apply import apply, plan_of
from engine.profile.logs import exact
from engine.profile.things import tally
from engine.profile.turn import Turn

DERIVED_MAX = 8  # the engine's own events that one event may lead to
_json = msgspec.json.Encoder().encode


def open_turn(state: Partition, tenant: str, node_id: str, live: Live, book: Book) -> Turn:
    """Return the turn of a live node."""
    return Turn(
        tenant=tenant,
        node_id=node_id,
        actor=live.actor,
        now=state.meta.now,
        outcome=state.outcome,
        lateness_ms=book.lateness_ms,
        passed=state.meta.clk,
    )


def close_turn(state: Partition, turn: Turn, book: Book) -> None:
    """Put what the turn emitted into the outbox and the moves, numbered."""
    for item in turn.emitted:
        state.meta.oseq += 1
        record = Move(topics.TRIGGERS, state.index, turn.node_id, _json(item), ())
        state.outcome.triggers.append((state.meta.oseq, record))
        if isinstance(item, Trigger):
            _count(state, item)
    for move in turn.moved:
        send(state, move)
    for to, event in turn.parts:
        if not isinstance(to, str):
            to = entity_id(*to, tenant=turn.tenant, secret=book.secret)
        send_control(state, "part", to, event, secret=book.secret, hop=0)


def think(
    turn: Turn, state: Partition, event: Event, book: Book, *, for_rules: bool = True
) -> None:
    """Apply one event to an actor; `for_rules` False: it is shared by too many to act on."""
    rules = book.rules(state.meta)
    model = book.models.get(state.meta.model)
    plan = rules.plans.get(event.type) if rules else None
    actor = turn.actor
    apply(actor, event, plan or plan_of(event.type, None))
    columns = rules.columns.get(event.type, exact.NOTHING) if rules else exact.NOTHING
    exact.append(actor.logs, event.type, event.at, event.data, columns)
    if actor.kind == "person":
        churn.on_event(turn, event, model)
    elif rules is not None and (wanted := rules.tallies.get((actor.kind, event.type))) is not None:
        if not tally.add(actor, event, wanted):
            turn.outcome.count("late_event")
    if rules is None or not for_rules:
        actor.dated = ""  # its traits may be others when rules look at them again
        turn.derived = ()
        return
    if rules.segments and actor.kind == "person":
        segments.on_event(rules, turn, event)
    match.on_event(rules, turn, event)
    _derived(turn, rules)


def look_at(state: Partition, node_id: str, live: Live, look: Look, book: Book) -> None:
    """Look at a person as of log time: nothing happened, but rules may wait for what does not."""
    rules = book.rules(state.meta)
    if rules is None or not state.meta.now:
        return
    turn = open_turn(state, look.tenant, node_id, live, book)
    turn.by_timer = True
    if rules.segments:
        segments.on_look(rules, turn)
    match.on_look(rules, turn, look.silent_max_ms)
    _derived(turn, rules)
    close_turn(state, turn, book)


def fire(state: Partition, member: str, book: Book) -> None:
    """Fire a due timer; one whose node has moved on in the meantime has no effect.

    Nor has a rule's at a node that too many share: its labels mature, and that is all.
    """
    address, _, timer_id = member.partition("|")
    tenant, _, node_id = address.partition(":")
    name = node_name(tenant, node_id)
    live = state.nodes[name]
    if not isinstance(live, Live):
        return
    timer = live.actor.timers.pop(timer_id, None)
    if timer is None:
        return
    state.dirty.add(name)
    turn = open_turn(state, tenant, node_id, live, book)
    turn.by_timer = True
    rules = book.rules(state.meta)
    if timer_id[0] in churn.TIMER_LETTERS:
        churn.on_timer(turn, timer_id, timer, book.models.get(state.meta.model))
    elif rules is not None and not live.links.shared:
        match.on_timer(rules, turn, timer_id, timer)
    if rules is not None and not live.links.shared:
        _derived(turn, rules)
    close_turn(state, turn, book)


def drop(state: Partition, member: str) -> None:
    """Forget a timer that cannot be fired; a node that is not loaded keeps its own note of it."""
    address, _, timer_id = member.partition("|")
    tenant, _, node_id = address.partition(":")
    name = node_name(tenant, node_id)
    live = state.nodes.get(name)
    if isinstance(live, Live) and live.actor.timers.pop(timer_id, None) is not None:
        state.dirty.add(name)


def _derived(turn: Turn, rules: match.RuleSet) -> None:
    looked_at = 0
    while turn.derived and looked_at < DERIVED_MAX:
        event, *rest = turn.derived
        turn.derived = tuple(rest)
        turn.outcome.derived.append(event)
        columns = rules.columns.get(event.type, exact.NOTHING)
        exact.append(turn.actor.logs, event.type, event.at, event.data, columns)
        match.on_event(rules, turn, event)
        looked_at += 1


def _count(state: Partition, trigger: Trigger) -> None:
    if trigger.held_out:
        state.outcome.count("held_out")
    elif trigger.status == "live":
        state.outcome.count("triggers")
        state.outcome.count(f"trigger:{trigger.rule}")
