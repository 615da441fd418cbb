"""Random streams of three event types, played to a customer under a rule of some steps."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.turns import LATENESS_MS, Customer, event_id

A, B, C = "cart.updated", "checkout.started", "order.placed"
DATA: dict[str, dict[str, Any]] = {
    A: {"value": 15_000, "cart_id": "a", "items": 1},
    B: {"value": 15_000},
    C: {"value": 15_000},
}
FAR = 10_000
LATE = LATENESS_MS // 1000

Happening = tuple[int, str, str]  # second, event id, type


@dataclass(frozen=True)
class Wanted:
    """A step: so many of a type, within so many seconds (of themselves, or of the step before)."""

    type: str
    times: int
    within: int

    def __str__(self) -> str:
        times = "" if self.times == 1 else f", times: {self.times}"
        within = "" if self.times == 1 and self.type == A else f", within: {self.within}s"
        return f"event: {self.type}{times}{within}"


@dataclass
class Open:
    """A match under way: the last event of each step that is done, when, and what the next has."""

    ids: list[str]
    at: int
    took: list[int] = field(default_factory=list)


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


def sequences() -> st.SearchStrategy[list[Wanted]]:
    """Return two or three steps, of which the first two may want several events."""
    first = st.builds(Wanted, st.just(A), st.integers(1, 3), st.integers(1, 9))
    second = st.builds(Wanted, st.just(B), st.integers(1, 2), st.integers(1, 12))
    third = st.builds(Wanted, st.just(C), st.just(1), st.integers(1, 12))
    return st.one_of(st.tuples(first, second), st.tuples(first, second, third)).map(list)


def in_order(stream: list[Happening], wanted: list[Wanted], repeat: str) -> list[tuple[str, ...]]:
    """Return the last event of each step of all matches, straight from the definition."""
    found: list[tuple[str, ...]] = []
    open_: list[Open] = []
    counted: list[int] = []
    for at, id, type in stream:
        alive = [each for each in open_ if at <= each.at + wanted[len(each.ids)].within]
        if type == A:
            if repeat == "keep-first" and alive:
                continue
            counted = [earlier for earlier in counted if at - earlier < wanted[0].within] + [at]
            if wanted[0].times == 1 or len(counted) == wanted[0].times:
                open_ = [*(alive if repeat == "each" else []), Open([id], at)][:10]
                counted = []
            continue
        takers = [each for each in alive if wanted[len(each.ids)].type == type and each.at < at]
        for each in takers if repeat == "each" else takers[:1]:
            each.took.append(at)
            if len(each.took) == wanted[len(each.ids)].times:
                each.ids, each.at, each.took = [*each.ids, id], at, []
        done = [each for each in open_ if len(each.ids) == len(wanted)]
        found += [tuple(each.ids) for each in done]
        if done:
            open_ = [each for each in open_ if each not in done] if repeat == "each" else []
            counted = counted if repeat == "each" else []
    return found
