"""The state of one actor (a person or a thing): all that its rules, scores and card are made of.

A mutable struct, owned by its partition, changed in place (ARCHITECTURE.md, D2). Columns are bytes
(D18). Structs are encoded as msgpack arrays: a new field goes to the end, with a default, so that
the release before can read it.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, Self, TypeVar, overload

import msgspec
from msgspec import Raw

RECENT_MAX = 10  # per channel: what an agent reads before the first word
TRIGGERS_MAX = 20
TIMERS_MAX = 64


T = TypeVar("T")


class Lazy(Generic[T]):
    """Attribute `x` of a struct whose field `x_` stays as bytes until somebody looks at it.

    Most events look at a few parts of a customer. A part that was never opened goes back as it
    came; one that was opened is encoded like any other, so the bytes of a state do not tell.
    """

    def __init__(self, of: Any) -> None:
        self.of = of
        self._open = msgspec.msgpack.Decoder(of).decode

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"{name}_"
        self._get = attrgetter(self._name)

    @overload
    def __get__(self, holder: None, owner: type) -> Self: ...

    @overload
    def __get__(self, holder: msgspec.Struct, owner: type) -> T: ...

    def __get__(self, holder: msgspec.Struct | None, owner: type) -> T | Self:
        if holder is None:
            return self
        value = self._get(holder)
        if type(value) is Raw:
            value = self._open(value)
            setattr(holder, self._name, value)
        found: T = value
        return found

    def __set__(self, holder: msgspec.Struct, value: T) -> None:
        setattr(holder, self._name, value)


def _unopened(default: Callable[[], Any]) -> Any:
    """Return the field of a lazy attribute; a new struct begins with the part itself."""
    return msgspec.field(default_factory=default)


def types_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the types of a struct's attributes by name, in order; of a lazy one what it holds."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        lazy = getattr(kind, field.name.rstrip("_"), None)
        if isinstance(lazy, Lazy):
            found[field.name.rstrip("_")] = lazy.of
        else:
            found[field.name] = field.type
    return found


class Timer(msgspec.Struct, array_like=True, gc=False):
    """An armed wait. Fires on the first tick whose T has passed `score`; carries the time `due`.

    `due`, `score`: UTC ms, score = due + the largest lateness of the sources awaited.
    `data`: what the owner of the timer needs when it fires (plain msgpack types).
    """

    due: int
    score: int
    data: Any = None


class Touch(msgspec.Struct, array_like=True, gc=False):
    """One channel's counter, and its last contacts as `contacts.py` packs them."""

    count: int = 0
    last_at: int = 0
    recent: bytes = b""


class Trait(msgspec.Struct, array_like=True, gc=False):
    """A fact about a customer, with its source and time: the newest time wins."""

    value: Any
    source: str
    at: int


class Trade(msgspec.Struct, array_like=True, gc=False):
    """What was bought: sums in minor units of `currency`, instants UTC ms (0 = never)."""

    orders: int = 0
    total_minor: int = 0
    returns: int = 0
    returned_minor: int = 0
    first_at: int = 0
    last_at: int = 0
    currency: str = ""


class Care(msgspec.Struct, array_like=True, gc=False):
    """Enquiries or complaints: counts, the last one, and those still open (case id -> since)."""

    count: int = 0
    last_at: int = 0
    open: dict[str, int] = {}


class Log(msgspec.Struct, array_like=True, gc=False):
    """The events of one type, oldest first: the exact log that all windows are read from.

    `times`: little-endian int64, UTC ms. `numbers`: column name -> little-endian float64, NaN where
    the event had no value. `words`: column name -> little-endian uint16 codes into `book[column]`
    (0 = no value; code n = book[n-1]). All columns have len(times) / 8 rows. None where there is no
    column, as in most logs: three empty tables a log would be most of what a person is made of.
    """

    times: bytes = b""
    numbers: dict[str, bytes] | None = None
    words: dict[str, bytes] | None = None
    book: dict[str, list[str]] | None = None


class RuleState(msgspec.Struct, array_like=True, gc=False):
    """What one rule remembers of one actor.

    `version`: of the rule whose partial matches these are; another version drops `partial`.
    `partial`: instance key ('' without `per`) -> list of partial matches (plain msgpack types,
    owned by engine/matching). `fired`: UTC ms of decisions that count for limits, oldest first.
    """

    version: str = ""
    partial: dict[str, Any] = {}
    fired: list[int] = []
    schedule: dict[str, Any] = {}


class Goal(msgspec.Struct, array_like=True, gc=False):
    """A decision that waits for its goal: first matching event in (at, until]."""

    trigger: str
    rule: str
    event: str
    at: int
    until: int
    held_out: bool


class Churn(msgspec.Struct, array_like=True, gc=False):
    """State of the churn features, O(1), and the last score (engine/churn owns the meaning)."""

    numbers: bytes = (
        b""  # little-endian float64, columns of churn/features (empty = no purchase yet)
    )
    band: str = ""
    model: str = ""
    snapshot_at: int = 0
    pending: dict[str, bytes] = {}  # name of its timer -> a row of churn/snapshot


class Tally(msgspec.Struct, array_like=True, gc=False):
    """What happened at a thing by local day (engine/profile/things/tally.py), oldest first.

    `days`: ordinal days. `sums`, `sketches`: column -> one value a day (b"": nothing that day).
    """

    days: list[int] = []
    counts: list[int] = []
    sums: dict[str, list[float]] = {}
    sketches: dict[str, list[bytes]] = {}


class Actor(msgspec.Struct, array_like=True, gc=False):
    """All that is known of one person or thing.

    `kind`: "person", or the name of an entity's plug-in. `traits`: flat dotted names
    (`tier`, `consent.email`). `keys`: identifier type -> its newest value in clear, for channels
    (never an ID number). `scores`: what rules read as `features.<name>`. `groups`: limit group ->
    decision times. `suppressed`: group -> until. `triggers`: the last decisions, newest last.
    """

    kind: str = "person"
    created_at: int = 0
    seen_at: int = 0
    traits: dict[str, Trait] = {}
    keys: dict[str, str] = {}
    touches: dict[str, Touch] = {}
    trade_: Raw = _unopened(Trade)
    enquiry_: Raw = _unopened(Care)
    complaint_: Raw = _unopened(Care)
    logs: dict[str, Log] = {}
    scores_: Raw = _unopened(dict)
    churn_: Raw = _unopened(Churn)
    rules_: Raw = _unopened(dict)
    groups: dict[str, list[int]] = {}
    suppressed: dict[str, int] = {}
    goals: list[Goal] = []
    triggers_: Raw = _unopened(list)
    timers_: Raw = _unopened(dict)
    stage: str = ""  # 4S: search, site, shopping, satisfaction
    stage_at: int = 0
    reasons_: Raw = _unopened(list)  # of a high churn score, strongest first
    segments: dict[str, int] = {}  # name -> since when (UTC ms), 0 = not in it
    tallies_: Raw = _unopened(dict)  # of a thing: event type -> days
    dated: str = ""  # the rule set whose schedules are armed and segments known

    trade = Lazy[Trade](Trade)
    enquiry = Lazy[Care](Care)
    complaint = Lazy[Care](Care)
    scores = Lazy[dict[str, float]](dict[str, float])
    churn = Lazy[Churn](Churn)
    rules = Lazy[dict[str, RuleState]](dict[str, RuleState])
    triggers = Lazy[list[dict[str, Any]]](list[dict[str, Any]])
    timers = Lazy[dict[str, Timer]](dict[str, Timer])
    reasons = Lazy[list[str]](list[str])
    tallies = Lazy[dict[str, Tally]](dict[str, Tally])
