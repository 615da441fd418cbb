"""If many customers share a cause, nobody is sent anything: one incident is raised."""

import msgspec
import pytest

from engine.decision.model import Trigger
from engine.errors import RulesError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Headers, Record
from engine.identity import mac
from engine.identity.messages import Absorb, Tick, Version
from engine.outcome import Meta, Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import read
from engine.pipeline.fold import fold
from engine.pipeline.needs import needed_nodes
from engine.pipeline.state import Partition
from tests.turns import NOON, event_id, rules_of

SECRET = b"of these tests"
Fed = tuple[bytes, bytes, Headers]
RULE = """rule: r
kind: service
when: [{event: payment.failed, as: failure}%s]
guard: {same: failure.code, more_than: 3, within: 10m, wait: 2m, raise: payment-outage}
do: [{message: payment-help, channels: [web]}]
limits: [1 per 1h]
"""


class City:
    """One partition with whoever is addressed; what actors say to one another comes back."""

    def __init__(self, text: str = RULE % "") -> None:
        self.book = Book(secret=SECRET, rule_sets={"test": rules_of(text)})
        self.state = Partition(0, 1, Meta())
        self.offset = 0
        self.triggers: list[Trigger] = []
        self.moved: list[Record] = []
        self.counts: dict[str, int] = {}
        self.control("ruleset", b"ruleset", Version("test"))

    def control(self, kind: str, key: bytes, body: msgspec.Struct) -> None:
        value = msgspec.json.encode(body)
        seal = mac.sign(kind, key, value, SECRET)
        self.feed(key, value, (("kind", kind.encode()), ("mac", seal)))

    def tick(self, second: int) -> None:
        now = NOON + second * 1000
        self.control("tick", b"tick", Tick(now=now, passed=now))

    def fails(self, who: str, second: int, code: str = "E7", type: str = "payment.failed") -> None:
        at = NOON + second * 1000
        event = Event(
            id=event_id(f"{who}{second}{code}"),
            tenant="t",
            source="s",
            type=type,
            at=at,
            original_at=at,
            received_at=at,
            ids=[f"0u{who}"],
            data={"value": 100, "method": "card", "code": code, "user_id": who},
        )
        self.feed(f"0u{who}".encode(), msgspec.json.encode(event), ())

    def feed(self, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> None:
        waiting = [(key, value, headers)]
        while waiting:
            key, value, headers = waiting.pop(0)
            arrival = read(Record(topics.EVENTS, 0, self.offset, key, value, headers), SECRET)
            self.offset += 1
            for name in needed_nodes(self.state, [arrival]):
                self.state.nodes.setdefault(name, None)
            fold(self.state, arrival, self.book)
            self.state.note_timers()
            outcome, self.state.outcome = self.state.outcome, Outcome()
            for _, move in outcome.triggers:
                if msgspec.json.decode(move.value)["type"] == "trigger":
                    self.triggers.append(msgspec.json.decode(move.value, type=Trigger))
            for code, count in outcome.counts.items():
                self.counts[code] = self.counts.get(code, 0) + count
            for _, move in outcome.moves:
                if move.topic == topics.EVENTS:
                    waiting += self.arrives(move.key.encode(), move.value, move.headers)

    def arrives(self, key: bytes, value: bytes, headers: Headers) -> list[Fed]:
        """Return what comes at once of a message between actors."""
        return [(key, value, headers)]

    @property
    def did(self) -> list[tuple[str, int]]:
        """(action, second) of each trigger."""
        return [(each.action.name, (each.at - NOON) // 1000) for each in self.triggers]


def test_a_few_with_one_cause_are_helped_after_the_wait() -> None:
    city = City()
    for n in range(3):
        city.fails(f"p{n}", n)
    city.tick(300)
    assert city.did == [("payment-help", 120), ("payment-help", 121), ("payment-help", 122)]


def test_many_with_one_cause_are_one_incident_and_nobody_is_sent_anything() -> None:
    city = City()
    for n in range(6):
        city.fails(f"p{n}", n)
    city.fails("other", 7, code="E1")
    city.tick(300)
    assert city.did == [("payment-outage", 3), ("payment-help", 127)]
    incident, alone = city.triggers
    assert incident.entity == "incident" and incident.action.fields == {
        "cause": "E7",
        "customers": 4,
    }
    assert alone.customer == "0uother"
    assert city.counts["stopped:systemic:r"] == 6
    assert city.counts["applied"] == 7, "what actors tell one another is no source event"
    assert city.counts.get("dead", 0) == 0


def test_one_customer_many_times_is_no_incident() -> None:
    city = City()
    for n in range(6):
        city.fails("p0", n)
    city.tick(300)
    assert city.did == [("payment-help", 125)]


def test_an_incident_is_told_again_when_its_time_is_over() -> None:
    city = City()
    for start in (0, 3_600):
        city.tick(start)
        for n in range(5):
            city.fails(f"p{start}{n}", start + n)
        city.tick(start + 300)
    assert city.did == [("payment-outage", 3), ("payment-outage", 3_603)]


def test_without_a_cause_a_match_decides_at_once() -> None:
    city = City()
    city.fails("p0", 1, code=None)  # type: ignore[arg-type]
    assert city.did == [("payment-help", 1)]


def test_what_is_called_off_while_it_asks_does_not_act() -> None:
    city = City(RULE % ", {unless: payment.succeeded}")
    city.fails("p0", 1)
    city.fails("p0", 5, type="payment.succeeded")
    city.tick(300)
    assert city.did == []


def test_the_answer_follows_who_has_become_somebody_else() -> None:
    city = City()
    for n in range(3):
        city.fails(f"p{n}", n)
    city.control("absorb", b"0up1", Absorb("t", "0up0", False, False))
    city.fails("p3", 10)
    city.fails("p4", 11)
    city.tick(300)
    assert [name for name, _ in city.did] == ["payment-outage"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("failure.code", "failure.cod", "E203"),
        ("more_than: 3", "more_than: 0", "R112"),
        ("wait: 2m", "wait: 2 minutes", "R110"),
        (", raise: payment-outage", "", "R102"),
    ],
)
def test_a_mistake_in_a_guard_is_told(old: str, new: str, code: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of((RULE % "").replace(old, new))
    assert code in {each.code for each in caught.value.problems}  # type: ignore[attr-defined]
