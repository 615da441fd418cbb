"""What happens at a thing by day: exact counts, heads counted by a sketch, bounded, replayable."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RulesError
from engine.events.model import Event
from engine.profile.model import Actor
from engine.profile.things import tally
from engine.simulation.cases import run_case
from tests.turns import Customer, event_id, rules_of

NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp() * 1000)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WANTED = tally.Tallied(sums=("dwell_s",), distinct=("customer",))


def clicked(at: int, who: str, dwell_s: float = 1.0) -> Event:
    """Return a click on an advert by somebody."""
    return Event(
        id=event_id(f"{at}{who}"),
        tenant="t",
        source="s",
        type="ad.clicked",
        at=at,
        original_at=at,
        received_at=at,
        ids=["Ea1", who],
        data={"ad_id": "a1", "dwell_s": dwell_s},
    )


def local_day(at: int) -> int:
    return (datetime.fromtimestamp(at / 1000, UTC) + timedelta(hours=8)).date().toordinal()


@given(
    clicks=st.lists(st.tuples(st.integers(0, 24 * 40), st.integers(0, 9)), max_size=60),
    days=st.integers(1, 31),
)
def test_counts_agree_with_a_naive_recount_whatever_the_order(
    clicks: list[tuple[int, int]], days: int
) -> None:
    actor = Actor(kind="ad")
    kept: list[tuple[int, int]] = []
    newest = 0
    for hours, who in clicks:
        at = NOON - hours * HOUR_MS
        newest = max(newest, local_day(at))
        if tally.add(actor, clicked(at, f"0u{who}", 2.0), WANTED):
            kept.append((local_day(at), who))
        else:
            assert local_day(at) <= newest - tally.DAYS_MAX
        actor = msgspec.msgpack.decode(msgspec.msgpack.encode(actor), type=Actor)
    today = local_day(NOON)
    found = [who for day, who in kept if today - days < day <= today and day > newest - 31]
    assert tally.count(actor, "ad.clicked", NOON, days) == len(found)
    assert tally.total(actor, "ad.clicked", NOON, days, "dwell_s") == 2.0 * len(found)
    assert tally.distinct(actor, "ad.clicked", NOON, days, "customer") == len(set(found))
    assert tally.mean(actor, "ad.clicked", NOON, days, "dwell_s") == (2.0 if found else None)


def test_many_heads_are_counted_within_a_tenth_and_take_no_more_room() -> None:
    actor = Actor(kind="ad")
    for day in range(40):
        for n in range(400):
            tally.add(actor, clicked(NOON + day * DAY_MS, f"0u{day * 100 + n}"), WANTED)
    at = NOON + 39 * DAY_MS
    assert tally.count(actor, "ad.clicked", at, 31) == 31 * 400
    assert tally.distinct(actor, "ad.clicked", at, 31, "customer") == pytest.approx(3_400, rel=0.1)
    assert len(msgspec.msgpack.encode(actor)) < 20_000


def test_the_same_events_give_the_same_bytes() -> None:
    def bytes_of() -> bytes:
        actor = Actor(kind="ad")
        for n in range(300):
            tally.add(actor, clicked(NOON + n, f"0u{n % 70}"), WANTED)
        return msgspec.msgpack.encode(actor)

    assert bytes_of() == bytes_of()


RULE = """rule: r
owner: a@shop.example
status: live
key: ad
when: [{event: ad.clicked}]
if: >-
  distinct("ad.clicked", it.customer, 7d) >= 3
  && count("ad.clicked", this_week) / distinct("ad.clicked", it.customer, 7d) >= 2
do: [{case: more-channels, fields: {people: "{{ distinct('ad.clicked', it.customer, 7d) }}"}}]
limits: [1 per 30d]
"""
CLICKS = ", ".join(f"{{at: {n}m, ad.clicked: {{ad_id: a1, user_id: u{n % 3}}}}}" for n in range(6))


def test_a_rule_about_an_advert_counts_heads_on_the_whole_fold() -> None:
    expect = "[{at: 5m, case: more-channels}]"
    rules = rules_of(f"{RULE}tests: [{{name: a, events: [{CLICKS}], expect: {expect}}}]\n")
    rule = rules.rules["r"]
    assert rules.tallies["ad", "ad.clicked"] == tally.Tallied((), ("customer",))
    assert run_case(rule, rule.cases[0], rules) == []


def test_short_windows_of_a_thing_are_read_from_its_exact_log() -> None:
    rules = rules_of(RULE.replace("7d", "7d").replace("this_week", "30m"))
    shop = Customer(rules, kind="ad", node_id="Ea1")
    shop.send("ad.clicked", 0, {"ad_id": "a1"})
    assert rules.tallies["ad", "ad.clicked"] == tally.Tallied((), ("customer",))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("it.customer, 7d) >= 3", "it.customer, 40d) >= 3", "E225"),
        ("it.customer, 7d) >= 3", "it.customer, 1h) >= 3", "E225"),
        ('count("ad.clicked", this_week)', 'count("ad.clicked", 1h, it.customer == "a")', "E225"),
        ("key: ad\n", "", "E203"),  # at a person there is nobody else
        ('distinct("ad.clicked", it.customer, 7d) >= 3', 'count("ad.clicked", 1h) > 300', "E224"),
    ],
)
def test_what_a_thing_cannot_count_is_told(old: str, new: str, code: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(RULE.replace(old, new, 1))
    assert code in {each.code for each in caught.value.problems}  # type: ignore[attr-defined]


def test_a_kind_of_thing_counts_a_few_different_things_only() -> None:
    texts = [
        RULE.replace("rule: r", f"rule: r{n}").replace("it.customer", f"it.{name}")
        for n, name in enumerate(("customer", "ad_id", "campaign", "user_id"))
    ]
    assert rules_of(*texts[:3]).rules
    with pytest.raises(RulesError) as caught:
        rules_of(*texts)
    assert {each.code for each in caught.value.problems} == {"R146"}  # type: ignore[attr-defined]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=12), st.integers(0, 12))
def test_what_was_counted_can_be_taken_back(clicks: list[tuple[int, int]], kept: int) -> None:
    wanted = tally.Tallied(sums=("dwell_s",), spread=("dwell_s",))
    both, first = Actor(kind="ad"), Actor(kind="ad")
    for number, (day, dwell_s) in enumerate(clicks):
        event = clicked(NOON + day * DAY_MS + number, f"u{number}", float(dwell_s))
        tally.add(both, event, wanted)
        if number < kept:
            tally.add(first, event, wanted)
    for number, (day, dwell_s) in enumerate(clicks[kept:], kept):
        tally.take_back(both, clicked(NOON + day * DAY_MS + number, "u", float(dwell_s)))
    for days in range(1, 5):
        of = ("ad.clicked", NOON + 3 * DAY_MS, days)
        assert tally.count(both, *of) == tally.count(first, *of)
        assert tally.total(both, *of, "dwell_s") == tally.total(first, *of, "dwell_s")
        middles = [tally.percentile(actor, *of, "dwell_s", 50) for actor in (both, first)]
        assert middles[0] == middles[1]


def test_of_a_day_with_others_left_people_are_not_forgotten() -> None:
    actor = Actor(kind="ad")
    for who in ("u1", "u2"):
        tally.add(actor, clicked(NOON, who), WANTED)
    tally.take_back(actor, clicked(NOON, "u2"))
    assert tally.distinct(actor, "ad.clicked", NOON, 1, "customer") == 2
    tally.take_back(actor, clicked(NOON, "u1"))
    assert tally.distinct(actor, "ad.clicked", NOON, 1, "customer") == 0
