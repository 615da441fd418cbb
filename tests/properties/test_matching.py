"""Counted steps and absence on random streams, held against what RULES.md section 1 says."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.matching.times import completes
from tests.properties.streams import (
    A,
    B,
    C,
    Happening,
    Wanted,
    delays,
    in_order,
    played,
    rule,
    steps,
    streams,
)
from tests.turns import NOON, Customer, rules_of


@given(stream=streams(A), times=st.integers(2, 4), within=st.integers(1, 12))
def test_several_within_a_time_are_the_first_full_sets_one_behind_the_other(
    stream: list[Happening], times: int, within: int
) -> None:
    when = steps(f"event: {A}, times: {times}, within: {within}s")
    customer = played(Customer(rules_of(rule(when))), stream, [0] * len(stream))
    expected: list[str] = []
    open_: list[int] = []
    for at, id, _ in stream:
        open_ = [earlier for earlier in open_ if at - earlier < within] + [at]
        if len(open_) == times:
            expected.append(id)
            open_ = []
    assert [t.cause for t in customer.triggers] == expected


@given(
    arriving=st.permutations([(at, str(at)) for at in (1, 2, 4, 5, 9, 14, 15, 16)]),
    times=st.integers(2, 4),
    within=st.integers(1, 9),
)
def test_a_full_set_is_found_at_the_arrival_of_its_last_whatever_the_order(
    arriving: list[tuple[int, str]], times: int, within: int
) -> None:
    kept: list[tuple[int, str]] = []
    for mark in arriving:
        here = sorted([*kept, mark])
        sets = [
            found
            for found in combinations(here, times)
            if mark in found and found[-1][0] - found[0][0] < within
        ]
        earliest = min(sets, key=lambda found: (found[-1], [-at for at, _ in found]), default=None)
        kept, full = completes(kept, mark, times, within)
        if earliest is None:
            assert (kept, full) == (here, [])
        else:
            assert full[-1] == earliest[-1]
            assert kept == [each for each in here if each > earliest[-1]]


def absent(stream: list[Happening], within: int, repeat: str) -> list[tuple[int, str]]:
    """Return (due, cause) of the waits that come true, straight from the definition."""
    starts = [(at, id) for at, id, type in stream if type == A]
    stops = [at for at, _, type in stream if type == C]
    found, busy_until = [], -1
    for n, (at, id) in enumerate(starts):
        due = at + within
        stopped = min((stop for stop in stops if at < stop <= due), default=None)
        if repeat == "restart":
            if any(later <= due for later, _ in starts[n + 1 :]):
                continue
        elif repeat == "keep-first":
            if at <= busy_until:
                continue
            busy_until = due if stopped is None else stopped
        if stopped is None:
            found.append((due, id))
    return sorted(found)


@pytest.mark.parametrize("repeat", ["restart", "keep-first", "each"])
@pytest.mark.parametrize("where", ["", "where: event.value > 100.0, "])
@given(stream=streams(A, C), late=delays(), within=st.integers(1, 12))
@settings(max_examples=150)
def test_absence_is_told_by_the_events_alone_whatever_their_order_of_arrival(
    repeat: str, where: str, stream: list[Happening], late: list[int], within: int
) -> None:
    when = steps(f"event: {A}", f"not: {C}, {where}within: {within}s")
    wanted = absent(stream, within, repeat)
    if repeat == "each" and len(stream) > 9:
        return  # no more than ten wait at once
    customer = played(Customer(rules_of(rule(when, repeat))), stream, late)
    found = sorted(((t.at - NOON) // 1000, t.cause) for t in customer.triggers)
    assert found == wanted
    assert not customer.actor.timers


def sets(stream: list[Happening], times: int, span: int) -> list[Happening]:
    """Return the last event of each full set of A, one behind the other, and all of C."""
    found: list[Happening] = []
    counted: list[int] = []
    for at, id, type in stream:
        if type == A:
            counted = [earlier for earlier in counted if at - earlier < span] + [at]
            if len(counted) < times:
                continue
            counted = []
        found.append((at, id, type))
    return found


@pytest.mark.parametrize("repeat", ["restart", "keep-first", "each"])
@pytest.mark.parametrize("behind_ms", [0, 600_000])
@given(
    stream=streams(A, A, A, C),
    late=delays(),
    times=st.integers(2, 3),
    span=st.integers(1, 9),
    within=st.integers(1, 12),
)
@settings(max_examples=100)
def test_absence_after_several_is_told_by_the_events_alone_too(
    repeat: str,
    behind_ms: int,
    stream: list[Happening],
    late: list[int],
    times: int,
    span: int,
    within: int,
) -> None:
    when = steps(f"event: {A}, times: {times}, within: {span}s", f"not: {C}, within: {within}s")
    customer = Customer(rules_of(rule(when, repeat)))
    customer.behind_ms = behind_ms
    played(customer, stream, late)
    found = sorted(((t.at - NOON) // 1000, t.cause) for t in customer.triggers)
    assert found == absent(sets(stream, times, span), within, repeat)


@given(stream=streams(A, B, C), within=st.integers(1, 8), wait=st.integers(1, 8))
@settings(max_examples=150)
def test_a_sequence_that_ends_in_absence_waits_from_its_last_step(
    stream: list[Happening], within: int, wait: int
) -> None:
    when = steps(f"event: {A}", f"event: {B}, within: {within}s", f"not: {C}, within: {wait}s")
    customer = played(Customer(rules_of(rule(when))), stream, [0] * len(stream))
    wanted = [Wanted(A, 1, 1), Wanted(B, 1, within)]
    ends = {ids[-1] for ids in in_order([e for e in stream if e[2] != C], wanted, "restart")}
    left = [(at, id, A if id in ends else C) for at, id, type in stream if id in ends or type == C]
    assert [t.cause for t in customer.triggers] == [id for _, id in absent(left, wait, "restart")]
