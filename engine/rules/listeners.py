"""Which rules does an event concern? Most are never looked at; conditions are asked together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.profile.model import Actor
from engine.rules.expression.compile import Chooser, chooser
from engine.rules.model import Rule

JUDGED_MIN = 3  # fewer conditions are asked one by one
JUDGED_MAX = 100  # conditions of one function


class Listener(NamedTuple):
    """A rule that an event type may concern. `rank`: its turn; `places`: its steps, last first."""

    rank: int
    rule: Rule
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Which rules of one kind of actor an event type concerns, in the order of deciding.

    `steps`: whatever the event holds. `pinned`: (field, its text -> rules that want just that).
    `judged`: rules of one step whose conditions `judges` ask together, JUDGED_MAX each; `doubted`:
    those of them whose condition may be unknown.
    """

    steps: Sequence[Listener] = ()
    pinned: tuple[tuple[str, Mapping[str, tuple[Listener, ...]]], ...] = ()
    absent: tuple[Rule, ...] = ()
    cancels: tuple[Rule, ...] = ()
    judged: tuple[Listener, ...] = ()
    doubted: tuple[Listener, ...] = ()
    judges: Sequence[Chooser] = ()
    ends: bool = False  # some waits: `absent` or `cancels` has a rule

    def concerned(self, data: Mapping[str, Any]) -> Sequence[Listener]:
        """Return the rules that an event with this data can concern, in order, but the judged."""
        found: Sequence[Listener] = self.steps
        for name, by_text in self.pinned:
            text = data.get(name)
            if type(text) is str and (more := by_text.get(text)) is not None:
                # Ranks differ, so nothing else is compared.
                found = sorted([*found, *more]) if found else more
        return found

    def chosen(self, data: Mapping[str, Any], actor: Actor, at: int) -> list[Listener] | None:
        """Return the judged whose condition holds; None: a value's type is wrong, ask each."""
        found: list[Listener] = []
        for part, choose in enumerate(self.judges):
            places = choose(data, actor, at)
            if places is None:
                return None
            if places:
                first = part * JUDGED_MAX
                found += [self.judged[first + place] for place in places]
        return found


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
    if len(judged) < JUDGED_MIN:
        always, judged = sorted([*always, *judged]), []
    return Listeners(
        steps=tuple(always),
        pinned=tuple(
            (name, {text: tuple(found) for text, found in by_text.items()})
            for name, by_text in sorted(pinned.items())
        ),
        absent=tuple(absent),
        cancels=tuple(cancels),
        judged=tuple(judged),
        doubted=tuple(each for each in judged if each.rule.steps[0].doubts is not None),
        judges=_judges(judged),
        ends=bool(absent or cancels),
    )


def _judges(judged: list[Listener]) -> list[Chooser]:
    """Return the choosers of some rules, each written when the first event of its type comes."""
    made: list[Chooser] = []

    def later(part: int) -> Chooser:
        def choose(data: Mapping[str, Any], actor: Actor, at: int) -> list[int] | None:
            listeners = judged[part * JUDGED_MAX : (part + 1) * JUDGED_MAX]
            wheres = [each.rule.steps[0].where for each in listeners]
            made[part] = chooser([where for where in wheres if where is not None])
            return made[part](data, actor, at)

        return choose

    made += [later(part) for part in range(-(-len(judged) // JUDGED_MAX))]
    return made
