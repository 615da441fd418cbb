"""A rule, checked and compiled: plain frozen data with its conditions as functions."""

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.profile.model import Actor
from engine.rules.expression.compile import Condition, Value

STATUSES = ("draft", "shadow", "live", "paused", "retired")
REPEATS = ("restart", "keep-first", "each")
KINDS = ("marketing", "service")
ACTIONS = ("offer", "message", "case", "event", "suppress")
CONTEXT = "context"  # alias of what a thing has answered
CONTEXTS = ("city",)  # kinds of things that may be asked: so is the fact called that names one
COUNT_MAX = 64  # the largest count of a limit: so many decision times are kept
CHANNELS = ("email", "sms", "push", "app", "wechat", "call", "mail", "desk", "web")


Template = tuple[str | Value, ...]
"""Text and values, one behind the other; a single part keeps its type."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """One step of `when`: `times` events of one type.

    `within_ms`: of a first step, last - first is less than it; behind another step, each lies in
    (0, within_ms] of that (None: at any time). Of an absent step: no such event in
    (t0, t0 + within_ms], or what `within` computes at t0.
    """

    event: str
    alias: str
    where: Condition | None = None
    times: int = 1
    within_ms: int | None = None
    within: Value | None = None
    doubts: "Doubts | None" = None


class Doubts(msgspec.Struct, frozen=True, gc=False):
    """What may leave a step's `where` unknown: names that may be missing.

    `fields`: of the event; `others`: of something else, so that only the condition can tell.
    """

    fields: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    others: bool = False

    def are_justified(self, data: Mapping[str, Any], actor: Actor) -> bool:
        """Tell whether it is worth asking the condition why it does not hold; never costly."""
        return self.others or not (
            self.fields <= data.keys()
            and self.traits <= actor.traits.keys()
            and self.features <= actor.scores.keys()
        )


class Schedule(msgspec.Struct, frozen=True, gc=False):
    """What comes by itself, as the first step: a date of the profile, a silence, or some weekdays.

    A date: `before_ms` before it. A silence: nothing of type `event` ('': nothing that is not
    `ours`) for `silent_ms`, and then at `at_minutes` (-1: at once). Every week: on `weekdays` (1 =
    Monday). At a local time of day.
    """

    fact: str
    at_minutes: int
    before_ms: int = 0
    yearly: bool = True
    silent_ms: int = 0
    event: str = ""
    ours: frozenset[str] = frozenset()
    weekdays: tuple[int, ...] = ()


class Segment(msgspec.Struct, frozen=True, gc=False):
    """Customers for whom a condition holds.

    `daily`: who is looked at every day, since time alone changes it: "members" (who is in it may
    fall out), "everybody" (who is not may come in), "never" (only events change it).
    `moved_by`: the event types that may change it, None: any. `ages`: so may time.
    """

    name: str
    title: Mapping[str, str]
    condition: Condition
    daily: str = "never"
    moved_by: frozenset[str] | None = None
    ages: bool = False

    def is_settled(self, since: int, event_type: str) -> bool:
        """Tell whether an event cannot change it for who is in it `since`, or not in it (0)."""
        if self.moved_by is None or event_type in self.moved_by:
            return False
        return not self.ages or (self.daily == "members" and not since)


class Axis(msgspec.Struct, frozen=True, gc=False):
    """One scale of a table: its grades, the strongest first; None holds otherwise."""

    name: str
    grades: tuple[tuple[str, Condition | None], ...]

    def grade(self, events: Mapping[str, dict[str, Any]], actor: Actor, at: int) -> str | None:
        """Return the first grade that definitely holds at `at` (UTC ms), None without one."""
        for name, condition in self.grades:
            if condition is None or condition.holds(events, actor, at):
                return name
        return None


class Table(msgspec.Struct, frozen=True, gc=False):
    """What to do by grade: grades of all axes -> places in the rule's actions."""

    axes: tuple[Axis, ...]
    cells: Mapping[tuple[str, ...], tuple[int, ...]]

    def grades(
        self, events: Mapping[str, dict[str, Any]], actor: Actor, at: int
    ) -> dict[str, str] | None:
        """Return scale -> grade, None where one has none."""
        found = {axis.name: axis.grade(events, actor, at) for axis in self.axes}
        known = {name: grade for name, grade in found.items() if grade is not None}
        return known if len(known) == len(found) else None


class Action(msgspec.Struct, frozen=True, gc=False):
    """One thing to do. `fields`: name -> text, or parts of text and values."""

    type: str
    name: str
    channels: tuple[str, ...] = ()
    deadline_ms: int = 0
    for_ms: int = 0
    fields: Mapping[str, Template] = {}


class Limit(msgspec.Struct, frozen=True, gc=False):
    """At most `count` decisions in a rolling `span_ms`, or, with None, on a local calendar day."""

    count: int
    span_ms: int | None
    group: str = ""


class Goal(msgspec.Struct, frozen=True, gc=False):
    """What the rule wants to happen within `within_ms` after its decision."""

    event: str
    within_ms: int


class Scope(msgspec.Struct, frozen=True, gc=False):
    """Where a rule is tried: facts of the profile with the values that count, and a share of those.

    `share`: 0 to 1, always the same customers; who lacks a fact is outside.
    """

    facts: Mapping[str, frozenset[str]] = {}
    share: float = 1.0


class Guard(msgspec.Struct, frozen=True, gc=False):
    """More than `more_than` customers of one cause (`same`) within `within_ms`: none is contacted.

    Each waits `wait_ms` to hear of it; the incident is a case of the name `case`.
    """

    same: Value
    more_than: int
    within_ms: int
    wait_ms: int
    case: str

    @property
    def asked_max(self) -> int:
        """How many that asked an incident remembers."""
        return 4 * self.more_than + 16


class Case(msgspec.Struct, frozen=True, gc=False):
    """A test inside the file; times are ms from its start. `start`: UTC ms of 0m.

    `events`: at, arrives, type, data, who it happens to ('' for the test's own customer).
    """

    name: str
    line: int
    start: int
    held_out: bool
    features: Mapping[str, float]
    profile: Mapping[str, Any]
    events: tuple[tuple[int, int, str, Mapping[str, Any], str], ...]
    expect: tuple[Mapping[str, Any], ...]


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One rule. `version`: hash of what it says; partial matches of another version end.

    `status` retired: it never acts again, but goals of its decisions are still reported.
    """

    id: str
    path: str
    version: str
    title: Mapping[str, str]
    owner: str
    why: str = ""
    status: str = "draft"
    priority: int = 0
    kind: str = "marketing"
    key: str = "person"
    per: str = ""
    schedule: Schedule | None = None
    steps: tuple[Step, ...] = ()  # the positive ones, in order
    absent: Step | None = None
    cancels: tuple[Step, ...] = ()  # call it off, from its first step until it acts
    condition: Condition | None = None
    repeat: str = "keep-first"
    actions: tuple[Action, ...] = ()
    table: Table | None = None
    limits: tuple[Limit, ...] = ()
    group: str = ""
    quiet: tuple[int, int] | None = None  # minutes of the local day, from and to
    holdout: float = 0.0
    goal: Goal | None = None
    guard: Guard | None = None
    scope: Scope | None = None
    context: str = ""  # kind of the thing that is asked before it is decided, one of CONTEXTS
    fresh_ms: int = 3_600_000
    cases: tuple[Case, ...] = ()
    groups: frozenset[str] = frozenset()  # they can suppress this rule, or cap it; service: none
    keeps: Mapping[str, tuple[str, ...]] = {}  # event type -> fields read
    sketched: frozenset[tuple[str, str]] = frozenset()  # (event type, column) that things sketch
    sentence: Mapping[str, str] = {}  # by language: when it comes true
    is_simple: bool = False  # one step, once: nothing is remembered until it holds

    def kept(self, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the rule reads of an event: all that a state keeps of it."""
        return {name: data[name] for name in self.keeps.get(event, ()) if name in data}

    def with_status(self, status: str) -> "Rule":
        """Return the same rule in another status."""
        return msgspec.structs.replace(self, status=status)

    @property
    def ends(self) -> tuple[str, ...]:
        """The event types that end a wait of it."""
        absent = () if self.absent is None else (self.absent.event,)
        return (*absent, *(step.event for step in self.cancels))

    @property
    def hears(self) -> tuple[str, ...]:
        """The event types that its waiting depends on."""
        return (*(step.event for step in self.steps), *self.ends)
