"""What a back-test says is what the live workers did: the same triggers, to the byte."""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest

from engine.clock import HOUR_MS
from engine.decision.model import Trigger
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.events.record import Outgoing, Record, partition_of
from engine.identity import mac
from engine.identity.messages import Erase
from engine.identity.registrar import ADDRESS
from engine.outcome import Outcome
from engine.pipeline.book import Book
from engine.pipeline.envelope import Arrival
from engine.pipeline.state import Partition
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.offers import parse_offers
from engine.runtime.learner import version_records
from engine.simulation.backtest import Watch, awake, report
from engine.simulation.past import Past, book_of, reads_scores
from tests.simulation.world import SECRET, TENANT, Faults, World, run
from tests.turns import contracts, event_id

STORM = Faults(reply_lost=0.03, rollback=0.01, death=0.02, duplicate=0.2, hint=0.15)
HEAD = "owner: a@shop.example\nstatus: {status}\nwhy: A test.\n"
KEEN = """rule: keen
title: Twice on a page
priority: 5
when:
  - event: web.page_viewed
    where: count("web.page_viewed", 1h) >= 2
do: [{offer: cart-10-off, channels: [desk]}]
limits: [2 per 7d, 2 per 7d in group promo]
"""
LEFT = """rule: left
title: A cart left alone
when:
  - event: cart.updated
  - not: order.placed
    within: 30m
repeat: restart
do: [{offer: cart-10-off, channels: [desk]}]
limits: [5 per 7d, 2 per 7d in group promo]
holdout: 20%
"""


def rules_of(*, version: str = "v1", **texts: str) -> RuleSet:
    """Return the rule set of some files, live."""
    files = {
        f"{name}.yaml": text + ("" if "status:" in text else HEAD.format(status="live"))
        for name, text in texts.items()
    }
    return compile_rules(files, contracts(), version=version)


def story(random: Random, *, now: int, people: int = 12, events: int = 160) -> list[Event]:
    """Return events of people with one or two identifiers, in the order of time."""
    found, at = [], now
    for number in range(events):
        at += random.randrange(1_000, 240_000)
        person = random.randrange(people)
        names = [birth_id("user_id", f"u{person}", tenant=TENANT, secret=SECRET)]
        if random.random() < 0.3:
            names.append(birth_id("anonymous_id", f"a{person}", tenant=TENANT, secret=SECRET))
        if random.random() < 0.2:
            names = names[-1:]
        kind = random.choice(["web.page_viewed", "cart.updated", "order.placed"])
        data = {"value": 15000, "currency": "CNY", "cart_id": "c", "items": 1, "category": "food"}
        if kind == "web.page_viewed":
            data = {"page": "/p/1", "category": "food"}
        found.append(
            Event(
                id=event_id(str(number)), tenant=TENANT, source="sim", type=kind, at=at,
                original_at=at, received_at=at, ids=sorted(names), data=data,
            )
        )  # fmt: skip
    return found


def lived(rules: RuleSet, seed: int) -> World:
    """Return a world in which workers have lived through a story, with faults."""
    world = World(seed, faults=STORM, book=Book(secret=SECRET, rule_sets={rules.version: rules}))
    for record in version_records("ruleset", rules.version, world.count, SECRET):
        world.log.append(record)
    script: list[tuple[str, object]] = []
    now = world.now
    for event in story(Random(seed), now=now):
        if event.at > now:
            script.append(("tick", event.at - now))
            now = event.at
        script += [("event", event), ("work", 2)]
    run(world, [*script, ("tick", 3_600_000), ("work", 99), ("tick", 60_000)])
    return world


def order_of(kind: str, to: str, body: Any, count: int) -> Outgoing:
    """Return a record that the engine gives itself, sealed."""
    key, value = to.encode(), msgspec.json.encode(body)
    headers = (("kind", kind.encode()), ("mac", mac.sign(kind, key, value, SECRET)))
    return Outgoing(topics.EVENTS, partition_of(to, count), key, value, headers)


def records(world: World, topic: str, partition: int) -> list[Record]:
    """Return all records of a partition."""
    return [record for record in world.log.records(topic) if record.partition == partition]


def replayed(world: World, book: Book, *, version: str = "") -> list[list[bytes]]:
    """Return the bytes of what leaves on topic `triggers`, by partition, as a back-test has it."""
    found: list[list[bytes]] = []
    for partition in range(world.count):
        out: list[bytes] = []

        def heard(
            state: Partition, arrival: Arrival, outcome: Outcome, out: list[bytes] = out
        ) -> None:
            out += [move.value for _, move in outcome.triggers]

        past = Past(book, heard, index=partition, count=world.count, version=version)
        for record in records(world, topics.EVENTS, partition):
            past.record(record)
        found.append(out)
    return found


def left_live(world: World) -> list[list[bytes]]:
    """Return what the workers published, by partition, each number once."""
    found = []
    for partition in range(world.count):
        numbered = {
            dict(record.headers)["oseq"]: record.value
            for record in records(world, topics.TRIGGERS, partition)
        }
        found.append([numbered[n] for n in sorted(numbered, key=int)])
    return found


def test_the_live_set_back_tested_gives_the_live_triggers_to_the_byte() -> None:
    rules = rules_of(keen=KEEN, left=LEFT)
    for seed in range(4):
        world = lived(rules, seed)
        live = left_live(world)
        assert sum(b'"trigger"' in each for part in live for each in part) > 10, seed
        assert replayed(world, world.book) == live, seed
        assert replayed(world, world.book, version="v1") == live, seed


def test_another_rule_set_over_the_same_log_decides_otherwise() -> None:
    world = lived(rules_of(keen=KEEN, left=LEFT), 1)
    other = rules_of(version="v2", keen=KEEN)
    book = Book(secret=SECRET, rule_sets={"v2": other})
    found = [value for part in replayed(world, book, version="v2") for value in part]
    rules = {
        msgspec.json.decode(value, type=Trigger).rule for value in found if b'"trigger"' in value
    }
    assert rules == {"keen"}


def watched(rules: RuleSet, events: Sequence[Event], *, since: int = 0) -> Watch:
    """Return what a file of events comes to."""
    watch = Watch(rules.rules, since=since)
    past = Past(
        book_of(rules, secret=SECRET, lateness_ms=lambda _: 10_000), watch.heard,
        version=rules.version,
    )  # fmt: skip
    for event in events:
        copy = msgspec.structs.replace(event)
        past.event(copy, msgspec.json.encode(copy))
    past.end()
    watch.ended(past.state)
    return watch


def test_a_rule_loses_to_the_one_that_used_the_cap_of_their_group_up() -> None:
    events = story(Random(3), now=1_700_000_000_000, people=4)
    both = report(watched(rules_of(keen=KEEN, left=LEFT), events))
    by_rule = {rule["rule"]: rule for rule in both["rules"]}
    assert by_rule["left"]["lost_to"]["keen"] > 0
    assert by_rule["keen"]["beats"]["left"] == by_rule["left"]["lost_to"]["keen"]
    alone = report(watched(rules_of(left=LEFT), events))
    assert alone["rules"][0]["decisions"] > by_rule["left"]["decisions"]


def test_the_diff_names_what_only_one_of_two_sets_does() -> None:
    events = story(Random(5), now=1_700_000_000_000)
    live = watched(rules_of(keen=KEEN, left=LEFT), events)
    assert report(live, watched(rules_of(keen=KEEN, left=LEFT), events))["diff"]["is_same"]
    diff = report(watched(rules_of(keen=KEEN), events), live)["diff"]
    assert diff["fewer"]["left"]["count"] > 0
    assert "left" not in diff["more"]


def test_since_hides_what_was_before_and_still_lets_it_fill_the_limits() -> None:
    events = story(Random(5), now=1_700_000_000_000, people=3)
    rules = rules_of(keen=KEEN)
    whole = watched(rules, events)
    middle = events[len(events) // 2].at
    after = watched(rules, events, since=middle)
    expected = {name for name, (_, _, at) in whole.triggers.items() if at >= middle}
    assert set(after.triggers) == expected
    assert len(expected) < len(whole.triggers)


def test_nobody_is_scored_for_rules_that_do_not_ask_and_they_decide_the_same() -> None:
    asks = "rule: asks\nwhen: [{event: cart.updated}]\ndo: [{case: a}]\n"
    asks += "if: features.churn_risk > 1.0\n"
    without, with_one = rules_of(keen=KEEN, left=LEFT), rules_of(keen=KEEN, left=LEFT, asks=asks)
    assert (reads_scores(without), reads_scores(with_one)) == (False, True)
    events = story(Random(8), now=1_700_000_000_000)
    first, second = watched(without, events), watched(with_one, events)
    assert first.triggers == second.triggers != {}
    assert (first.counts["labels"], "asks" in second.tallies) == (0, True)


def test_a_draft_is_back_tested_as_if_it_were_live() -> None:
    events = story(Random(5), now=1_700_000_000_000)
    draft = rules_of(keen=KEEN + HEAD.format(status="draft"))
    assert watched(draft, events).triggers == {}
    assert watched(awake(draft, ["keen"]), events).triggers


def test_a_message_costs_what_its_first_channel_costs_and_an_offer_what_it_gives() -> None:
    offers = parse_offers("offers: {cart-10-off: 10.0}\nchannels: {desk: 0.5}\n", where="o.yaml")
    watch = watched(rules_of(keen=KEEN), story(Random(5), now=1_700_000_000_000))
    found = report(watch, offers=offers)
    assert found["decisions"] > 0
    assert found["cost"]["messages"] == found["decisions"] * 0.5
    assert found["cost"]["offers_at_most"] == found["decisions"] * 10.0


def test_two_identifiers_in_a_file_become_one_person() -> None:
    found = report(watched(rules_of(keen=KEEN), story(Random(9), now=1_700_000_000_000)))
    assert found["customers"] == 12


def at(hour: float, person: str, type: str, **data: object) -> Event:
    """Return an event of a person on 1 March 2026, `hour` by the clock of Shanghai."""
    when = HAND + round(hour * HOUR_MS)
    return Event(
        id=event_id(f"{hour}{person}{type}{data}"), tenant=TENANT, source="sim", type=type, at=when,
        original_at=when, received_at=when,
        ids=[birth_id("user_id", person, tenant=TENANT, secret=SECRET)], data=data,
    )  # fmt: skip


def known(hour: float, person: str, tier: str, **more: object) -> Event:
    """Return what makes somebody known, with an address and the consent to write to it."""
    who = {"user_id": person, "tier": tier, "consent.push": True}
    return at(hour, person, "customer.identified", **{**who, **more})


def cart(hour: float, person: str, name: str = "c") -> Event:
    """Return an update of a cart."""
    return at(hour, person, "cart.updated", value=15_000, cart_id=name, items=1)


HAND = 1_772_294_400_000  # 2026-03-01T00:00+08:00
BY_HAND = {
    "first": """rule: first
priority: 9
when: [{event: web.page_viewed}]
do: [{message: hello, channels: [push]}]
limits: [9 per 7d in group promo]
group: promo
""",
    "left": """rule: left
when: [{event: cart.updated}, {not: order.placed, within: 30m}]
per: cart_id
do: [{offer: cart-10-off, channels: [email, push]}]
limits: [2 per 7d, 2 per day in group promo]
quiet_hours: "22:00-08:00"
goal: {event: order.placed, within: 1d}
""",
    "all_held": """rule: all_held
when: [{event: web.page_viewed}]
do: [{offer: cart-10-off, channels: [push]}]
holdout: 100%
""",
}


def test_the_report_of_a_small_history_is_what_a_person_works_out_on_paper() -> None:
    events = [
        known(6, "ann", "gold"),
        known(6.01, "bob", "silver"),
        known(6.02, "cid", "silver", **{"consent.push": False}),
        known(6.03, "eve", "gold"),
        at(6.5, "eve", "web.page_viewed", page="/"),  # 28 February in UTC; acts, and is held out
        cart(7, "ann", "a"),  # 7:30 is quiet: held until 8:00, acts; ordered at 8:30: the goal
        at(8.5, "ann", "order.placed", value=100, currency="CNY"),
        cart(9, "bob", "b"),  # 9:30 acts
        cart(9, "bob", "c"),  # 9:30 acts too, in the same moment
        cart(10, "bob", "d"),  # 10:30: the rule's own limit, twice in 7 days
        cart(11, "cid", "e"),  # 11:30: no consent
        at(12, "ann", "web.page_viewed", page="/"),  # `first` acts; the other is held out
        cart(13, "ann", "f"),  # 13:30: twice a day in the group, by `left` at 8:00 and by `first`
        cart(23, "dan", "g"),  # 23:30 is quiet: held until 8:00, which is 2 March; no address
        cart(23.2, "ann", "h"),  # 23:42: quiet; at 8:00 of the next day it acts
        at(33, "dan", "web.page_viewed", page="/"),  # 9:00 of 2 March: time goes on; no address
    ]
    offers = parse_offers(
        "offers: {cart-10-off: 10.0}\nchannels: {push: 0.5, email: 0.1}\n", where="o.yaml"
    )
    found = report(watched(rules_of(**BY_HAND), events), offers=offers)
    by = {each["rule"]: each for each in found["rules"]}
    ann, bob, eve = (at(0, name, "x").ids[0] for name in ("ann", "bob", "eve"))
    left, first, held = by["left"], by["first"], by["all_held"]
    assert (left["decisions"], left["customers"], left["who"]) == (4, 2, sorted([ann, bob]))
    assert left["days"] == {"2026-03-01": 3, "2026-03-02": 1}
    assert left["segments"] == {"gold": 2, "silver": 2} and left["channels"] == {"push": 4}
    assert left["stopped"] == {"quiet": 3, "limit": 2, "no_channel": 2}
    assert (left["lost_to"], first["beats"]) == ({"first": 1}, {"left": 1})
    assert (left["goals"], left["goals_held_out"]) == (1, 0)
    assert left["cost"] == {"messages": 2.0, "offers_at_most": 40.0}
    assert (first["decisions"], first["who"]) == (2, sorted([ann, eve]))
    assert (first["stopped"], first["days"]) == ({"no_channel": 1}, {"2026-03-01": 2})
    assert first["cost"] == {"messages": 1.0, "offers_at_most": 0.0}
    assert (held["decisions"], held["held_out"], held["stopped"]) == (0, 2, {"no_channel": 1})
    assert (found["decisions"], found["held_out"], found["customers"]) == (6, 2, 5)
    assert found["cost"] == {"messages": 3.0, "offers_at_most": 40.0} and found["events"] == 16


def test_a_case_of_many_is_counted_beside_those_whom_it_held_back() -> None:
    guard = "guard: {same: cart.cart_id, more_than: 2, within: 10m, wait: 2m, raise: many}\n"
    text = f"rule: r\nwhen: [{{event: cart.updated, as: cart}}]\ndo: [{{case: a}}]\n{guard}"
    events = [cart(9 + n / 100, f"u{n}") for n in range(4)]
    (rule,) = report(watched(rules_of(r=text), events))["rules"]
    assert (rule["raised"], rule["decisions"], rule["stopped"]) == (1, 0, {"systemic": 4})


def test_who_was_erased_is_counted_and_named_nowhere() -> None:
    world = lived(rules_of(keen=KEEN, left=LEFT), 1)

    def seen() -> Watch:
        watch = Watch(world.book.rule_sets["v1"].rules)
        for partition in range(world.count):
            past = Past(world.book, watch.heard, index=partition, count=world.count)
            for record in records(world, topics.EVENTS, partition):
                past.record(record)
            watch.ended(past.state)
        return watch

    before = report(seen())
    someone = next(rule["who"][0] for rule in before["rules"] if rule["who"])
    world.log.append(order_of("erase", ADDRESS, Erase(TENANT, someone, world.now), world.count))
    run(world, [("work", 99), ("tick", 60_000), ("work", 99)])
    watch = seen()
    after = report(watch, Watch({}))
    assert someone in str(before) and someone in watch.gone and someone not in str(after)
    for one, other in zip(before["rules"], after["rules"], strict=True):
        assert (one["decisions"], one["customers"]) == (other["decisions"], other["customers"])


FOLLOWS = """rule: follows
when: [{event: %s, times: 2, within: 1h%s}]
do: [{case: a}]
"""


@pytest.mark.parametrize(
    ("event", "where", "told"),
    [
        ("web.page_viewed", "", True),
        ("web.page_viewed", ", where: event.page == '/p/1'", False),
        ("order.placed", "", False),  # which happens, but seldom
    ],
)
def test_a_rule_that_follows_every_event_of_a_frequent_type_is_told(
    event: str, where: str, told: bool
) -> None:
    numbered = enumerate(story(Random(9), now=1_700_000_000_000))
    events = [each for n, each in numbered if each.type != "order.placed" or n % 5 == 0]
    rules = rules_of(follows=FOLLOWS % (event, where), keen=KEEN)
    found = report(watched(rules, events))["followed"]
    viewed = sum(each.type == "web.page_viewed" for each in events)
    assert [(each["rule"], each["events"]) for each in found] == [("follows", viewed)] * told
