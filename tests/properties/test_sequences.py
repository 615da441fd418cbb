"""Steps one after the other on random streams, held against a naive recomputation."""

from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.properties.streams import (
    LATE,
    A,
    B,
    C,
    Happening,
    Wanted,
    delays,
    in_order,
    played,
    rule,
    sequences,
    steps,
    streams,
)
from tests.turns import Customer, rules_of

pytestmark = pytest.mark.parametrize("repeat", ["restart", "keep-first", "each"])


def found(
    stream: list[Happening], late: list[int], wanted: list[Wanted], repeat: str
) -> list[tuple[str, ...]]:
    """Return the last event of each step of all matches, in the order in which they were told."""
    text = rule(steps(*map(str, wanted)), repeat)
    customer = played(Customer(rules_of(text)), stream, late)
    return [tuple(trigger.events) for trigger in customer.triggers]


def is_true(stream: list[Happening], wanted: list[Wanted], match: tuple[str, ...]) -> bool:
    """Tell whether there are events that make a match what the rule asks for."""
    marks = {id: (at, id) for at, id, _ in stream}
    ends = [marks[id] for id in match]
    of = [[(at, id) for at, id, type in stream if type == each.type] for each in wanted]
    sets = [found for found in combinations(of[0], wanted[0].times) if found[-1] == ends[0]]
    if not any(found[-1][0] - found[0][0] < wanted[0].within for found in sets):
        return False
    for place in range(1, len(wanted)):
        since, end, step = ends[place - 1][0], ends[place], wanted[place]
        taken = [mark for mark in of[place] if since < mark[0] and mark <= end]
        if len(taken) < step.times or not 0 < end[0] - since <= step.within:
            return False
    return True


@given(stream=streams(A, A, B, C), wanted=sequences())
@settings(max_examples=100)
def test_in_order_they_are_as_defined(
    repeat: str, stream: list[Happening], wanted: list[Wanted]
) -> None:
    expected = in_order(stream, wanted, repeat)
    assert found(stream, [0] * len(stream), wanted, repeat) == expected


@given(stream=streams(A, A, A, B, C), late=delays(), wanted=sequences())
@example(  # 18 comes last: until then the three were 19, 20 and 22
    stream=[
        *((at, f"a{at}", A) for at in (15, 16, 18, 19, 20)),
        (21, "b", B),
        (22, "a22", A),
    ],
    late=[0, 0, 7, 0, 0, 4, 0],
    wanted=[Wanted(A, 3, 4), Wanted(B, 1, 4)],
)
@settings(max_examples=100)
def test_first_steps_in_any_order_of_arrival_are_those_of_event_order(
    repeat: str, stream: list[Happening], late: list[int], wanted: list[Wanted]
) -> None:
    # What follows them arrives in order, when all first steps before it are there.
    shifted = [late[n] if type == A else LATE - 1 for n, (_, _, type) in enumerate(stream)]
    assert found(stream, shifted, wanted, repeat) == in_order(stream, wanted, repeat)


@given(stream=streams(A, B, C, size=8), late=delays(8), wanted=sequences())
@example(  # the start at 1 hides the one at 2, which would have hidden the one at 9
    stream=[(1, "a1", A), (2, "a2", A), (9, "a9", A), (10, "b", B)],
    late=[2, 0, 0, 0],
    wanted=[Wanted(A, 1, 1), Wanted(B, 1, 7)],
)
@example(  # and it comes when all else is there
    stream=[(1, "a1", A), (2, "a2", A), (9, "a9", A), (10, "b", B)],
    late=[LATE - 1, 0, 0, 0],
    wanted=[Wanted(A, 1, 1), Wanted(B, 1, 7)],
)
@example(  # the start at 1 would hide one that has gone on
    stream=[(1, "a1", A), (2, "a2", A), (4, "b", B), (6, "c", C)],
    late=[4, 0, 0, 0],
    wanted=[Wanted(A, 1, 1), Wanted(B, 1, 7), Wanted(C, 1, 7)],
)
@settings(max_examples=100)
def test_out_of_order_they_are_true_and_not_lost(
    repeat: str, stream: list[Happening], late: list[int], wanted: list[Wanted]
) -> None:
    told = found(stream, late, wanted, repeat)
    assert all(is_true(stream, wanted, match) for match in told)
    assert len(set(told)) == len(told)
    assert told or not in_order(stream, wanted, repeat)


@given(
    stream=streams(A, A, B, C),
    late=st.lists(st.integers(0, 4 * LATE), min_size=14, max_size=14),
    wanted=sequences(),
)
@settings(max_examples=100)
def test_later_than_they_may_be_they_are_true(
    repeat: str, stream: list[Happening], late: list[int], wanted: list[Wanted]
) -> None:
    told = found(stream, late, wanted, repeat)
    assert all(is_true(stream, wanted, match) for match in told)
    assert len(set(told)) == len(told)
