"""What it is like in a customer's city is asked of the city, and a match decides by the answer."""

import msgspec
import pytest

from engine.errors import RulesError
from engine.events.ids import entity_id
from engine.events.model import Event
from engine.events.record import Headers
from engine.identity.messages import Absorb
from engine.pipeline.state import Live
from tests.turns import NOON, event_id, rules_of
from tests.unit.pipeline.test_guard import SECRET, City, Fed

RULE = """rule: r
kind: service
context: city
when: [{event: cart.viewed, as: view}%s]
if: context.temperature_c < 5.0
do: [{case: payment-help, fields: {c: "{{ context.temperature_c }}"}}]
"""
DAY = 86_400
HANGZHOU = entity_id("city", "Hangzhou", tenant="t", secret=SECRET)


class Land(City):
    """A partition with people, their cities, and whoever speaks of the weather."""

    def __init__(self, text: str = RULE % "") -> None:
        self.silent = False  # what is said to a city stays on its way
        self.lost: list[Fed] = []
        super().__init__(text)
        self.tick(0)

    def weather(self, second: int, celsius: float, city: str = "Hangzhou") -> None:
        name = entity_id("city", city, tenant="t", secret=SECRET)
        self.happens(name, second, "weather.changed", city=city, temperature_c=celsius)

    def lives(self, who: str, city: str) -> None:
        self.happens(f"0u{who}", 0, "customer.identified", city=city)

    def views(self, who: str, second: int, type: str = "cart.viewed") -> None:
        self.happens(f"0u{who}", second, type, cart_id="a")

    def happens(self, node_id: str, second: int, type: str, **data: object) -> None:
        at = NOON + second * 1000
        event = Event(
            id=event_id(f"{node_id}{second}{type}"), tenant="t", source="s", type=type, at=at,
            original_at=at, received_at=at, ids=[node_id], data=data,
        )  # fmt: skip
        self.feed(node_id.encode(), msgspec.json.encode(event), ())

    def arrives(self, key: bytes, value: bytes, headers: Headers) -> list[Fed]:
        if self.silent and key.startswith(b"E"):
            self.lost.append((key, value, headers))
            return []
        return super().arrives(key, value, headers)


def test_a_match_decides_by_what_its_customer_s_city_answers() -> None:
    land = Land()
    land.weather(1, 3.5)
    land.weather(2, 24.0, "Guangzhou")
    for who, city in (("ann", "Hangzhou"), ("bo", "Guangzhou"), ("cy", "Nowhere")):
        land.lives(who, city)
        land.views(who, 60)
    land.views("dee", 60)  # of whom nobody knows where
    land.tick(600)
    assert [(each.customer, each.at) for each in land.triggers] == [("0uann", NOON + 60_000)]
    (trigger,) = land.triggers
    assert trigger.action.fields == {"c": 3.5}
    assert trigger.inputs["context.temperature_c"] == 3.5
    assert land.counts["applied"] == 9, "what actors tell one another is no source event"
    assert land.counts["unknown:r"] == 2, "of Nowhere and of nowhere nothing is known"


def test_the_newest_weather_counts_for_a_day() -> None:
    land = Land()
    land.lives("ann", "Hangzhou")
    land.weather(1, 24.0)
    land.weather(2, 3.5)
    land.tick(DAY - 1)
    land.views("ann", DAY - 1)
    assert len(land.triggers) == 1
    land.tick(DAY + 10)
    land.views("ann", DAY + 10)
    assert len(land.triggers) == 1


def test_without_an_answer_it_is_decided_after_a_minute_that_nothing_is_known() -> None:
    land = Land()
    land.lives("ann", "Hangzhou")
    land.weather(1, 3.5)
    land.silent = True
    land.tick(59)
    land.views("ann", 60)
    assert land.counts.get("unknown:r", 0) == 0
    land.tick(130)
    assert land.triggers == [] and land.counts["unknown:r"] == 1
    live = land.state.nodes["s:t:0uann"]
    assert isinstance(live, Live) and not live.actor.timers


def test_a_late_answer_changes_nothing() -> None:
    land = Land()
    land.lives("ann", "Hangzhou")
    land.weather(1, 3.5)
    land.silent = True
    land.views("ann", 60)
    land.tick(200)
    land.silent = False
    assert len(land.lost) == 1
    land.feed(*land.lost[0])
    assert land.triggers == []


def test_what_calls_it_off_while_it_asks_is_heard() -> None:
    land = Land(RULE % ", {unless: cart.updated}")
    land.lives("ann", "Hangzhou")
    land.weather(1, 3.5)
    land.silent = True
    land.views("ann", 60)
    land.views("ann", 61, "cart.updated")
    land.tick(300)
    assert land.counts.get("unknown:r", 0) == 0 and land.triggers == []


def test_the_answer_follows_who_has_become_somebody_else() -> None:
    land = Land()
    land.weather(1, 3.5)
    land.lives("zoe", "Hangzhou")
    land.control("absorb", b"0uzoe", Absorb("t", "0uann", False, False))
    land.views("ann", 60)
    assert [each.customer for each in land.triggers] == ["0uann"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("context: city", "context: town", "R111"),
        ("context.temperature_c <", "context.temperature <", "E203"),
        ("as: view", "as: view, where: context.temperature_c < 5.0", "E20"),
        ("as: view", "as: context", "R114"),
        ("context: city", "guard: {same: view.cart_id, more_than: 3, within: 1h, raise: x}", "E20"),
        (
            "context: city",
            "context: city\nguard: {same: view.cart_id, more_than: 3, within: 1h, raise: x}",
            "R149",
        ),
    ],
)
def test_a_mistake_about_a_context_is_told(old: str, new: str, code: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of((RULE % "").replace(old, new))
    codes = {each.code[: len(code)] for each in caught.value.problems}  # type: ignore[attr-defined]
    assert code in codes
