"""Bugs of identity to plant: storms with orders of staff must find them (IDENTITY.md).

Hunted by `orders.weather`, whose seeds are thirty times as quick as those of the whole engine.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace as replace_struct

from engine.events import topics
from engine.identity import mac, node, registrar
from engine.identity.messages import Claim
from engine.identity.node import Tombstone
from engine.pipeline import envelope, fold, parting, persons, registry, state
from engine.runtime.partition import owner as partition
from tests.instead import Patch
from tests.simulation import deadly, orders, ways
from tests.simulation.bugs import bug, step
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
    real = envelope.send_control

    def send_control(held: Any, kind: str, *rest: Any, **more: Any) -> None:
        if kind != "mi":
            real(held, kind, *rest, **more)

    return [(parting, "send_control", send_control)]


@bug("events of who has left are still applied here", hunt=hunt)
def who_left_stays() -> list[Patch]:
    def split(held: Any, arrival: Any, book: Any) -> None:
        return None

    return [(parting, "split", split)]


@bug(
    "a late state makes a node believe that a home which left is its own",
    seed=40,
    hunt=hunt,
    within=200,
)
def moved_homes_are_believed() -> list[Patch]:
    def merge_links(winner: Any, loser: Any, absorbed: str) -> None:
        moved = winner.moved | loser.moved
        winner.moved = {}
        loser = replace_struct(loser, moved={})
        real(winner, loser, absorbed)
        winner.moved = moved

    real = node.merge_links
    return [(persons, "merge_links", merge_links)]


@bug("the registrar does not look at caps", hunt=hunt)
def rivals_are_joined() -> list[Patch]:
    real = registrar.clash
    return [(registrar, "clash", lambda a, b: 2 if real(a, b) == 2 else 0)]


@bug("a proof counts for nothing", seed=14, hunt=hunt)
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
    real = envelope.send_control

    def send_control(held: Any, kind: str, *rest: Any, **more: Any) -> None:
        if kind != "absorb" or held.meta.mseq % 4:
            real(held, kind, *rest, **more)

    return [(registry, "send_control", send_control)]


def _claims(change: Callable[[Claim], Claim]) -> list[Patch]:
    real = envelope.send_control

    def send_control(held: Any, kind: str, to: str, body: Any, **more: Any) -> None:
        real(held, kind, to, change(body) if kind == "claim" else body, **more)

    return [(persons, "send_control", send_control)]


@bug("a claim does not say that it was proved", seed=9, hunt=hunt, within=60)
def proofs_are_kept_back() -> list[Patch]:
    return _claims(lambda claim: replace_struct(claim, ev=0))


@bug("every claim says that it was proved", seed=3, hunt=hunt, within=60)
def everything_is_a_proof() -> list[Patch]:
    return _claims(lambda claim: replace_struct(claim, ev=1))


@bug("of several names one is claimed", hunt=hunt, within=60)
def one_name_is_claimed() -> list[Patch]:
    return _claims(lambda claim: replace_struct(claim, names=claim.names[:1]))


# Messages between actors: hunted by storms of the whole engine.


@bug("what was sent twice by an actor is applied twice", seed=9, within=200)
def no_high_water() -> list[Patch]:
    real = fold.fold

    def again(held: Any, arrival: Any, book: Any) -> None:
        if arrival.src is not None:
            held.meta.src[arrival.src] = arrival.mseq - 1
        real(held, arrival, book)

    return [(partition, "fold", again), (deadly, "fold", again)]


@bug("the ring of event ids is not asked")
def no_ring() -> list[Patch]:
    return [(persons, "takes", lambda links, name, now: True)]


@bug("a merge forgets which events the absorbed one had", seed=7)
def ring_lost_at_a_merge() -> list[Patch]:
    real = node.merge_links

    def merge_links(winner: Any, loser: Any, absorbed: str) -> None:
        loser.ring, loser.ring_at = b"", b""
        real(winner, loser, absorbed)

    return [(persons, "merge_links", merge_links)]


@bug("an event that came by a hint is applied wherever somebody lives", seed=18)
def hints_are_believed() -> list[Patch]:
    real = persons.event

    def event(held: Any, arrival: Any, book: Any) -> None:
        live = held.nodes[arrival.name]
        if isinstance(live, state.Live):
            persons._apply(held, live, arrival, book)
        else:
            real(held, arrival, book)

    return [step("event", event)]


@bug("nobody asks the registrar who somebody is")
def no_claims() -> list[Patch]:
    return [(persons, "_claim", lambda *_: None)]


@bug("timers of an absorbed customer stay in the set")
def timers_outlive_their_node() -> list[Patch]:
    return [(persons, "disarm", lambda *_: None)]


@bug("the absorbed customer's state does not move in")
def nothing_moves_in() -> list[Patch]:
    return [(persons, "merge_actor", lambda turn, loser, *, absorbed, forced: None)]


@bug("a signpost drops what is on its way to its customer's state", seed=4)
def refusals_of_forwards() -> list[Patch]:
    real = envelope.forward

    def forward(held: Any, arrival: Any, to: str, **more: Any) -> None:
        if held.meta.mseq % 5:
            real(held, arrival, to, **more)

    return [(persons, "forward", forward)]


@bug(
    "the shortcut of a signpost is taken by all that passes",
    excuse="chains of three signposts, most events twice: once in 290 long runs (IDENTITY.md)",
)
def shortcut_for_everybody() -> list[Patch]:
    real = persons._pass_on

    def pass_on(held: Any, arrival: Any, home: str, signpost: Any, book: Any) -> None:
        real(held, arrival, home, replace_struct(signpost, fwd=signpost.target), book)

    return [(persons, "_pass_on", pass_on)]


@bug("the state of an absorbed customer is sent before its events are forwarded, by another way")
def moves_out_of_order() -> list[Patch]:
    real = ways.FaultyLog.publish

    async def publish(self: Any, records: Any) -> None:
        mine = [r for r in records if r.topic == topics.EVENTS]
        others = [r for r in records if r.topic != topics.EVENTS]
        await real(self, others + mine[::-1])

    return [(ways.FaultyLog, "publish", publish)]


@bug("a control record without the engine's seal is believed")
def seals_not_checked() -> list[Patch]:
    class Open:
        holds = staticmethod(lambda *_: True)
        sign = staticmethod(mac.sign)

    return [(envelope, "mac", Open)]


@bug("what cannot be read is dropped without a word")
def no_dead_letters() -> list[Patch]:
    return [(fold, "bury", lambda *_: None)]
