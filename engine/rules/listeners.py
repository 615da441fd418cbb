"""Which rules does an event concern? Most are never looked at; conditions are asked together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.profile.model import Actor
from engine.rules.expression.compile import Chooser, chooser
from engine.rules.model import Rule

JUDGED_MAX = 100  # conditions of one function


class Listener(NamedTuple):
    """A rule that an event type may concern.

    `rank`: its turn. `places`: its steps, last first. `is_known`: its condition holds, as asked.
    """

    rank: int
    rule: Rule
    places: tuple[int, ...]
    is_known: bool = False


@dataclass(slots=True)
class Judge:
    """Asks the conditions of some rules of one step together.

    `choose(data, actor, at)`: those that hold; raises where a value is of a wrong type. `doubted`:
    those of them whose condition may be unknown.
    """

    listeners: tuple[Listener, ...]
    doubted: tuple[Listener, ...] = field(init=False)
    choose: Chooser[Listener] = field(init=False)

    def __post_init__(self) -> None:
        self.doubted = tuple(
            each for each in self.listeners if each.rule.steps[0].doubts is not None
        )
        self.choose = self._first_asked  # code is written when the first event of its type comes

    def _first_asked(self, data: Mapping[str, Any], actor: Actor, at: int) -> tuple[Listener, ...]:
        given = [
            (where, each._replace(is_known=True))
            for each in self.listeners
            if (where := each.rule.steps[0].where) is not None
        ]
        self.choose = chooser(given)
        return self.choose(data, actor, at)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Which rules of one kind of actor an event type concerns, in the order of deciding.

    `steps`: whatever the event holds. `pinned`: (field, its text -> rules that want just that).
    `judges`: of rules of one step that have a condition and no pin, JUDGED_MAX each.
    """

    steps: tuple[Listener, ...] = ()
    pinned: tuple[tuple[str, Mapping[str, tuple[Listener, ...]]], ...] = ()
    absent: tuple[Rule, ...] = ()
    cancels: tuple[Rule, ...] = ()
    judges: tuple[Judge, ...] = ()
    ends: bool = False  # some waits: `absent` or `cancels` has a rule


def in_order(some: tuple[Listener, ...], more: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Return both by rank; no two are equal in that, so nothing else is compared."""
    return tuple(sorted(some + more)) if some and more else some or more


def listeners_of(steps: list[Listener], absent: list[Rule], cancels: list[Rule]) -> Listeners:
    """Sort rules of one event type by what they ask of it."""
    always: list[Listener] = []
    judged: list[Listener] = []
    pinned: dict[str, dict[str, list[Listener]]] = {}
    for listener in steps:
        where = listener.rule.steps[0].where if listener.rule.is_simple else None
        pin = None if where is None else next(iter(sorted(where.reads.pins.items())), None)
        if pin is None:
            (always if where is None else judged).append(listener)
            continue
        for text in set(pin[1]):
            pinned.setdefault(pin[0], {}).setdefault(text, []).append(listener)
    return Listeners(
        steps=tuple(always),
        pinned=tuple(
            (name, {text: tuple(found) for text, found in by_text.items()})
            for name, by_text in sorted(pinned.items())
        ),
        absent=tuple(absent),
        cancels=tuple(cancels),
        judges=tuple(
            Judge(tuple(judged[first : first + JUDGED_MAX]))
            for first in range(0, len(judged), JUDGED_MAX)
        ),
        ends=bool(absent or cancels),
    )
