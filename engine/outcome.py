"""What one batch of records changes besides the nodes: timers, triggers, moves, counts.

The fold writes here and nowhere else; the runtime commits all of it in one call, or none.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.events.model import Event
from engine.events.record import Headers

CODES = (
    "applied",  # a source event that reached a person or a thing, first time
    "duplicate",  # an event id that the node's ring holds already
    "late",  # applied, older than log time by more than LATE_AFTER_MS
    "clamped",  # applied, later than log time by more than AHEAD_MS_MAX
    "forwarded",  # passed on to the node that its home points to
    "dropped_erased",  # met a null tombstone
    "dropped_hop",  # a move that was applied before: high-water of its source
    "dead_source",  # of these: events at their first stop, as the door has counted them
    "dead",  # sent to the dead-letter topic by the fold
    "claims",
    "absorbed",
    "refused",
    "quarantined",
    "merged",
    "erased",  # persons, by order of staff
    "split",  # persons parted in two, by order of staff
    "customers",  # live person nodes: +1 created, -1 absorbed
    "triggers",  # left through the outbox
    "held_out",
    "suppressed",  # stopped by a limit, a suppression, consent or freshness
    "late_event",  # arrived after the decision that it would have changed
    "unknown",  # a rule's condition met a missing value
    "rule_errors",
    "labels",
    "tails_lost",  # what the next release kept of an absorbed customer, and we do not know
)


class Move(NamedTuple):
    """A record that is not a trigger: to another node, or to a topic of ours.

    `partition` None means: by the key, with the topic's own partition count (dead letters, labels).
    """

    topic: str
    partition: int
    key: str
    value: bytes
    headers: Headers


class Note(NamedTuple):
    """What became of a rule that came true, for whoever watches the fold; never stored.

    `outcome`: fired, held_out, shadow, or what stopped it. `at`: event time it is about, UTC ms.
    `match`: what was decided about (engine/decision/match.py).
    """

    rule: str
    tenant: str
    customer: str
    at: int
    outcome: str
    action: str = ""
    channels: tuple[str, ...] = ()
    match: Any = None


@dataclass(slots=True)
class Outcome:
    """Effects of a batch, in order; `timers` maps member to score, None where it is removed."""

    timers: dict[str, int | None] = field(default_factory=dict)
    triggers: list[tuple[int, Move]] = field(default_factory=list)  # (oseq, record)
    moves: list[tuple[int, Move]] = field(default_factory=list)  # (mseq, record)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    derived: list[Event] = field(default_factory=list)  # of our own, looked at; for who watches
    broken: list[tuple[str, str]] = field(default_factory=list)  # (rule, its version), each time

    def count(self, code: str, n: int = 1) -> None:
        """Add to one of `CODES`, or to `trigger:<rule>`: both are bounded sets."""
        self.counts[code] = self.counts.get(code, 0) + n


@dataclass(slots=True)
class Meta:
    """What Redis holds of a partition besides its nodes (WIRE.md, Redis: `m`)."""

    off: int = -1  # last applied offset; -1 before the first
    sub: int = 0  # timers that fired of the tick at off + 1, which is not done yet; 0: not begun
    fp: int | None = None  # fingerprint of the record at `off`
    clk: int = 0  # T: what all partitions have passed, by the last tick
    now: int = 0  # `now` of the last tick: log time
    prg: int = 0  # `now` before the last APPLY
    oseq: int = 0
    mseq: int = 0
    closed: int = -1  # offset of the record behind which only moves are folded; -1: none yet
    src: dict[int, int] = field(default_factory=dict)  # source partition -> highest mseq applied
    ruleset: str = ""
    model: str = ""
    disabled: dict[str, str] = field(default_factory=dict)  # rule that breaks -> its version
    counts: dict[str, int] = field(
        default_factory=dict
    )  # totals of outcome.CODES, part of the state
