"""The customer's own time: local days, quiet hours, dates that come again every year."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.profile.model import Actor

ZONE = "Asia/Shanghai"  # of a customer who told none


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(ZONE)


def zone_of(actor: Actor) -> ZoneInfo:
    """Return the customer's time zone; an unknown one is the house's."""
    trait = actor.traits.get("zone")
    return _zone(str(trait.value) if trait is not None else ZONE)


def local(at: int, zone: ZoneInfo) -> datetime:
    """Return an instant (UTC ms) as local time."""
    return datetime.fromtimestamp(at / 1000, tz=UTC).astimezone(zone)


def day_start(at: int, zone: ZoneInfo) -> int:
    """Return when the local day of an instant began, UTC ms."""
    now = local(at, zone)
    return _ms(now.replace(hour=0, minute=0, second=0, microsecond=0))


def _week(day: date) -> date:
    return day - timedelta(days=day.weekday())


_FIRST_DAYS: Mapping[str, Callable[[date], date]] = {
    "today": lambda day: day,
    "this_week": _week,  # begins on Monday (ISO 8601)
    "this_month": lambda day: day.replace(day=1),
    "this_year": lambda day: day.replace(month=1, day=1),
}
PERIODS = tuple(_FIRST_DAYS)


def first_day(period: str, day: date) -> date:
    """Return the first day of the period (one of PERIODS) that a local day lies in."""
    return _FIRST_DAYS[period](day)


def elapsed(period: str) -> Callable[[Actor, int], int]:
    """Return the function (actor, at) -> ms of one of PERIODS so far, `at` included.

    It is the length of the window `(at - length, at]` that begins with the local period.
    """
    first = _FIRST_DAYS[period]

    def length_ms(actor: Actor, at: int) -> int:
        zone = zone_of(actor)
        return at - _ms(_at(first(local(at, zone).date()), 0, zone)) + 1

    return length_ms


def quiet_until(at: int, quiet: tuple[int, int], zone: ZoneInfo) -> int | None:
    """Return when the quiet hours that `at` falls into end (UTC ms), None if it is not quiet.

    `quiet`: minutes of the local day, from and to; `from` after `to` spans midnight. The end is
    outside.
    """
    now = local(at, zone)
    minute = now.hour * 60 + now.minute
    start, end = quiet
    inside = start <= minute < end if start < end else minute >= start or minute < end
    if not inside:
        return None
    day = now.date() + timedelta(days=1 if start > end and minute >= start else 0)
    return _ms(_at(day, end, zone))


def day_of(at: int, zone: ZoneInfo) -> str:
    """Return the local day of an instant, `YYYY-MM-DD`."""
    return local(at, zone).date().isoformat()


def next_time_of_day(at: int, minutes: int, zone: ZoneInfo) -> int:
    """Return when it is next so late on a local day (minutes since midnight), at once included."""
    day = local(at, zone).date()
    due = _ms(_at(day, minutes, zone))
    return due if due >= at else _ms(_at(day + timedelta(days=1), minutes, zone))


def next_weekday(after: int, weekdays: Collection[int], minutes: int, zone: ZoneInfo) -> int:
    """Return when it is next so late on one of some weekdays (1 = Monday), later than `after`."""
    assert weekdays, "some day must come"
    day = local(after, zone).date()
    while True:
        due = _ms(_at(day, minutes, zone))
        if due > after and day.isoweekday() in weekdays:
            return due
        day += timedelta(days=1)


def next_occurrence(
    text: str,
    *,
    after: int,
    at_minutes: int,
    before_ms: int,
    yearly: bool,
    zone: ZoneInfo,
    not_until: str = "",
) -> int | None:
    """Return when a date of the profile (`YYYY-MM-DD`) is next due, UTC ms; None if never.

    `after`: the answer is later than this. `not_until`: and its day is later than this one, so
    that a customer who moves to another zone has one birthday a year. 29 February is 28 February in
    other years. What comes every year comes for the first time a year after the date itself.
    """
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return None
    year = local(after, zone).year
    days = [_in_year(day, each) for each in range(year - 1, year + 4)] if yearly else [day]
    for each in days:
        due = _ms(_at(each, at_minutes, zone)) - before_ms
        if due > after and each.isoformat() > not_until and not (yearly and each == day):
            return due
    return None


def _in_year(day: date, year: int) -> date:
    try:
        return day.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def _at(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
