"""Windows of the local calendar, local time, and the change of pace."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.profile.logs import exact
from engine.profile.model import Actor, Trait
from engine.rules.expression.compile import compile_value
from tests.unit.rules.expression.expression_scope import CART, SCOPE, problems, value

HOUR_MS = 3_600_000


def seen(times: list[int], zone: str) -> Actor:
    """Return who looked at pages at some instants (UTC ms)."""
    actor = Actor(traits={"zone": Trait(zone, "crm", 1)})
    for at in times:
        columns = exact.Columns(("weight",), ())
        exact.append(actor.logs, "web.page_viewed", at, {"page": "/"}, columns)
    return actor


def got(text: str, actor: Actor, at: int) -> object:
    """Return a value for an actor at an instant."""
    return compile_value(text, SCOPE, trigger="cart").get({"cart": CART}, actor, at)


def instant(text: str, zone: str) -> int:
    """Return a local time as UTC ms."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "local", "count"),
    [
        ("today", "2026-03-05T23:30", 1),  # a Thursday
        ("this_week", "2026-03-05T23:30", 2),
        ("this_month", "2026-03-05T23:30", 3),
        ("this_year", "2026-03-05T23:30", 4),
        ("today", "2026-03-06T00:00", 0),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Los_Angeles", "Pacific/Auckland"])
def test_a_period_begins_at_local_midnight_inclusive(
    period: str, local: str, count: int, zone: str
) -> None:
    begins = ["2026-03-05T00:00", "2026-03-02T00:00", "2026-03-01T00:00", "2026-01-01T00:00"]
    actor = seen([instant(each, zone) for each in [*begins, "2025-12-31T23:59:59"]], zone)
    assert got(f'count("web.page_viewed", {period})', actor, instant(local, zone)) == count


@given(
    hours=st.lists(st.integers(0, 24 * 400), max_size=30),
    at=st.integers(0, 24 * 400),
    zone=st.sampled_from(["Europe/London", "Asia/Kathmandu", "America/New_York"]),
)
def test_periods_agree_with_the_calendar_also_when_clocks_change(
    hours: list[int], at: int, zone: str
) -> None:
    start = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    now = (start + timedelta(hours=at)).astimezone(ZoneInfo(zone))
    moments = [(start + timedelta(hours=h)).astimezone(ZoneInfo(zone)) for h in hours]
    actor = seen([int(each.timestamp() * 1000) for each in moments], zone)
    wanted = {
        "today": [each for each in moments if each.date() == now.date()],
        "this_week": [e for e in moments if e.isocalendar()[:2] == now.isocalendar()[:2]],
        "this_month": [e for e in moments if (e.year, e.month) == (now.year, now.month)],
        "this_year": [e for e in moments if e.year == now.year],
    }
    for period, found in wanted.items():
        until = [each for each in found if each <= now]
        text = f'count("web.page_viewed", {period})'
        assert got(text, actor, int(now.timestamp() * 1000)) == len(until), period


def test_local_time_is_the_customers() -> None:
    at = instant("2026-03-01T22:15", "Asia/Shanghai")
    shown = [
        [got(f"local.{part}", seen([], zone), at) for part in ("hour", "weekday", "date")]
        for zone in ("Asia/Shanghai", "Europe/London")
    ]
    assert shown == [[22, 7, "2026-03-01"], [14, 7, "2026-03-01"]]
    assert value("local.month") == 1


@pytest.mark.parametrize(
    ("ages_h", "rate"),
    [
        ([1, 5, 9, 13], 1.0),  # as ever
        ([1, 2, 3, 3], 4.0),
        ([5, 9, 13], 0.0),
        ([], None),  # nothing to compare with
    ],
)
def test_the_rate_holds_a_short_window_against_a_long_one(ages_h: list[int], rate: float) -> None:
    at = 10**12
    actor = seen(sorted(at - age * HOUR_MS for age in ages_h), "Asia/Shanghai")
    assert got('rate("web.page_viewed", 4h, 16h)', actor, at) == rate


def test_a_rate_may_be_of_amounts_and_have_a_condition() -> None:
    assert value('rate("order.placed", it.value, 30d, 60d)') == 2.0
    assert value('rate("web.page_viewed", 1h, 2h, it.category == "food")') == 4 / 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('rate("web.page_viewed", 7d) > 1.0', "E222"),
        ('rate("web.page_viewed", 28d, 7d) > 1.0', "E222"),
        ('rate("web.page_viewed", today, 7d) > 1.0', "E222"),
        ('count("web.page_viewed", today, 7d) > 1', "E222"),
        ("local.our == 9", "E208"),
        ("local == 9", "E202"),
        ("today == 9", "E201"),
    ],
)
def test_what_makes_no_window_is_told(text: str, code: str) -> None:
    assert [each.code for each in problems(text)] == [code]
