"""The registrar's turn: claims in the order of its log, answers as messages (IDENTITY.md)."""

from collections.abc import Iterator, MutableMapping

from engine.identity import messages, registrar
from engine.identity.registrar import Entry, Joined
from engine.keys import registrar_name
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, send_control
from engine.pipeline.state import Partition

REGISTRAR = "R"  # its address, and what its partition is computed from


class _Entries(MutableMapping[str, Entry]):
    """A tenant's entries by birth id, over the partition's by key name; notes what changes."""

    def __init__(self, state: Partition, tenant: str) -> None:
        self._state = state
        self._tenant = tenant

    def __getitem__(self, birth_id: str) -> Entry:
        return self._state.entries[registrar_name(self._tenant, birth_id)]

    def __setitem__(self, birth_id: str, entry: Entry) -> None:
        name = registrar_name(self._tenant, birth_id)
        self._state.entries[name] = entry
        self._state.dirty.add(name)

    def __delitem__(self, birth_id: str) -> None:
        raise TypeError("the registrar forgets nothing")

    def __iter__(self) -> Iterator[str]:
        raise TypeError("the registrar's entries are looked up, not listed")

    def __len__(self) -> int:
        raise TypeError("the registrar's entries are looked up, not listed")


def claim(state: Partition, arrival: Arrival, book: Book) -> None:
    """Decide the claims of one event, in order; tell the loser of a union, or the refused."""
    body: messages.Claim = arrival.body
    entries = _Entries(state, body.tenant)
    for name in body.names:
        state.outcome.count("claims")
        verdict = registrar.claim(entries, body.by, name, body.ev)
        if isinstance(verdict, Joined):
            order = messages.Absorb(body.tenant, verdict.winner, verdict.forced, verdict.shared)
            send_control(
                state, "absorb", verdict.loser, order, secret=book.secret, hop=arrival.hop
            )
        elif verdict is not None:
            state.outcome.count("refused")
            refusal = messages.Refusal(body.tenant, name, verdict.hard)
            send_control(state, "ref", body.by, refusal, secret=book.secret, hop=arrival.hop)
            if verdict.quarantined:
                state.outcome.count("quarantined")
                notice = messages.Quarantine(body.tenant)
                send_control(state, "quar", name, notice, secret=book.secret, hop=arrival.hop)
