"""What the storm's rules must have led to, worked out naively from the final logs.

Shares no code with the engine: it reads bytes of the log and knows the few rules of `rules.py` by
heart. Of every rule it says which triggers must be there and which may be.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any
from zlib import crc32

import orjson

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
ZONE_MS = 8 * HOUR_MS  # Shanghai
LATENESS_MS = {
    "order.placed": SECOND_MS,
    "payment.succeeded": MINUTE_MS,
    "web.searched": 10 * SECOND_MS,
}
IN_THE_LOGS = ("left-cart", "left-checkout")
LATENESS_OF_DATES_MS = LATENESS_OF_STARTS_MS = 10 * SECOND_MS
AHEAD_MS = 5 * MINUTE_MS
TENANT = "t"


@dataclass
class Tick:
    """A tick of one partition: where it stands, log time and T."""

    offset: int
    now: int
    passed: int


@dataclass
class Seen:
    """An event as its home's log has it: where, and the log time by then."""

    id: str
    type: str
    at: int
    home: str
    data: dict[str, Any]
    partition: int
    offset: int
    log_now: int


@dataclass
class Told:
    """What must be in the triggers, and what may be: trigger id -> (rule, its time)."""

    must: dict[str, tuple[str, int]] = field(default_factory=dict)
    may: set[str] = field(default_factory=set)

    def add(self, rule: str, cause: str, at: int, *, sure: bool = True) -> None:
        """Expect a trigger."""
        name = trigger_id(rule, cause)
        if sure:
            self.must[name] = rule, at
        else:
            self.may.add(name)


def trigger_id(rule: str, cause: str) -> str:
    """Return the id of a trigger (WIRE.md, Ids)."""
    return sha256("\0".join((TENANT, rule, cause, "", "0")).encode()).hexdigest()[:32]


class Log:
    """The final log of one partition, as plain values."""

    def __init__(
        self,
        partition: int,
        records: list[Any],
        forged: set[str],
        versions: dict[str, dict[str, str]],
    ) -> None:
        self.partition = partition
        self.home = ""  # of the customer that is looked at
        self.ticks: list[Tick] = []
        self.events: list[Seen] = []
        self.second_version = 2**62  # offset of RULESET(v2)
        self._versions = versions
        self._off: dict[str, list[list[int]]] = defaultdict(list)  # rule -> [from, to) in offsets
        now, passed = 0, 0
        for record in records:
            if f"{record.topic}:{partition}:{record.offset}" in forged:
                continue
            headers = dict(record.headers)
            kind = headers.get("kind", b"event")
            if kind == b"tick":
                body = orjson.loads(record.value)
                now, passed = max(now, body["now"]), max(passed, body["passed"])
                self.ticks.append(Tick(record.offset, now, passed))
            elif kind == b"ruleset" and orjson.loads(record.value)["version"] == "v2":
                self.second_version = min(self.second_version, record.offset)
                self._switch_on(record.offset)
            elif kind == b"disable":
                self._switch_off(orjson.loads(record.value), record.offset)
            elif kind == b"event" and "src" not in headers:
                body = orjson.loads(record.value)
                if record.key.decode() == body["ids"][0]:
                    self.events.append(
                        Seen(body["id"], body["type"], body["at"], body["ids"][0], body["data"],
                             partition, record.offset, now)
                    )  # fmt: skip

    def _switch_off(self, body: dict[str, str], offset: int) -> None:
        """DISABLE is about the version that holds here, or about nothing."""
        holds = "v1" if self.second_version > offset else "v2"
        if self._versions[body["rule"]].get(holds) == body["version"]:
            self._off[body["rule"]].append([offset, 2**62])

    def _switch_on(self, offset: int) -> None:
        """What has another version in v2 is on again."""
        for rule, spans in self._off.items():
            if self._versions[rule]["v1"] != self._versions[rule]["v2"]:
                spans[:] = [[first, min(last, offset)] for first, last in spans]

    def runs(self, rule: str, offset: int) -> bool:
        """Tell whether a rule is not disabled at an offset."""
        return not any(first < offset < last for first, last in self._off[rule])

    def tick_of(self, score: int, after: int) -> Tick | None:
        """Return the first tick behind an offset that has passed a score."""
        return next((t for t in self.ticks if t.offset > after and t.passed >= score), None)

    def arrived_before(self, seen: Seen, score: int) -> bool:
        """Tell whether an event stood in its log before any tick of that log time."""
        return not any(t.offset < seen.offset and t.now >= score for t in self.ticks)


def expected(logs: list[Log], people: list[Any], erased: set[str]) -> Told:
    """Return what the rules must have led to. `people`: script.Person; `erased`: identifiers."""
    told = Told()
    by_person = _by_person(logs, people)
    for person in people:
        events = by_person[person.number]
        log = logs[crc32(person.ids[0].encode()) % len(logs)]
        log.home = person.ids[0]
        for seen in events:
            if seen.type == "order.placed" and seen.data["value"] > 10_000:
                told.add("big-order", seen.id, seen.at, sure=not erased.intersection(person.ids))
        if person.ordered:
            continue
        alone = len(person.ids) == 1
        if alone or person.calm:
            _left(told, logs, log, events, "left-cart", "cart.updated", "order.placed", MINUTE_MS)
            page, search = "web.page_viewed", "web.searched"
            _left(told, logs, log, events, "left-page", page, search, MINUTE_MS)
            _birthday(told, log, events, person.ids[0])
        if alone:
            _alone(told, logs, log, events, person.ids[0])
    return told


def _by_person(logs: list[Log], people: list[Any]) -> dict[int, list[Seen]]:
    """Return the first copy of each event at its home, in the order of the log, by person."""
    whose = {name: person.number for person in people for name in person.ids}
    found: dict[int, list[Seen]] = defaultdict(list)
    taken: set[str] = set()
    for log in logs:
        for seen in log.events:
            if seen.id not in taken and seen.home in whose:
                taken.add(seen.id)
                # Before the first tick there is no log time to hold an event against.
                if seen.log_now and seen.at > seen.log_now + AHEAD_MS:
                    seen.at = seen.log_now + AHEAD_MS
                found[whose[seen.home]].append(seen)
    return found


def _alone(told: Told, logs: list[Log], log: Log, events: list[Seen], name: str) -> None:
    """Rules that depend on the order of arrival: told of customers whose log is one partition's."""
    old = [e for e in events if e.offset < log.second_version]
    new = [e for e in events if e.offset > log.second_version]
    for seen in new:
        big = seen.type == "order.placed" and seen.data["value"] > 20_000
        if big and log.runs("bigger-order", seen.offset):
            told.add("bigger-order", seen.id, seen.at)
    for seen in events:
        soon = seen.type == "enquiry.asked" and seen.log_now <= seen.at + 4 * MINUTE_MS
        if soon and log.runs("hurry", seen.offset):
            told.add("hurry", seen.id, seen.at)
    stops = [e for e in events if e.type == "payment.succeeded"]
    for some, within, until in ((old, MINUTE_MS, log.second_version), (new, 90_000, 2**62)):
        starts = [e for e in some if e.type == "checkout.started"]
        _left(told, logs, log, starts + stops, "left-checkout", "checkout.started",
              "payment.succeeded", within, until=until)  # fmt: skip
    given_back = any(e.type == "delivery.failed" for e in events)
    _looks(told, log, events, sure=not given_back)
    _promo(told, events, name, sure=not given_back)
    _asleep(told, log, events)
    _trouble(told, events)


def _left(
    told: Told,
    logs: list[Log],
    log: Log,
    events: list[Seen],
    rule: str,
    start: str,
    stop: str,
    within: int,
    *,
    until: int = 2**62,
) -> None:
    """Absence: no stop, and no newer start, in (start, start + within]."""
    for first in (e for e in events if e.type == start):
        due = first.at + within
        score = due + LATENESS_MS[stop]
        inside = [e for e in events if e.type in (start, stop) and first.at < e.at <= due]
        # Itself later than its lateness: newer starts may be forgotten by then, and stops that
        # have to meet a condition; others are looked up in the customer's logs.
        if first.log_now > first.at + LATENESS_OF_STARTS_MS:
            known = stop if rule in IN_THE_LOGS else ""
            unsure = [e for e in inside if e.type != known]
            inside = [e for e in inside if e.type == known]
        else:
            unsure = []
        if any(_in_time(logs, log, first, each, score) for each in inside):
            continue
        fires = log.tick_of(score, first.offset if first.partition == log.partition else -1)
        if fires is None or fires.offset > until or fires.now > due + 3 * DAY_MS:
            continue
        told.add(rule, first.id, due, sure=not inside and not unsure)


def _in_time(logs: list[Log], log: Log, first: Seen, other: Seen, score: int) -> bool:
    """Tell whether an event must have been known when the wait was decided.

    Where both go straight to the customer, the order in the log says it; else the ticks' promise.
    """
    if other.home == first.home == log.home:
        fires = log.tick_of(score, first.offset)
        return fires is None or other.offset < fires.offset
    return logs[other.partition].arrived_before(other, score)


def _birthday(told: Told, log: Log, events: list[Seen], name: str) -> None:
    for seen in events:
        day = seen.data.get("birthday") if seen.type == "customer.identified" else None
        if day is None:
            continue
        year = _local_year(seen.log_now)
        due = _instant(year, int(day[5:7]), int(day[8:10])) + 9 * HOUR_MS - ZONE_MS
        if due <= seen.log_now:
            continue
        fires = log.tick_of(due + LATENESS_OF_DATES_MS, -1)
        if fires is not None and fires.now <= due + 12 * HOUR_MS:
            told.add("birthday", f"birthday|{year}-{day[5:]}|{name}", due)


def _looks(told: Told, log: Log, events: list[Seen], *, sure: bool) -> None:
    views: list[int] = []
    fired: list[int] = []
    for seen in events:
        if seen.type != "web.page_viewed":
            continue
        views.append(seen.at)
        wanted = 3 if seen.offset < log.second_version else 2
        if sum(seen.at - 2 * MINUTE_MS < at <= seen.at for at in views) < wanted:
            continue
        if seen.log_now > seen.at + DAY_MS or not log.runs("looks", seen.offset):
            continue
        if any(at > seen.at - 5 * MINUTE_MS for at in fired):
            if not sure:
                told.add("looks", seen.id, seen.at, sure=False)
            continue
        fired.append(seen.at)
        told.add("looks", seen.id, seen.at, sure=sure)


def _promo(told: Told, events: list[Seen], name: str, *, sure: bool) -> None:
    draw = sha256(f"holdout-1\0promo\0{name}".encode()).digest()[:8]
    held_out = int.from_bytes(draw, "big") < 0.3 * 2**64
    fired: list[int] = []
    for seen in events:
        if seen.type != "review.posted" or seen.log_now > seen.at + 2 * DAY_MS:
            continue
        day = (seen.at + ZONE_MS) // DAY_MS * DAY_MS - ZONE_MS
        if not held_out and sum(at >= day for at in fired) >= 2:
            if not sure:
                told.add("promo", seen.id, seen.at, sure=False)
            continue
        fired.append(seen.at)
        told.add("promo", seen.id, seen.at, sure=sure)


def _asleep(told: Told, log: Log, events: list[Seen]) -> None:
    """Quiet hours from 22 to 8: the newest search of a night is answered in the morning."""
    held: tuple[Seen, int] | None = None
    steps: list[Tick | Seen] = [*log.ticks, *events]
    for step in sorted(steps, key=lambda each: each.offset):
        if isinstance(step, Tick):
            if held is not None and held[1] <= step.passed:
                if step.now <= held[1] + 12 * HOUR_MS:
                    told.add("asleep", held[0].id, held[1])
                held = None
        elif step.type == "web.searched" and step.log_now <= step.at + 12 * HOUR_MS:
            hour = (step.at + ZONE_MS) % DAY_MS
            if 8 * HOUR_MS <= hour < 22 * HOUR_MS:
                told.add("asleep", step.id, step.at)
            else:
                midnight = step.at - hour + (DAY_MS if hour >= 22 * HOUR_MS else 0)
                held = step, midnight + 8 * HOUR_MS


def _trouble(told: Told, events: list[Seen]) -> None:
    """A checkout, then a failed payment within a minute; the first checkout is kept."""
    steps = [e for e in events if e.type in ("checkout.started", "payment.failed")]
    in_order = all(a.at < b.at for a, b in pairwise(steps))
    open_: Seen | None = None
    for seen in steps:
        if not in_order:
            if seen.type == "payment.failed" and any(
                e.type == "checkout.started" and 0 < seen.at - e.at <= MINUTE_MS for e in steps
            ):
                told.add("trouble", seen.id, seen.at, sure=False)
            continue
        if seen.type == "checkout.started":
            if open_ is None or seen.at > open_.at + MINUTE_MS:
                open_ = seen
        elif open_ is not None and seen.at <= open_.at + MINUTE_MS:
            told.add("trouble", seen.id, seen.at)
            open_ = None


def _local_year(at: int) -> int:
    return datetime.fromtimestamp((at + ZONE_MS) / 1000, tz=UTC).year


def _instant(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


def compare(
    logs: list[Log], people: list[Any], triggers: list[dict[str, Any]], erased: set[str]
) -> Iterator[str]:
    """Yield how the triggers differ from what must and may be there; `triggers`: the final ones."""
    told = expected(logs, people, erased)
    as_ever = [person for person in people if not person.ordered]
    loners = {person.ids[0] for person in as_ever if len(person.ids) == 1}
    calm = loners | {person.ids[0] for person in as_ever if person.calm}
    there = {}
    for item in triggers:
        there[item["id"]] = item
        if item["id"] != trigger_id(item["rule"], item["cause"]):
            yield f"{item['rule']}: id {item['id']} is not that of its cause"
        whose = item["customer"]
        known = item["id"] in told.must or item["id"] in told.may
        everybody = item["rule"] == "big-order"
        of_calm = item["rule"] in ("left-cart", "left-page", "birthday") and whose in calm
        of_loner = item["rule"] != "leaving" and whose in loners
        if not known and (everybody or of_calm or of_loner):
            yield f"{item['rule']} for {whose} at {item['at']} must not be there"
    for name, (rule, at) in told.must.items():
        if name not in there:
            yield f"{rule} at {at} is missing"
        elif there[name]["at"] != at:
            yield f"{rule} is about {there[name]['at']}, not {at}"
