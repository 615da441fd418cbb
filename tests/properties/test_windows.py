"""The packed log agrees with a plain list of events, whatever comes in whatever order."""

from math import inf, isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.profile.logs import exact, pace, windows
from engine.profile.logs.exact import LOG_MAX, Columns
from engine.profile.model import Log

COLUMNS = Columns(("paid", "value"), ("category",))
WORDS = ("food", "toys", "美妆", "")
EVENT = st.tuples(
    st.integers(0, 60),
    st.fixed_dictionaries(
        {},
        optional={
            "value": st.one_of(st.integers(-5, 5), st.just("no number"), st.just(None)),
            "paid": st.booleans(),
            "category": st.one_of(st.sampled_from(WORDS), st.just(7)),
        },
    ),
)
EVENTS = st.lists(EVENT, max_size=30)
Row = tuple[int, dict[str, Any]]


def packed(events: list[Row]) -> dict[str, Log]:
    logs: dict[str, Log] = {}
    for at, data in events:
        exact.append(logs, "x", at, data, COLUMNS)
    return logs


def sorted_by_time(events: list[Row]) -> list[Row]:
    return sorted(events, key=lambda event: event[0])


def number(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) else None


def word(data: dict[str, Any]) -> str | None:
    value = data.get("category")
    return value if isinstance(value, str) else None


def agrees(log: Log | None, rows: list[Row], until: int, window_ms: int | None) -> None:
    inside = [
        (at, data)
        for at, data in rows
        if at <= until and (window_ms is None or at > until - window_ms)
    ]
    values = [number(data, "value") for _, data in inside]
    known = [value for value in values if value is not None]
    complete = len(known) == len(values)
    words = [word(data) for _, data in inside]
    assert windows.count(log, until, window_ms) == len(inside)
    for n in range(-1, len(rows) + 2):
        assert pace.reaches(log, until, window_ms, n) is (len(inside) >= n)
    assert windows.total(log, until, window_ms, "value") == (sum(known) if complete else None)
    for function, naive in ((windows.least, min), (windows.most, max)):
        expected = naive(known) if known and complete else None
        assert function(log, until, window_ms, "value") == expected
    expected_mean = sum(known) / len(known) if known and complete else None
    assert windows.mean(log, until, window_ms, "value") == expected_mean
    different = len(set(known)) if complete else None
    assert windows.distinct(log, until, window_ms, "value") == different
    different = None if None in words else len(set(words))
    assert windows.distinct(log, until, window_ms, "category") == different
    assert windows.first(log, until, window_ms, "category") == (words[0] if words else None)
    assert windows.last(log, until, window_ms, "value") == (values[-1] if values else None)
    newest = until - inside[-1][0] if inside else None
    assert windows.age(log, until, window_ms) == newest
    for each in WORDS:
        assert windows.count_word(log, until, window_ms, "category", each) == words.count(each)


@given(EVENTS, st.integers(0, 70), st.one_of(st.none(), st.integers(0, 70)))
def test_a_window_holds_what_a_list_of_the_same_events_holds(
    events: list[Row], until: int, window_ms: int | None
) -> None:
    agrees(packed(events).get("x"), sorted_by_time(events), until, window_ms)


@given(EVENTS, EVENTS, st.integers(0, 70))
def test_merged_logs_hold_the_events_of_both(left: list[Row], right: list[Row], until: int) -> None:
    merged = exact.merge(packed(left).get("x", Log()), packed(right).get("x", Log()))
    agrees(merged, sorted_by_time(left + right), until, 40)


@given(EVENTS, st.sets(st.integers(0, 29)), st.integers(0, 70))
def test_a_filter_that_cannot_tell_makes_the_aggregate_unknown(
    events: list[Row], unsure: set[int], until: int
) -> None:
    log = packed(events).get("x")

    def keep(_: Log, low: int, high: int) -> list[int]:
        return [-1 if row in unsure else row for row in range(low, high)]

    met = any(row in unsure for row in range(sum(at <= until for at, _ in events)))
    assert (windows.count(log, until, None, keep) is None) == met
    if met:
        assert windows.total(log, until, None, "value", keep) is None
        assert windows.distinct(log, until, None, "category", keep) is None


def test_a_full_log_drops_its_oldest_event_and_the_words_that_no_row_uses() -> None:
    logs: dict[str, Log] = {}
    for at in range(3 * LOG_MAX):
        exact.append(logs, "x", at, {"value": at, "category": f"w{at}"}, COLUMNS)
    log = logs["x"]
    assert windows.count(log, 3 * LOG_MAX, None) == LOG_MAX
    assert windows.first(log, 3 * LOG_MAX, None, "category") == f"w{2 * LOG_MAX}"
    assert windows.last(log, 3 * LOG_MAX, None, "category") == f"w{3 * LOG_MAX - 1}"
    assert windows.distinct(log, 3 * LOG_MAX, None, "category") == LOG_MAX
    assert log.book is not None and len(log.book["category"]) <= exact.BOOK_MAX
    before = log.times
    exact.append(logs, "x", 0, {}, COLUMNS)
    assert log.times == before, "older than a full log's oldest event: it is the one dropped"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=60))
def test_a_full_log_holds_the_newest_events_and_what_they_said(said: list[tuple[int, int]]) -> None:
    logs: dict[str, Log] = {}
    rows: list[Row] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_FULL", 8 * exact.ROW_BYTES)
        patch.setattr(exact, "BOOK_MAX", 12)
        for at, value in said:
            data = {"value": value, "category": f"w{value}"} if value else {}
            exact.append(logs, "x", at, data, COLUMNS)
            rows = sorted_by_time([*rows, (at, data)])[-8:]
            agrees(logs["x"], rows, 30, 20)
            known = [exact.value_at(logs["x"], "category", row) for row in range(len(rows))]
            assert known == [word(data) for _, data in rows]
            book = logs["x"].book
            assert book is not None and len(book["category"]) <= 12


def test_infinities_are_known_and_have_no_sum() -> None:
    logs: dict[str, Log] = {}
    for at, value in enumerate((inf, 1.0, -inf)):
        exact.append(logs, "x", at, {"value": value}, COLUMNS)
    log = logs["x"]
    assert windows.total(log, 9, None, "value") is windows.mean(log, 9, None, "value") is None
    assert windows.most(log, 9, None, "value") == inf
    assert windows.least(log, 9, None, "value") == -inf
    assert windows.distinct(log, 9, None, "value") == 3


def test_a_new_column_is_missing_in_older_rows_and_one_not_read_any_more_is_dropped() -> None:
    logs: dict[str, Log] = {}
    exact.append(logs, "x", 1, {"value": 1, "category": "a"}, Columns(("value",), ("category",)))
    exact.append(logs, "x", 2, {"paid": True, "page": "/p"}, Columns(("paid",), ("page",)))
    log = logs["x"]
    assert set(log.numbers or {}) == {"paid"}
    assert set(log.words or {}) == set(log.book or {}) == {"page"}
    assert isnan(exact.numbers(log, "paid")[0])
    assert windows.last(log, 2, None, "paid") == 1.0
    assert windows.first(log, 2, None, "page") is None
    assert windows.last(log, 2, None, "page") == "/p"


def test_a_word_too_long_and_a_number_too_large_are_missing() -> None:
    logs: dict[str, Log] = {}
    data = {"category": "x" * (exact.WORD_LENGTH_MAX + 1), "value": 10**400}
    exact.append(logs, "x", 1, data, COLUMNS)
    assert windows.last(logs["x"], 1, None, "category") is None
    assert windows.last(logs["x"], 1, None, "value") is None
