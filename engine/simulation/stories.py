"""Planted stories: small plays on the channels, each of which makes one shipped rule come true.

A story is a function of its cast and of the instant at which it opens; it returns timed messages.
The cast changes from one performance to the next, so that limits per customer do not end the show.
"""

from collections.abc import Callable
from random import Random

from engine.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from engine.simulation.messages import Message, Sender
from engine.simulation.people import Person

Timed = tuple[int, Message]
QUEUE_LENGTH = 12
_ROLES = 8  # people that one performance of all stories needs at most


class Cast:
    """Who plays in performance `number`; nobody plays twice before all have."""

    def __init__(self, people: list[Person], random: Random, sender: Sender, number: int) -> None:
        self.random = random
        self.send = sender
        self.number = number
        self._people = people

    def player(self, role: int) -> Person:
        """Return the person for a role of this performance."""
        return self._people[(self.number * _ROLES + role * 7) % len(self._people)]

    def gold(self, role: int) -> Person:
        """Return a gold or diamond member for a role."""
        golden = [p for p in self._people if p.tier in ("gold", "diamond")]
        return golden[(self.number * _ROLES + role) % len(golden)]

    def lapsing(self) -> Person:
        """Return someone who bought for a while and then stopped."""
        lapsed = [p for p in self._people if 20 < p.active_days < 70 and p.buys_every_days < 30]
        return lapsed[self.number % len(lapsed)]


def cart_left_behind(cast: Cast, at: int) -> list[Timed]:
    """Two looks at a category, a cart of some value, then nothing."""
    person, send = cast.lapsing(), cast.send
    looks = [
        (
            at + i * MINUTE_MS,
            send.track(
                person,
                "web.page_viewed",
                at + i * MINUTE_MS,
                page=f"/p/{7 + i}",
                category=person.category,
            ),
        )
        for i in range(2)
    ]
    later = at + 3 * MINUTE_MS
    cart = send.track(
        person,
        "cart.updated",
        later,
        cart_id=f"c{person.number}-{cast.number}",
        value=268.0,
        currency=person.currency,
        category=person.category,
        items=2,
    )
    return [*looks, (later, cart)]


def payment_trouble(cast: Cast, at: int) -> list[Timed]:
    """Three failed payments within ten minutes, and no success."""
    person = cast.player(1)
    return [
        (
            at + i * 3 * MINUTE_MS,
            cast.send.track(
                person,
                "payment.failed",
                at + i * 3 * MINUTE_MS,
                value=88.0,
                currency=person.currency,
                method="card",
                code="declined",
            ),
        )
        for i in range(3)
    ]


def bad_review(cast: Cast, at: int) -> list[Timed]:
    """A gold member is angry in public."""
    person = cast.gold(2)
    return [
        (
            at,
            cast.send.track(
                person,
                "review.posted",
                at,
                sentiment=-0.8,
                stars=1,
                product_id=f"p{cast.number}",
                order_id=f"o{person.number}",
            ),
        )
    ]


def tried_not_bought(cast: Cast, at: int) -> list[Timed]:
    """Someone tries a product in the shop, and leaves without it."""
    person = cast.player(3)
    left = at + 15 * MINUTE_MS
    return [
        (
            at,
            cast.send.track(
                person,
                "store.experienced",
                at,
                store_id="store-nanjing-road",
                product_id="p77",
                category=person.category,
                clerk_id="clerk-3",
            ),
        ),
        (left, cast.send.track(person, "store.left", left, store_id="store-nanjing-road")),
    ]


def queue_in_the_shop(cast: Cast, at: int) -> list[Timed]:
    """Many tickets, few served."""
    shop = ("store-oxford-street", "store-chunxi-road")[cast.number % 2]
    return [
        (
            at + i * 20 * SECOND_MS,
            cast.send.track(
                None,
                "store.ticket_taken",
                at + i * 20 * SECOND_MS,
                store_id=shop,
                ticket_id=f"t{cast.number}-{i}",
            ),
        )
        for i in range(QUEUE_LENGTH)
    ]


def promise_about_to_break(cast: Cast, at: int) -> list[Timed]:
    """A clerk promises a call back, and nobody calls."""
    person = cast.player(5)
    return [
        (
            at,
            cast.send.track(
                person,
                "promise.made",
                at,
                promise_id=f"pr{cast.number}",
                issue="refund",
                due_minutes=60,
                agent_id="agent-4",
            ),
        )
    ]


def competitor_calls(cast: Cast, at: int) -> list[Timed]:
    """A valuable customer asks about leaving, and complains."""
    person = cast.gold(6)
    later = at + 2 * MINUTE_MS
    return [
        (
            at,
            cast.send.track(
                person,
                "complaint.opened",
                at,
                complaint_id=f"kc{cast.number}",
                severity="high",
                topic="price",
            ),
        ),
        (later, cast.send.track(person, "competitor.contact", later, competitor="other")),
    ]


def signs_in(cast: Cast, at: int) -> list[Timed]:
    """A browser becomes a person we know: two histories are one from here on."""
    person = cast.player(7)
    return [(at + HOUR_MS // 6, cast.send.identify(person, at + HOUR_MS // 6))]


STORIES: tuple[Callable[[Cast, int], list[Timed]], ...] = (
    cart_left_behind,
    payment_trouble,
    bad_review,
    tried_not_bought,
    queue_in_the_shop,
    promise_about_to_break,
    competitor_calls,
    signs_in,
)
