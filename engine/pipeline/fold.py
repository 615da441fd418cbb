"""F: one record of the log changes the state of its partition, and nothing else decides how.

`fold` takes an arrival whose nodes are loaded (`needs.py`), changes the state in place and leaves
what goes out in `state.outcome`. No I/O, no clock, no chance: the same log gives the same bytes.
"""

from collections.abc import Callable

from engine.errors import ContractError
from engine.events import topics
from engine.identity.registrar import ADDRESS
from engine.ingest.dead import dead_letter
from engine.outcome import Move
from engine.pipeline import parting, persons, registry
from engine.pipeline.book import Book
from engine.pipeline.envelope import HOPS_MAX, Arrival, send
from engine.pipeline.state import Partition
from engine.pipeline.think import drop, fire


def fold(state: Partition, arrival: Arrival, book: Book) -> None:
    """Apply one record.

    A record that no step can read goes to the dead-letter topic with its reason, through the same
    commit as everything else, and the offset moves on. Any other error is ours and is raised.
    A tick with more due timers than a batch may fire is left unfinished: `meta.sub` counts what
    has fired, the offset stays, and the same record is to be folded again in the next batch.
    """
    before = state.meta.off
    assert arrival.record.offset > before, "records come once, in order"
    state.meta.off = arrival.record.offset
    if state.meta.closed >= 0 and arrival.src is None:
        return  # the next version of the log has it
    if arrival.error is not None:
        bury(state, arrival, arrival.error)
        return
    if arrival.src is not None:
        if arrival.mseq <= state.meta.src.get(arrival.src, 0):
            state.outcome.count("dropped_hop")
            return
        state.meta.src[arrival.src] = arrival.mseq
        if arrival.hop > HOPS_MAX:
            bury(state, arrival, ContractError(f"{arrival.hop} hops", code="identity/hops"))
            return
    try:
        STEPS[arrival.kind](state, arrival, book)
    except ContractError as error:
        bury(state, arrival, error)
    if state.meta.sub:
        state.meta.off = before


def bury(state: Partition, arrival: Arrival, error: ContractError) -> None:
    """Send a record to the dead-letter topic, with the reason; it has no other effect."""
    record = arrival.record
    _bury(state, f"{record.topic}:{record.partition}:{record.offset}", record.value, error)
    if arrival.kind == "event" and arrival.src is None:
        state.outcome.count("dead_source")


def pass_over(state: Partition, arrival: Arrival, error: ContractError) -> None:
    """Bury what the fold cannot bear, and move on: a record, or of a tick its next timer alone.

    A tick that could not be folded for one timer would keep the partition's time from going on.
    """
    record = arrival.record
    if arrival.kind == "tick" and arrival.error is None:
        member = state.pop_due(max(state.meta.clk, arrival.body.passed))
        if member is not None:
            place = f"{record.topic}:{record.partition}:{record.offset}"
            _bury(state, f"{place}/{member}", member.encode(), error)
            state.outcome.timers[member] = None
            drop(state, member)
            state.meta.sub += 1
            return
    bury(state, arrival, error)
    state.meta.off, state.meta.sub = record.offset, 0


def _bury(state: Partition, place: str, original: bytes, error: ContractError) -> None:
    letter = dead_letter(
        id=place,
        reason=error.code,
        where=str(error),
        original=original,
        source=topics.EVENTS,
        at=state.meta.now,
    )
    send(state, Move(topics.DEAD_EVENTS, -1, place, letter, ()))
    state.outcome.count("dead")


def _tick(state: Partition, arrival: Arrival, book: Book) -> None:
    meta = state.meta
    meta.now = max(meta.now, arrival.body.now)
    meta.clk = max(meta.clk, arrival.body.passed)
    state.note_timers()
    changed = state.outcome.timers
    for _ in range(state.timers_max):
        member = state.pop_due(meta.clk)
        if member is None:
            break
        meta.sub += 1
        state.outcome.timers = {member: None}
        (registry.fire if registry.is_mine(member) else fire)(state, member, book)
        state.note_timers()  # of this timer's own changes: all of the tick's would be a square
        changed.update(state.outcome.timers)
    state.outcome.timers = changed
    if not state.is_due(meta.clk):
        meta.sub = 0


def _ruleset(state: Partition, arrival: Arrival, book: Book) -> None:
    assert arrival.body.version in book.rule_sets, "the worker waits for it before it folds"
    meta = state.meta
    meta.ruleset = arrival.body.version
    if meta.disabled:
        rules = book.rule_sets[meta.ruleset].rules
        meta.disabled = {
            name: version
            for name, version in meta.disabled.items()
            if name not in rules or rules[name].version == version
        }


def _disable(state: Partition, arrival: Arrival, book: Book) -> None:
    body, rules = arrival.body, book.rule_sets.get(state.meta.ruleset)
    rule = rules.rules.get(body.rule) if rules else None
    if rule is not None and rule.version == body.version:  # else another has come meanwhile
        state.meta.disabled = {**state.meta.disabled, rule.id: rule.version}


def _model(state: Partition, arrival: Arrival, book: Book) -> None:
    assert arrival.body.version in book.models, "the worker waits for it before it folds"
    state.meta.model = arrival.body.version


def _grow(state: Partition, arrival: Arrival, book: Book) -> None:
    state.meta.closed = arrival.record.offset


def _grown(state: Partition, arrival: Arrival, book: Book) -> None:
    """Nothing: who carried the state over has seen to it that it stands behind this record."""


def _erase(state: Partition, arrival: Arrival, book: Book) -> None:
    at_registrar = arrival.node_id == ADDRESS
    (registry.erase if at_registrar else parting.forget)(state, arrival, book)


def _split(state: Partition, arrival: Arrival, book: Book) -> None:
    at_registrar = arrival.node_id == ADDRESS
    (registry.split if at_registrar else parting.split)(state, arrival, book)


STEPS: dict[str, Callable[[Partition, Arrival, Book], None]] = {
    "event": persons.event,
    "part": persons.part,
    "absorb": persons.absorb,
    "mi": persons.move_in,
    "ref": persons.refusal,
    "cmp": persons.shorten,
    "quar": persons.quarantine,
    "claim": registry.claim,
    "erase": _erase,
    "split": _split,
    "probe": persons.probe,
    "look": persons.look,
    "tick": _tick,
    "ruleset": _ruleset,
    "model": _model,
    "disable": _disable,
    "grow": _grow,
    "grown": _grown,
}
