"""Folds one node's part of a log once more, and notes what each record came to for one rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.events.model import Event
from engine.keys import node_name
from engine.matching.segments import ENTERED, LEFT
from engine.matching.why.occasion import (
    ACTED,
    TRANSITIONS,
    Occasion,
    asking_of,
    of_asking,
    of_change,
    of_event,
    of_note,
    of_segments,
    segments_of,
    waits_of,
)
from engine.matching.why.standing import AWAKE
from engine.outcome import Note, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival
from engine.pipeline.fold import fold
from engine.pipeline.needs import needed_nodes
from engine.pipeline.state import Live, Partition
from engine.profile.model import Actor
from engine.rules.model import Rule
from engine.runtime.past.part import Ticks

NOTED_MAX = 1_000  # occasions, the newest
_TYPES = {"entered": ENTERED, "left": LEFT}


class Watch:
    """Folds a node's part of a log and notes what each record came to for one rule.

    A person's every occasion is noted. At a thing happen thousands of events: between two times
    at which the rule acted, each reason against it is noted once, the newest, with how often.
    """

    def __init__(self, state: Partition, book: Book, tenant: str, node_id: str, rule: str) -> None:
        self._noted: list[Occasion] = []
        self._since: dict[tuple[str, int, str], Occasion] = {}  # it acted at a thing: reasons
        self._parts: set[str] = set()  # ids of what a thing has heard
        self._state = state
        self._book = book
        self._name = node_name(tenant, node_id)
        self._rule = rule
        self._newest: dict[str, tuple[int, str]] = {}  # group -> when, which rule acted

    def run(self, arrivals: Sequence[Arrival | Ticks]) -> None:
        """Fold all of them; a tick only where it decides something, or is the last of several."""
        for arrival in arrivals:
            if not isinstance(arrival, Ticks):
                self._fold(arrival)
                continue
            for tick in arrival.deciding(self._state.due):
                self._fold(tick)

    @property
    def occasions(self) -> list[Occasion]:
        """What was noted, the newest last."""
        return [*self._noted, *self._since.values()]

    @property
    def actor(self) -> Actor | None:
        """The person or thing as of now, None before its first event."""
        node = self._state.nodes.get(self._name)
        return node.actor if isinstance(node, Live) else None

    def _fold(self, arrival: Arrival) -> None:
        state, rule, actor = self._state, self._current(), self.actor
        before = _Before() if rule is None or actor is None else _before(rule, actor)
        for name in needed_nodes(state, [arrival]):
            state.nodes.setdefault(name, None)
        fold(state, arrival, self._book)
        state.note_timers()
        outcome, state.outcome = state.outcome, Outcome()
        state.dirty.clear()
        old, rule, actor = rule, self._current(), self.actor
        if rule is not None and actor is not None and rule.status in AWAKE:
            if old is not None and (ended := of_change(old, rule, actor, state.meta.now)):
                self._keep(ended, actor)
            self._note(rule, actor, arrival, outcome, before)

    def _note(
        self, rule: Rule, actor: Actor, arrival: Arrival, outcome: Outcome, before: "_Before"
    ) -> None:
        noted = False
        for note in outcome.notes:
            self._remember(note)
            if note.rule == rule.id:
                noted = True
                self._keep(of_note(rule, note, actor, rival=self._rival(rule)), actor)
        asking = asking_of(rule, actor)
        new = {name: each for name, each in asking.items() if before.asking.get(name) != each.due}
        self._noted += of_asking(rule, new, actor)
        happened = self._happened(arrival, outcome, actor)
        if not noted and not new:
            for event in [*happened, *outcome.derived]:
                found = of_event(rule, event, actor, waited=before.waits)
                if found is not None:
                    self._keep(found, actor)
        self._note_segments(rule, actor, outcome, before)

    def _note_segments(self, rule: Rule, actor: Actor, outcome: Outcome, before: "_Before") -> None:
        rules = self._book.rule_sets[self._state.meta.ruleset]
        told = {e.data["segment"]: e.at for e in outcome.derived if e.type in TRANSITIONS}
        for each in of_segments(segments_of(rule, rules.segments), before.segments, actor, told):
            if _TYPES.get(each.outcome) not in rule.hears:  # else it is told as the rule's step
                self._noted.append(each)

    def _happened(self, arrival: Arrival, outcome: Outcome, actor: Actor) -> list[Event]:
        """Return the event that a record was, if it was one and came for the first time."""
        if arrival.kind == "event":
            return [arrival.body] if outcome.counts.get("applied") else []
        if arrival.kind != "part" or actor.kind == "person" or arrival.body.id in self._parts:
            return []
        self._parts.add(arrival.body.id)
        return [arrival.body]

    def _keep(self, found: Occasion, actor: Actor) -> None:
        noted, since = self._noted, self._since
        if actor.kind != "person" and found.outcome not in ACTED:
            key = (found.outcome, found.step, found.clause.get("en", ""))
            if (before := since.pop(key, None)) is not None:
                first_at = before.first_at or before.at
                found = replace(found, times=before.times + 1, first_at=first_at)
            since[key] = found
            return
        noted += [*since.values(), found]
        since.clear()
        del noted[:-NOTED_MAX]

    def _current(self) -> Rule | None:
        rules = self._book.rules(self._state.meta)
        is_on = rules is not None and self._rule not in self._state.meta.disabled
        return rules.rules.get(self._rule) if rules and is_on else None

    def _rival(self, rule: Rule) -> str:
        found = [self._newest[group] for group in rule.groups if group in self._newest]
        return max(found)[1] if found else ""

    def _remember(self, note: Note) -> None:
        """Note which other rule acted: it may be what a limit or a suppression comes from."""
        rule = self._book.rule_sets[self._state.meta.ruleset].rules.get(note.rule)
        if note.outcome == "fired" and rule is not None and rule.id != self._rule:
            stops = {a.name for a in rule.actions if a.type == "suppress"}
            for group in rule.groups | stops:
                self._newest[group] = (note.at, rule.id)


@dataclass(frozen=True, slots=True)
class _Before:
    """What a record may change: armed waits, what waits for an incident, memberships."""

    waits: frozenset[str] = frozenset()
    asking: Mapping[str, int] = field(default_factory=dict)
    segments: Mapping[str, int] = field(default_factory=dict)


def _before(rule: Rule, actor: Actor) -> _Before:
    return _Before(
        waits=frozenset(waits_of(rule, actor)),
        asking={name: timer.due for name, timer in asking_of(rule, actor).items()},
        segments=dict(actor.segments),
    )
