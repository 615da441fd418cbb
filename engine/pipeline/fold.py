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
from engine.pipeline.think import fire


def fold(state: Partition, arrival: Arrival, book: Book) -> None:
    """Apply one record.

    A record that no step can read goes to the dead-letter topic with its reason, through the same
    commit as everything else, and the offset moves on. Any other error is ours and is raised.
    """
    assert arrival.record.offset > state.meta.off, "records come once, in order"
    state.meta.off = arrival.record.offset
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


def bury(state: Partition, arrival: Arrival, error: ContractError) -> None:
    """Send a record to the dead-letter topic, with the reason; it has no other effect."""
    record = arrival.record
    place = f"{record.topic}:{record.partition}:{record.offset}"
    letter = dead_letter(
        id=place,
        reason=error.code,
        where=str(error),
        original=record.value,
        source=topics.EVENTS,
        at=state.meta.now,
    )
    send(state, Move(topics.DEAD_EVENTS, -1, place, letter, ()))
    state.outcome.count("dead")
    if arrival.kind == "event" and arrival.src is None:
        state.outcome.count("dead_source")


def _tick(state: Partition, arrival: Arrival, book: Book) -> None:
    meta = state.meta
    meta.now = max(meta.now, arrival.body.now)
    meta.clk = max(meta.clk, arrival.body.passed)
    state.note_timers()
    while (member := state.pop_due(meta.clk)) is not None:
        state.outcome.timers[member] = None
        (registry.fire if registry.is_mine(member) else fire)(state, member, book)
        state.note_timers()


def _ruleset(state: Partition, arrival: Arrival, book: Book) -> None:
    assert arrival.body.version in book.rule_sets, "the worker waits for it before it folds"
    state.meta.ruleset = arrival.body.version


def _model(state: Partition, arrival: Arrival, book: Book) -> None:
    assert arrival.body.version in book.models, "the worker waits for it before it folds"
    state.meta.model = arrival.body.version


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
    "tick": _tick,
    "ruleset": _ruleset,
    "model": _model,
}
