"""The registrar's turn: claims in the order of its log, answers as messages (IDENTITY.md)."""

from collections.abc import Iterator, MutableMapping

from engine.errors import ContractError
from engine.identity import messages, registrar
from engine.identity.registrar import ADDRESS, ERASED_MS, Entry, Joined
from engine.keys import registrar_name
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival, send_control
from engine.pipeline.state import Partition

_FORGET = "x"  # name of its timers: a null mark has been there long enough


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
            send_control(state, "absorb", verdict.loser, order, secret=book.secret, hop=arrival.hop)
        elif verdict is not None:
            state.outcome.count("refused")
            refusal = messages.Refusal(body.tenant, name, verdict.hard, body.ev)
            send_control(state, "ref", body.by, refusal, secret=book.secret, hop=arrival.hop)
            if verdict.quarantined:
                state.outcome.count("quarantined")
                notice = messages.Quarantine(body.tenant)
                send_control(state, "quar", name, notice, secret=book.secret, hop=arrival.hop)


def erase(state: Partition, arrival: Arrival, book: Book) -> None:
    """Erase a whole person: every node of it becomes a null signpost, every entry a null mark."""
    body: messages.Erase = arrival.body
    entries = _Entries(state, body.tenant)
    erased = registrar.erase(entries, body.name)
    if erased is None:
        return
    order = messages.Absorb(body.tenant, "", cut=erased.cut)
    for member in erased.members:
        send_control(state, "absorb", member, order, secret=book.secret, hop=arrival.hop)
        if not erased.cut:
            timer = f"{body.tenant}:{ADDRESS}/{member}|{_FORGET}"
            state.outcome.timers[timer] = max(state.meta.now, body.at) + ERASED_MS
    state.outcome.count("erased")


def split(state: Partition, arrival: Arrival, book: Book) -> None:
    """Part a person in two; the node that keeps the name lets the others' events go.

    Raises
    ------
    ContractError
        If nothing would leave or nothing stay: the order goes to the dead letters.
    """
    body: messages.Split = arrival.body
    cut = registrar.cut(_Entries(state, body.tenant), body.name, body.ids)
    if cut is None:
        raise ContractError(
            f"$.ids: want some, not all, of the identifiers of the person of {body.name}",
            code="identity/split",
        )
    order = messages.Split(body.tenant, cut.name, cut.ids)
    send_control(state, "split", cut.root, order, secret=book.secret, hop=arrival.hop)
    state.outcome.count("split")


def is_mine(member: str) -> bool:
    """Tell whether a timer is the registrar's."""
    return timer_entry(member) is not None


def timer_entry(member: str) -> tuple[str, str] | None:
    """Return (tenant, birth id) of a timer of the registrar, None of a node's."""
    tenant, _, address = member.partition("|")[0].partition(":")
    owner, slash, birth_id = address.partition("/")
    return (tenant, birth_id) if slash and owner == ADDRESS else None


def fire(state: Partition, member: str, book: Book) -> None:
    """Fire a timer of the registrar: an erased identifier may begin anew.

    The mark goes first and then, behind all that was ever said to the node, what the node keeps:
    so it never claims while the registrar still holds it for erased.
    """
    found = timer_entry(member)
    assert found is not None, "the fold sends only the registrar's timers here"
    tenant, birth_id = found
    if registrar.forget(_Entries(state, tenant), birth_id):
        notice = messages.Erase(tenant, birth_id, state.meta.now)
        send_control(state, "erase", birth_id, notice, secret=book.secret, hop=0)
