"""S: the state of one partition while a batch is folded, and the bytes of its nodes."""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import msgspec

from engine.errors import StateError
from engine.identity.node import Links, Tombstone
from engine.identity.registrar import Entry, Root
from engine.outcome import Meta, Outcome
from engine.pipeline import later
from engine.profile.model import Actor

STATE_VERSION = 1
TICK_TIMERS_MAX = 1_000  # that fire in one batch: each has a node to load and to write
_LIVE, _TOMBSTONE, _ROOT, _POINTER = b"L", b"T", b"R", b"P"


class Live(msgspec.Struct, array_like=True, gc=False):
    """A node where a person or a thing lives: its links to identifiers, and all that is known."""

    v: int
    links: Links
    actor: Actor


class LaterLive(Live):
    """A node of the next release, with the bytes that it was read from."""

    original: bytes = b""


Node = Live | Tombstone | None
_OWN = b"\x93%c" % STATE_VERSION  # how a node begins that this release has written: 3 fields, v
_pack = msgspec.msgpack.Encoder().encode
_TOMBSTONE_OWN, _ROOT_OWN = (0x90 + len(kind.__struct_fields__) for kind in (Tombstone, Root))
_live = msgspec.msgpack.Decoder(Live).decode
_tombstone = msgspec.msgpack.Decoder(Tombstone).decode
_root = msgspec.msgpack.Decoder(Root).decode


def encode_node(node: Node) -> bytes | None:
    """Return a node's bytes; None for an absent one."""
    if node is None:
        return None
    kind = type(node)
    if kind is Live:
        return _LIVE + _pack(node)
    if kind is Tombstone:
        return _TOMBSTONE + _pack(node)
    known = Live if isinstance(node, Live) else Tombstone
    return (_LIVE if known is Live else _TOMBSTONE) + later.write(node, known)


def decode_node(name: str, data: bytes | None) -> Node:
    """Return the node of some bytes.

    Of the next release's it keeps what it does not know, and writes it again.

    Raises
    ------
    StateError
        If a release behind the next one wrote it.
    """
    if data is None:
        return None
    if data[:1] == _TOMBSTONE:
        return _tombstone(data[1:]) if data[1] == _TOMBSTONE_OWN else _later_tombstone(data[1:])
    if data[1:3] == _OWN:
        return _live(data[1:])
    version = later.version(data[1:])
    if version > STATE_VERSION + 1:
        raise StateError(
            f"state of version {version}, we know up to {STATE_VERSION + 1}; upgrade this worker",
            where=name,
        )
    node = _live(data[1:])
    if node.v > STATE_VERSION:
        return LaterLive(node.v, node.links, node.actor, data[1:])
    node.v = STATE_VERSION  # what it had not has its default by now
    return node


def _later_tombstone(data: bytes) -> Tombstone:
    found: Tombstone = later.read(Tombstone, later.LaterTombstone, data)
    return found


def encode_entry(entry: Entry) -> bytes | None:
    """Return a registrar entry's bytes; None for an unknown identifier."""
    if entry is None:
        return None
    if isinstance(entry, str):
        return _POINTER + entry.encode("ascii")
    return _ROOT + (_pack(entry) if type(entry) is Root else later.write(entry, Root))


def decode_entry(data: bytes | None) -> Entry:
    """Return the registrar entry of some bytes."""
    if data is None:
        return None
    if data[:1] == _POINTER:
        return data[1:].decode("ascii")
    if data[1] == _ROOT_OWN:
        return _root(data[1:])
    found: Root = later.read(Root, later.LaterRoot, data[1:])
    return found


@dataclass(slots=True)
class Partition:
    """State of partition `index` of `count`; `nodes` and `entries` of the batch, by key name.

    `due` is a heap of (score, member); a member whose `timers` score differs is stale there. Of a
    tick that has more than `timers_max` due the batch fires so many, and the next one goes on.
    """

    index: int
    count: int
    meta: Meta
    nodes: dict[str, Node] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    due: list[tuple[int, str]] = field(default_factory=list)
    dirty: set[str] = field(default_factory=set)
    outcome: Outcome = field(default_factory=Outcome)
    timers_max: int = TICK_TIMERS_MAX

    def set_timers(self, timers: list[tuple[str, int]]) -> None:
        """Take over the stored timers, (member, score) each."""
        self.timers = dict(timers)
        self.due = [(score, member) for member, score in timers]
        heapify(self.due)

    def note_timers(self) -> None:
        """Bring the batch's timer changes into the heap: before each tick, and at its end."""
        for member, score in self.outcome.timers.items():
            if score is None:
                self.timers.pop(member, None)
            elif self.timers.get(member) != score:
                self.timers[member] = score
                heappush(self.due, (score, member))

    def due_members(self, passed: int) -> list[str]:
        """Return the members that are due when T is `passed`, without taking them.

        Of more than `timers_max` only the first so many, in the order in which they fire.
        """
        found = self._some_due(passed)
        if len(found) <= self.timers_max:
            return found
        first: dict[str, int] = {}
        while len(first) < self.timers_max and self.is_due(passed):
            score, member = heappop(self.due)
            first[member] = score
        for member, score in first.items():
            heappush(self.due, (score, member))
        return list(first)

    def overflows(self, passed: int) -> bool:
        """Tell whether more timers are due when T is `passed` than one batch may fire."""
        return len(self._some_due(passed)) > self.timers_max

    def _some_due(self, passed: int) -> list[str]:
        """Return all members that are due, or one more than `timers_max` of them."""
        due, places = self.due, [0]
        found: list[str] = []
        while places and len(found) <= self.timers_max:  # down the heap, no further than is due
            place = places.pop()
            if place < len(due) and due[place][0] <= passed:
                score, member = due[place]
                if self.timers.get(member) == score:
                    found.append(member)
                places += (2 * place + 1, 2 * place + 2)
        return found

    def is_due(self, passed: int) -> bool:
        """Tell whether a timer is due when T is `passed`; then it is the first of the heap."""
        while self.due and self.due[0][0] <= passed:
            score, member = self.due[0]
            if self.timers.get(member) == score:
                return True
            heappop(self.due)
        return False

    def pop_due(self, passed: int) -> str | None:
        """Take the next due timer in the order of (score, member); None when there is none."""
        if not self.is_due(passed):
            return None
        _, member = heappop(self.due)
        del self.timers[member]
        return member

    def begin(self) -> None:
        """Begin a batch: what the last one loaded and changed has been committed."""
        self.nodes, self.entries, self.dirty = {}, {}, set()
        self.outcome = Outcome()

    def states(self) -> dict[str, bytes | None]:
        """Return the bytes of all that the batch changed, by key name."""
        return {
            name: encode_node(self.nodes[name])
            if name in self.nodes
            else encode_entry(self.entries[name])
            for name in self.dirty
        }
