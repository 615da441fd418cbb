"""A rule, checked and compiled: plain frozen data with its conditions as functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.rules.expression.compile import Condition, Value

STATUSES = ("draft", "shadow", "live", "paused")
REPEATS = ("restart", "keep-first", "each")
KINDS = ("marketing", "service")
ACTIONS = ("offer", "message", "case", "event", "suppress")
CHANNELS = ("email", "sms", "push", "app", "wechat", "call", "mail", "desk", "web")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of `when`. `times` events with last - first < `within_ms`, or, behind another
    step, within (0, within_ms] of it. `absent`: no such event in (t0, t0 + within_ms]."""

    event: str
    alias: str
    where: Condition | None = None
    times: int = 1
    within_ms: int | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A date of the profile as the first step: `before_ms` before it, at a local time of day."""

    fact: str
    at_minutes: int
    before_ms: int = 0
    yearly: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `fields`: name -> text, or parts of text and values."""

    type: str
    name: str
    channels: tuple[str, ...] = ()
    deadline_ms: int = 0
    for_ms: int = 0
    fields: Mapping[str, tuple[str | Value, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` decisions in a rolling `span_ms`, or, with None, on a local calendar day."""

    count: int
    span_ms: int | None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the rule wants to happen within `within_ms` after its decision."""

    event: str
    within_ms: int


@dataclass(frozen=True, slots=True)
class Case:
    """A test inside the file; times are ms from its start. `start`: UTC ms of 0m."""

    name: str
    line: int
    start: int
    held_out: bool
    features: Mapping[str, float]
    profile: Mapping[str, Any]
    events: tuple[tuple[int, int, str, Mapping[str, Any]], ...]  # at, arrives, type, data
    expect: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `version`: hash of its text; partial matches of another version end."""

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
    condition: Condition | None = None
    repeat: str = "keep-first"
    actions: tuple[Action, ...] = ()
    limits: tuple[Limit, ...] = ()
    group: str = ""
    quiet: tuple[int, int] | None = None  # minutes of the local day, from and to
    holdout: float = 0.0
    goal: Goal | None = None
    fresh_ms: int = 3_600_000
    cases: tuple[Case, ...] = ()

    @property
    def groups(self) -> frozenset[str]:
        """Groups that can suppress this rule, or cap it."""
        named = {limit.group for limit in self.limits if limit.group}
        return frozenset(named | ({self.group} if self.group else set()))
