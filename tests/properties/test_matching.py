"""Steps, sequences and absence on random streams, held against what RULES.md section 1 says."""

from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.matching.times import completes
from tests.turns import LATENESS_MS, NOON, Customer, event_id, rules_of

A, B, C = "cart.updated", "checkout.started", "order.placed"
DATA = {
    A: {"value": 15_000, "cart_id": "a", "items": 1},
    B: {"value": 15_000},
    C: {"value": 15_000},
}
FAR = 10_000
LATE = LATENESS_MS // 1000

Happening = tuple[int, str, str]  # second, event id, type


def streams(*types: str, size: int = 14) -> st.SearchStrategy[list[Happening]]:
    """Return events in the order in which they happened, often at the same second."""
    one = st.tuples(st.integers(1, 40), st.sampled_from(types))
    return st.lists(one, max_size=size).map(
        lambda found: sorted((at, event_id(str(n)), type) for n, (at, type) in enumerate(found))
    )


def delays(size: int = 14) -> st.SearchStrategy[list[int]]:
    """Return how much later than it happened each event arrives, inside the lateness."""
    return st.lists(st.integers(0, LATE - 1), min_size=size, max_size=size)


def played(customer: Customer, stream: list[Happening], late: list[int]) -> Customer:
    """Let the events arrive, each so much later than it happened, a tick every second."""
    arriving = sorted((at + late[n], n) for n, (at, _, _) in enumerate(stream))
    for second in range(60 + LATE):
        customer.tick(second)
        for when, n in arriving:
            if when == second:
                at, id, type = stream[n]
                customer.send(type, at, DATA[type], id=id)
    customer.tick(FAR)
    return customer


def rule(when: str, repeat: str = "") -> str:
    """Return a rule's text that asks for nothing but its steps."""
    again = f"repeat: {repeat}\n" if repeat else ""
    return f"rule: r\nfresh: 30d\nwhen:\n{when}\n{again}do: [{{case: hit}}]\n"


def steps(*found: str) -> str:
    """Return the lines of `when`."""
    return "\n".join(f"  - {{{each}}}" for each in found)


@given(stream=streams(A), times=st.integers(2, 4), within=st.integers(1, 12))
def test_several_within_a_time_are_the_first_full_sets_one_behind_the_other(
    stream: list[Happening], times: int, within: int
) -> None:
    when = steps(f"event: {A}, times: {times}, within: {within}s")
    customer = played(Customer(rules_of(rule(when))), stream, [0] * len(stream))
    expected, open_ = [], []
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


def pairs(stream: list[Happening], within: int, repeat: str) -> list[tuple[str, str]]:
    """Return (start, end) of `A, then B` in event order, straight from the definition."""
    found: list[tuple[str, str]] = []
    open_: list[tuple[int, str]] = []
    for at, id, type in stream:
        if type == A:
            alive = [each for each in open_ if at <= each[0] + within]
            if repeat == "restart":
                open_ = [(at, id)]
            elif repeat == "each":
                open_ = [*alive, (at, id)][:10]
            elif not alive:
                open_ = [(at, id)]
            continue
        taken = [each for each in open_ if each[0] < at <= each[0] + within]
        if taken:
            used = taken if repeat == "each" else taken[:1]
            found += [(start, id) for _, start in used]
            open_ = [each for each in open_ if each not in used] if repeat == "each" else []
    return found


@pytest.mark.parametrize("repeat", ["restart", "keep-first", "each"])
@given(stream=streams(A, B), within=st.integers(1, 12))
@settings(max_examples=150)
def test_a_sequence_in_order_is_as_defined(
    repeat: str, stream: list[Happening], within: int
) -> None:
    when = steps(f"event: {A}", f"event: {B}, within: {within}s")
    customer = played(Customer(rules_of(rule(when, repeat))), stream, [0] * len(stream))
    assert [tuple(t.events) for t in customer.triggers] == pairs(stream, within, repeat)


@pytest.mark.parametrize("repeat", ["restart", "keep-first", "each"])
@given(stream=streams(A, B, size=8), late=delays(8), within=st.integers(1, 12))
@example(  # the start at 1 hides the one at 2, which would have hidden the one at 9
    stream=[(1, "a1", A), (2, "a2", A), (9, "a9", A), (10, "b", B)], late=[2, 0, 0, 0], within=7
)
@example(  # and it comes when all else is there
    stream=[(1, "a1", A), (2, "a2", A), (9, "a9", A), (10, "b", B)],
    late=[LATE - 1, 0, 0, 0],
    within=7,
)
@settings(max_examples=150)
def test_a_sequence_out_of_order_is_true_and_not_lost(
    repeat: str, stream: list[Happening], late: list[int], within: int
) -> None:
    when = steps(f"event: {A}", f"event: {B}, within: {within}s")
    customer = played(Customer(rules_of(rule(when, repeat))), stream, late)
    at = {id: second for second, id, _ in stream}
    found = [tuple(t.events) for t in customer.triggers]
    assert all(0 < at[end] - at[start] <= within for start, end in found)
    assert len(set(found)) == len(found)
    assert found or not pairs(stream, within, repeat)


@given(stream=streams(A, B, C), within=st.integers(1, 8), wait=st.integers(1, 8))
@settings(max_examples=150)
def test_a_sequence_that_ends_in_absence_waits_from_its_last_step(
    stream: list[Happening], within: int, wait: int
) -> None:
    when = steps(f"event: {A}", f"event: {B}, within: {within}s", f"not: {C}, within: {wait}s")
    customer = played(Customer(rules_of(rule(when))), stream, [0] * len(stream))
    ends = {end for _, end in pairs([e for e in stream if e[2] != C], within, "restart")}
    left = [(at, id, A if id in ends else C) for at, id, type in stream if id in ends or type == C]
    assert [t.cause for t in customer.triggers] == [id for _, id in absent(left, wait, "restart")]
