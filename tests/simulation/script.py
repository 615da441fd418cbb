"""What happens to the customers of one seed: written before the storm, by a chance of its own."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

import orjson

TENANT = "t"
# Type -> (weight, fields by chance).
TYPES: dict[str, float] = {
    "order.placed": 4,
    "cart.updated": 4,
    "checkout.started": 3,
    "payment.failed": 2,
    "payment.succeeded": 2,
    "web.page_viewed": 5,
    "review.posted": 3,
    "web.searched": 2,
    "enquiry.asked": 2,
    "complaint.opened": 1,
    "competitor.contact": 0.5,
}


@dataclass
class Person:
    """A customer. `calm`: all identifiers are one person before the storm begins.

    `ordered`: staff parts, links or erases it in the storm.
    """

    number: int
    ids: list[str]
    calm: bool
    ordered: bool = False


@dataclass
class Input:
    """One event as a source sends it: `at_s` loop seconds; `shift_ms` how it is out of order.

    `again_s`: seconds after which it comes again, `hint`: by another identifier's partition.
    """

    at_s: float
    id: str
    person: Person
    ids: list[str]
    type: str
    data: dict[str, Any]
    shift_ms: int = 0
    again_s: list[float] = field(default_factory=list)
    hint: bool = False


@dataclass
class Order:
    """What staff orders of somebody: `kind` erase, split (`ids` leave) or link (`ids` are one)."""

    at_s: float
    kind: str
    name: str
    ids: list[str]


@dataclass
class Story:
    """All inputs of a seed. `prologue`: events before the storm; `poison`: (loop s, kind)."""

    people: list[Person]
    prologue: list[Input]
    inputs: list[Input]
    poison: list[tuple[float, str]]
    orders: list[Order]


def event_id(number: int) -> str:
    """Return the id of the n-th event: 32 hex digits."""
    return sha256(b"storm %d" % number).hexdigest()[:32]


def write(seed: int, *, events: int, seconds: float, people: int, born: int) -> Story:
    """Return the story of a seed; `born`: log time at its start, UTC ms."""
    random = Random(f"{seed}/story")
    crowd = [_person(random, number) for number in range(people)]
    prologue: list[Input] = []
    for person in crowd:
        birthday = _birthday(random, born)
        known = person.ids if person.calm else person.ids[:1]
        data = {"birthday": birthday} if random.random() < 0.6 else {}
        prologue.append(_input(0.0, len(prologue), person, known, "customer.identified", data))
    inputs = []
    untidy = random.choice((0.0, 0.0, 0.1, 0.3))
    liking = {name: weight * random.choice((0, 1, 1, 4)) + 0.01 for name, weight in TYPES.items()}
    twice = random.choice((0.0, 0.1, 0.4))
    for number in range(events):
        person = random.choice(crowd)
        found = _event(random, random.uniform(0, seconds), 1_000 + number, person, liking)
        if random.random() < untidy:
            # Inside the lateness of what is awaited, near its edge, or far beyond it.
            found.shift_ms = random.choice((500, 7_000, 30_000, 50_000, 300_000))
        while random.random() < twice and len(found.again_s) < 3:
            found.again_s.append(random.choice((0.01, 0.5, 5.0, 20.0)))
        found.hint = random.random() < 0.5
        inputs.append(found)
    kinds = ("no json", "no ids", "bad id", "forged tick", "unknown kind", "unbearable")
    poison = [
        (random.uniform(0, seconds), random.choice(kinds)) for _ in range(random.choice((0, 0, 3)))
    ]
    inputs.sort(key=lambda each: each.at_s)
    return Story(crowd, prologue, inputs, sorted(poison), _orders(seed, crowd, seconds))


def _person(random: Random, number: int) -> Person:
    draw = random.random()
    if draw < 0.55:
        return Person(number, [_name("0u", number)], True)
    names = [_name(type, number) for type in ("0u", "1p", "3d", "3a")]
    kept = sorted(random.sample(names[1:], random.randint(1, 3)))
    return Person(number, [names[0], *kept], draw < 0.8)


def _orders(seed: int, crowd: list[Person], seconds: float) -> list[Order]:
    """Return what staff does, in half of the seeds: of few people, that the others are as ever."""
    random = Random(f"{seed}/staff")
    found = []
    for _ in range(random.choice((0, 0, 1, 2, 4))):
        person = random.choice(crowd)
        kind = random.choice(("erase", "split", "split", "link"))
        ids = list(person.ids)
        if kind == "split":
            ids = random.sample(ids, random.randint(1, max(1, len(ids) - 1)))
        elif kind == "link" and random.random() < 0.3:  # a slip of the pen
            stray = random.choice(crowd)
            stray.ordered = True
            ids.append(random.choice(stray.ids))
        person.ordered = True
        for _ in range(random.choice((1, 1, 2))):
            at_s = random.uniform(0, seconds)
            found.append(Order(at_s, kind, random.choice(person.ids), ids))
    return sorted(found, key=lambda each: each.at_s)


def _input(
    at_s: float, number: int, person: Person, ids: list[str], type: str, data: dict[str, Any]
) -> Input:
    return Input(at_s, event_id(number), person, sorted(ids), type, data)


def _event(
    random: Random, at_s: float, number: int, person: Person, liking: dict[str, float]
) -> Input:
    type = random.choices(list(liking), list(liking.values()))[0]
    value = random.choice((5_000, 15_000, 25_000))
    fields: dict[str, dict[str, Any]] = {
        "order.placed": {"value": value},
        "cart.updated": {"value": value, "cart_id": "a"},
        "payment.failed": {"value": value, "method": "card"},
        "payment.succeeded": {"value": value, "method": "card"},
        "web.page_viewed": {"page": "/p"},
        "review.posted": {"stars": 3},
        "web.searched": {"query": "q"},
        "enquiry.asked": {"enquiry_id": f"e{number}"},
        "complaint.opened": {"complaint_id": f"c{number}"},
    }
    if person.calm:
        ids = [random.choice(person.ids)]
    else:
        ids = random.sample(person.ids, random.randint(1, min(2, len(person.ids))))
    return _input(at_s, number, person, ids, type, fields.get(type, {}))


def _birthday(random: Random, born: int) -> str:
    """Return a day of birth whose anniversary is near, mostly."""
    day = datetime.fromtimestamp(born / 1000, tz=UTC) + timedelta(days=random.randint(0, 3))
    return f"1990-{day.month:02d}-{day.day:02d}"


def encode(found: Input, *, at: int, received_at: int) -> bytes:
    """Return the bytes of `channel.events`, written without the engine's own encoder."""
    return orjson.dumps(
        {
            "v": 1,
            "id": found.id,
            "tenant": TENANT,
            "source": "sim",
            "type": found.type,
            "at": at,
            "original_at": at,
            "received_at": received_at,
            "ids": found.ids,
            "ev": 0,
            "data": found.data,
        }
    )


def _name(type: str, number: int) -> str:
    """Return an identifier; what is behind its type is of this type alone, as a real one's hash."""
    return f"{type}{ord(type[1]):03d}{number:013d}"
