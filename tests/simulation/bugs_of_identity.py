"""Bugs of identity to plant: storms with orders of staff must find them (IDENTITY.md).

Hunted by `orders.weather`, whose seeds are thirty times as quick as those of the whole engine.
"""

from typing import Any

from msgspec.structs import replace

from engine.identity import node, registrar
from engine.identity.node import Tombstone
from engine.pipeline import parting, persons, registry
from tests.simulation import orders
from tests.simulation.bugs import Patch, bug
from tests.simulation.directed import late_state
from tests.simulation.findings import Violation


def hunt(seed: int) -> list[Violation]:
    """Return what a seed finds wrong."""
    return orders.weather(seed, orders.STORM)


@bug("who had left is cut off where a state comes to one who is erased", hunt=late_state, within=3)
def ways_lost_with_a_late_state() -> list[Patch]:
    def take_in_ways(held: Any, arrival: Any, gone: Any, arrived: Any, book: Any) -> None:
        parting.pass_on_ring(held, arrival, arrived, gone.moved, book)

    return [(parting, "take_in_ways", take_in_ways)]


@bug("an erased person no longer shows the way to who had left", hunt=hunt, within=200)
def an_erasure_cuts_off_who_had_left() -> list[Patch]:
    real = parting.erase

    def erase(held: Any, arrival: Any) -> None:
        real(held, arrival)
        held.nodes[arrival.name] = Tombstone("", erased=True)

    return [(parting, "erase", erase)]


@bug("who leaves does not know which events were counted before", hunt=hunt, within=200)
def no_ring_for_who_leaves() -> list[Patch]:
    real = parting.send_control

    def send_control(held: Any, kind: str, *rest: Any, **more: Any) -> None:
        if kind != "mi":
            real(held, kind, *rest, **more)

    return [(parting, "send_control", send_control)]


@bug("events of who has left are still applied here", hunt=hunt)
def who_left_stays() -> list[Patch]:
    def split(held: Any, arrival: Any, book: Any) -> None:
        return None

    return [(parting, "split", split)]


@bug("a late state makes a node believe that a home which left is its own", hunt=hunt, within=200)
def moved_homes_are_believed() -> list[Patch]:
    def merge_links(winner: Any, loser: Any, absorbed: str) -> None:
        moved = winner.moved | loser.moved
        winner.moved = {}
        loser = replace(loser, moved={})
        real(winner, loser, absorbed)
        winner.moved = moved

    real = node.merge_links
    return [(persons, "merge_links", merge_links)]


@bug("the registrar does not look at caps", hunt=hunt)
def rivals_are_joined() -> list[Patch]:
    real = registrar.clash
    return [(registrar, "clash", lambda a, b: 2 if real(a, b) == 2 else 0)]


@bug("a proof counts for nothing", hunt=hunt)
def trust_is_not_believed() -> list[Patch]:
    real = registrar.claim
    return [(registrar, "claim", lambda entries, by, name, ev: real(entries, by, name, 0))]


@bug("an erasure leaves no mark at the registrar", hunt=hunt)
def erased_people_are_joined() -> list[Patch]:
    def erase(entries: Any, name: str) -> Any:
        class Marks(dict[str, Any]):
            def __missing__(self, key: str) -> Any:
                return entries[key]

        return real(Marks(), name)

    real = registrar.erase
    return [(registrar, "erase", erase)]


@bug("of two the higher name wins", hunt=hunt)
def the_higher_wins() -> list[Patch]:
    real = registrar._join

    def join(entries: Any, winner: str, loser: str, *, forced: bool) -> Any:
        return real(entries, loser, winner, forced=forced)

    return [(registrar, "_join", join)]


@bug("the registrar forgets to tell the loser of a union", hunt=hunt)
def nobody_is_absorbed() -> list[Patch]:
    real = registry.send_control

    def send_control(held: Any, kind: str, *rest: Any, **more: Any) -> None:
        if kind != "absorb" or held.meta.mseq % 4:
            real(held, kind, *rest, **more)

    return [(registry, "send_control", send_control)]
