"""Bugs of what is decided to plant: time, absence, limits, holdout."""

from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from engine.decision import act, decide, limits
from engine.matching import absence
from engine.pipeline.book import Book
from engine.profile import calendar
from engine.runtime import ticker
from tests.instead import Patch
from tests.simulation import worker
from tests.simulation.bugs import bug

# Time.


@bug("T is simply now: an event that is forwarded comes too late", seed=5, within=200)
def no_rounds() -> list[Patch]:
    def tick_records(now: int, passed: int, count: int, secret: bytes) -> Any:
        return real(now, now, count, secret)

    real = ticker.tick_records
    return [(ticker, "tick_records", tick_records)]


@bug("absence does not wait for events that are late", seed=39, within=200)
def no_lateness() -> list[Patch]:
    def book(**more: Any) -> Any:
        return Book(**{**more, "lateness_ms": lambda _: 0})

    return [(worker, "Book", book)]


@bug("what happened before a wait began, by arrival, does not end it", seed=23, within=200)
def absence_does_not_look_back() -> list[Patch]:
    return [(absence, "_look_back", lambda *_: None)]


@bug("an absence fires whatever has happened")
def stops_do_not_count() -> list[Patch]:
    return [(absence, "_end", lambda *_: None), (absence, "_look_back", lambda *_: None)]


# Decisions.


@bug("the trigger's id holds the version of the rule")
def versions_in_trigger_ids() -> list[Patch]:
    real = act.trigger_id

    def trigger_id(tenant: str, rule: str, cause: str, instance: str, index: int) -> str:
        return real(tenant, rule + "@2", cause, instance, index)

    return [(act, "trigger_id", trigger_id)]


@bug("a decision is not counted against its limits")
def limits_not_reserved() -> list[Patch]:
    return [(act, "reserve", lambda *_: None), (act, "reserve_groups", lambda *_: None)]


@bug("a local day begins at midnight of UTC", seed=99, within=200)
def days_of_utc() -> list[Patch]:
    return [(limits, "day_start", lambda at, zone: at - at % 86_400_000)]


@bug("quiet hours are those of UTC")
def nights_of_utc() -> list[Patch]:
    def quiet_until(at: int, quiet: Any, zone: Any) -> Any:
        return calendar.quiet_until(at, quiet, ZoneInfo("UTC"))

    return [(decide, "quiet_until", quiet_until)]


@bug("the comparison group is drawn by chance")
def holdout_by_chance() -> list[Patch]:
    chance = Random(1)
    return [(act, "is_held_out", lambda rule, name: bool(rule.holdout) and chance.random() < 0.3)]
