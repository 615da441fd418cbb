"""What the three rules of `rules.py` mean, by heart: shares no code with the engine.

A trigger is ("trigger", id, rule, customer, cause, at, decided at).
"""

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from typing import Any

TENANT = "demo"
WITHIN_MS = 5_000
LATENESS_MS = 10_000  # of every source that may send these events
SPAN_MS, AT_MOST = 20_000, 2
FIRED_MAX = 64
LOST_MAX = 10
BIG_MINOR = 10_000
Trigger = tuple[Any, ...]


@dataclass
class Wait:
    """A cart that waits for an order until `at + WITHIN_MS`; one came at `end`."""

    at: int
    cause: str
    end: int | None = None

    @property
    def due(self) -> int:
        """When nobody waits any more."""
        return self.at + WITHIN_MS


@dataclass
class Memory:
    """What the rules remember of a person. `score`: of the armed timer, None if there is none."""

    fired: list[int] = field(default_factory=list)  # of `thanks`
    orders: list[int] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    score: int | None = None

    def bought(self, at: int) -> None:
        """Note an order."""
        self.orders = sorted([*self.orders, at])

    def take_in(self, other: "Memory") -> None:
        """Add what was known of somebody who is the same person; of two timers the earlier."""
        self.fired = sorted(self.fired + other.fired)[-FIRED_MAX:]
        self.orders = sorted(self.orders + other.orders)
        self.waits = sorted(self.waits + other.waits, key=_mark)
        scores = [score for score in (self.score, other.score) if score is not None]
        self.score = min(scores, default=None)


def big_order(cause: str, at: int, value: int, who: str, *, now: int) -> list[Trigger]:
    """An order of more than 100.00."""
    return [_trigger("big-order", cause, who, at, now)] if value > BIG_MINOR else []


def thanks(memory: Memory, cause: str, at: int, who: str, *, now: int) -> list[Trigger]:
    """A review, twice in 20 s at most; what was answered for a later time counts too."""
    if sum(then > at - SPAN_MS for then in memory.fired) >= AT_MOST:
        return []
    memory.fired = sorted([*memory.fired, at])[-FIRED_MAX:]
    return [_trigger("thanks", cause, who, at, now)]


def left_cart(memory: Memory, cause: str, at: int, *, passed: int) -> None:
    """A cart begins to wait; what is known of the time behind it counts already."""
    new = Wait(at, cause)
    memory.waits = sorted([*memory.waits, new], key=_mark)
    _look_back(memory, new)
    _plan(memory, passed)


def stopped(memory: Memory, at: int, *, passed: int) -> None:
    """An order ends the waits that it falls into."""
    if memory.waits:
        for each in memory.waits:
            if each.at < at <= (each.due if each.end is None else each.end):
                each.end = at
        _plan(memory, passed)


def come_up(memory: Memory, score: int, who: str, *, now: int, passed: int) -> list[Trigger]:
    """The timer has fired: which carts were left?"""
    due = score - LATENESS_MS
    for each in memory.waits:
        _look_back(memory, each)
    over = [each for each in _alive(memory.waits) if each.due <= due]
    if over:
        memory.waits = [each for each in memory.waits if each.at > over[-1].due]
    _plan(memory, passed)
    return [_trigger("left-cart", each.cause, who, each.due, now) for each in over]


def _look_back(memory: Memory, wait: Wait) -> None:
    inside = [at for at in memory.orders if wait.at < at <= wait.due]
    if inside:
        wait.end = inside[0]


def _alive(waits: list[Wait]) -> list[Wait]:
    """Return those that no order has ended, and no newer cart that came while they waited."""
    return [
        each
        for each, newer in zip_longest(waits, waits[1:])
        if each.end is None and (newer is None or newer.at > each.due)
    ]


def _plan(memory: Memory, passed: int) -> None:
    """Arm the next timer; what has lost is kept as long as a late event may still ask for it."""
    living = _alive(memory.waits)
    memory.score = min((each.due for each in living), default=None)
    if memory.score is not None:
        memory.score += LATENESS_MS
    arrived = passed - LATENESS_MS
    lost = [
        each
        for each in memory.waits
        if not any(each is other for other in living) and max(each.at, each.end or 0) > arrived
    ]
    memory.waits = sorted([*living, *lost[-LOST_MAX:]], key=_mark)


def _mark(wait: Wait) -> tuple[int, str]:
    return wait.at, wait.cause


def _trigger(rule: str, cause: str, who: str, at: int, now: int) -> Trigger:
    name = sha256("\0".join((TENANT, rule, cause, "", "0")).encode()).hexdigest()[:32]
    return ("trigger", name, rule, who, cause, at, now)
