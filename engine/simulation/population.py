"""The life of a company on all its channels: a quick past, a present with planted stories."""

from collections.abc import Iterator
from heapq import merge
from random import Random

from engine.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from engine.simulation.messages import Message, Sender
from engine.simulation.people import Person, population, purchase_days, start_of_history
from engine.simulation.stories import STORIES, Cast

Timed = tuple[int, Message]
HISTORY_DAYS = 120
STORY_EVERY_MS = 20 * MINUTE_MS  # each story anew, with other people
STORES = ("store-nanjing-road", "store-oxford-street", "store-chunxi-road")


class Company:
    """A seeded company. `opens_ms`: log time at which the present begins."""

    def __init__(self, seed: int, *, people: int, opens_ms: int) -> None:
        self._random = Random(seed)
        self.opens_ms = opens_ms
        self.people = population(self._random, people, today_ms=opens_ms)
        self._sender = Sender(self._random, f"sim{seed}")

    def history(self, days: int = HISTORY_DAYS) -> list[Timed]:
        """Return the messages of the past, in the order of time."""
        start = start_of_history(self.opens_ms, days)
        found: list[Timed] = []
        for person in self.people:
            found += self._past_of(person, start, days)
        return sorted(found, key=_at)

    def present(self, rate_per_s: float) -> Iterator[Timed]:
        """Yield messages for ever, in the order of time; `rate_per_s` in log time."""
        return merge(self._everyday(rate_per_s), self._planted(), key=_at)

    def _birthday_people(self) -> list[Timed]:
        """Those with a birthday today open the app in the morning: the rule hears of them."""
        found = []
        for person in self.people:
            if person.number % 20 == 0:
                at = self.opens_ms + person.number * SECOND_MS // 10
                found.append((at, self._sender.track(person, "app.opened", at, version="5.1")))
        return found

    def _past_of(self, person: Person, start: int, days: int) -> list[Timed]:
        random, send = self._random, self._sender
        found = [(start + person.number * SECOND_MS, send.identify(person, start))]
        for day in purchase_days(random, person, days):
            at = start + int(day * DAY_MS) + HOUR_MS
            found += self._visit(person, at - 20 * MINUTE_MS)
            found.append((at, self._order(person, at)))
            if random.random() < 0.06:
                later = at + DAY_MS
                opened = send.track(
                    person,
                    "complaint.opened",
                    later,
                    complaint_id=f"k{person.number}-{int(day)}",
                    severity="normal",
                    topic="delivery",
                )
                found.append((later, opened))
        return [(at, message) for at, message in found if at < self.opens_ms - 2 * HOUR_MS]

    def _visit(self, person: Person, at: int) -> list[Timed]:
        pages = self._random.randint(1, 3)
        return [
            (
                at + page * MINUTE_MS,
                self._sender.track(
                    person,
                    "web.page_viewed",
                    at + page * MINUTE_MS,
                    page=f"/p/{self._random.randint(1, 400)}",
                    category=person.category,
                ),
            )
            for page in range(pages)
        ]

    def _order(self, person: Person, at: int) -> Message:
        value = max(500, int(self._random.gauss(person.spends_minor, person.spends_minor / 4)))
        return self._sender.track(
            person,
            "order.placed",
            at,
            order_id=f"o{person.number}-{at // SECOND_MS}",
            cart_id=f"c{person.number}",
            value=value / 100,
            currency=person.currency,
            category=person.category,
        )

    def _everyday(self, rate_per_s: float) -> Iterator[Timed]:
        random, send = self._random, self._sender
        at = self.opens_ms
        while True:
            at += max(1, int(random.expovariate(rate_per_s) * SECOND_MS))
            person = random.choice(self.people)
            yield at, self._moment(random, send, person, at)

    def _moment(self, random: Random, send: Sender, person: Person, at: int) -> Message:
        kind = random.random()
        if kind < 0.55:
            page = f"/p/{random.randint(1, 400)}"
            return send.track(person, "web.page_viewed", at, page=page, category=person.category)
        if kind < 0.65:
            return send.track(person, "app.screen_viewed", at, screen="home")
        if kind < 0.75:
            return send.track(person, "email.opened", at, campaign="spring")
        if kind < 0.82:
            return send.track(person, "social.message_received", at, text_length=12)
        if kind < 0.88:
            return self._order(person, at)
        if kind < 0.94:
            store = random.choice(STORES)
            return send.track(person, "store.entered", at, store_id=store)
        return send.track(person, "call.started", at, call_id=f"call{at}", topic="delivery")

    def _planted(self) -> Iterator[Timed]:
        yield from self._birthday_people()
        number = 0
        while True:
            opens = self.opens_ms + number * STORY_EVERY_MS + 2 * MINUTE_MS
            cast = Cast(self.people, self._random, self._sender, number)
            yield from sorted((line for story in STORIES for line in story(cast, opens)), key=_at)
            number += 1


def _at(timed: Timed) -> int:
    return timed[0]
