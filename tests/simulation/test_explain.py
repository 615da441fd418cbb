"""Why and why not is what the fold did: the same decisions, and each stop with its reason."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from engine.adapters.files import read_contracts
from engine.errors import EngineError
from engine.events import topics
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.events.record import Record
from engine.pipeline.book import Book
from engine.rules.compile import compile_rules
from engine.runtime.learner import version_records
from engine.runtime.lookup import Lookup
from engine.runtime.past.explain import Explainer
from engine.runtime.rulesets.releases import Artefact, artefact_record
from tests.simulation.test_backtest import HEAD, KEEN, LEFT, story
from tests.simulation.world import SECRET, TENANT, Faults, World, run
from tests.turns import ROOT, contracts, event_id

START = 1_700_000_000_000
HOUR = 3_600_000
STORM = Faults(reply_lost=0.03, rollback=0.01, death=0.02, duplicate=0.2)
ME = birth_id("user_id", "u0", tenant=TENANT, secret=SECRET)
DATA = {
    "cart.updated": {"value": 15_000, "currency": "CNY", "cart_id": "c", "items": 1},
    "order.placed": {"value": 15_000, "currency": "CNY"},
    "web.page_viewed": {"page": "/p/1"},
    "review.posted": {"sentiment": -0.9, "stars": 1},
    "customer.identified": {},
}


def house(texts: dict[str, str], *, seed: int = 1, faults: Faults | None = None) -> World:
    """Return a world that begins with a rule set, and has its artefact in the log."""
    rules = compile_rules(texts, contracts(), version="v1")
    book = Book(secret=SECRET, rule_sets={"v1": rules})
    world = World(seed, partition_count=2, faults=faults, book=book)
    world.now = START
    files = read_contracts(str(ROOT / "topics"))
    artefact = Artefact(version="v1", rules=texts, contracts=files, lateness_ms={})
    world.log.append(artefact_record(artefact, SECRET))
    for record in version_records("ruleset", "v1", world.count, SECRET):
        world.log.append(record)
    return world


def explainer_of(world: World, **more: Any) -> Explainer:
    """Return what explains a world."""
    lookup = Lookup(world.store, partition_count=world.count, tenant=TENANT, secret=SECRET)
    return Explainer(
        store=world.store, reader=world.log, lookup=lookup, partition_count=world.count,
        tenant=TENANT, secret=SECRET, **more,
    )  # fmt: skip


def why(world: World, rule: str, who: str = ME, **more: Any) -> dict[str, Any]:
    """Return the explanation."""
    return asyncio.run(explainer_of(world, **more).explain(rule, who))


def told(name: str, text: str) -> dict[str, str]:
    """Return a rule file, with a head."""
    return {f"{name}.yaml": f"rule: {name}\n{text}" + HEAD.format(status="live")}


def lived(texts: dict[str, str], *things: tuple[str, int]) -> World:
    """Return a world in which events of mine happened, (type, minute) each."""
    world = house(texts)
    script: list[tuple[str, object]] = [("tick", 1_000)]
    now = 0
    for number, (type, minute) in enumerate(things):
        while now < minute:
            now += min(10, minute - now)
            script += [("tick", 600_000 if now <= minute else 0), ("work", 9)]
        at = START + minute * 60_000
        script.append(("event", Event(
            id=event_id(str(number)), tenant=TENANT, source="s", type=type, at=at, original_at=at,
            received_at=at, ids=[ME], data=dict(DATA[type]),
        )))  # fmt: skip
    script += [("work", 99), *[("tick", 600_000), ("work", 9)] * 6]
    run(world, script)
    return world


CART = "when: [{event: cart.updated}]\n"
OFFER = "do: [{offer: a, channels: [push, email]}]\n"
CASE = "do: [{case: a}]\n"
CASES = [
    # rule, events, outcome, words in English, words in Chinese
    ("when: [{event: cart.updated, where: 'event.items > 0 && event.value > 200.0'}]\n" + CASE,
     [("cart.updated", 5)], "where", "event.value = 150", "未匹配"),
    ("when: [{event: cart.updated, where: event.category == 'food'}]\n" + CASE,
     [("cart.updated", 5)], "missing", "event.category = not known", "缺失"),
    (CART + "if: features.churn_risk > 0.4\n" + CASE,
     [("cart.updated", 5)], "unknown", "features.churn_risk = not known", "数据缺失"),
    (CART + 'if: count("cart.updated", 1h) > 1\n' + CASE,
     [("cart.updated", 5)], "condition", '= 1', "条件不成立"),
    (CART + OFFER, [("cart.updated", 5)], "no_channel", "push: no address, email: no address",
     "push: 无地址"),
    (CART + CASE + "limits: [1 per 7d]\n", [("cart.updated", 5), ("cart.updated", 6)], "limit",
     "1 in 7 days, reached at", "7 天内最多1次"),
    (CART + OFFER.replace("push", "desk") + "holdout: 100%\n", [("cart.updated", 5)],
     "held_out", "comparison group", "对照组"),
    (CART + CASE, [("cart.updated", 5)], "fired", "It acted: case a", "已触发：case a"),
    ("when: [{event: cart.updated}, {not: order.placed, within: 30m}]\n" + CASE,
     [("cart.updated", 5), ("order.placed", 9)], "prevented", "What must not happen did",
     "因此未触发"),
    ("when: [{event: cart.updated}, {not: order.placed, within: 3d}]\n" + CASE,
     [("cart.updated", 5)], "waits", "It waits until", "等待至"),
    ("when: [{event: cart.updated}, {event: order.placed, within: 1d}]\n" + CASE,
     [("cart.updated", 5)], "begun", "Step 1 of 2", "完成第1步"),
    (CART + "quiet_hours: '00:00-23:59'\n" + CASE,
     [("cart.updated", 5)], "quiet", "Quiet hours", "静默时段"),
    ("per: coupon\n" + CART + CASE, [("cart.updated", 5)], "instance", "has no coupon",
     "缺少coupon"),
    (CART + "fresh: 1m\n" + CASE, [("order.placed", 30), ("cart.updated", 5)], "expired",
     "too late", "已过时效"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "events", "outcome", "en", "zh"), CASES)
def test_each_reason_is_told_with_its_values(
    rule: str, events: list[Any], outcome: str, en: str, zh: str
) -> None:
    found = why(lived(told("r", rule), *events), "r")
    newest = found["occasions"][0]
    assert newest["outcome"] == outcome
    assert en in newest["words"]["en"] and zh in newest["words"]["zh"], newest["words"]
    assert found["verdict"] == newest["words"] and found["is_whole"]


def test_the_rival_that_was_first_is_named() -> None:
    mine = told("r", CART + OFFER.replace("push", "desk") + "limits: [1 per day in group promo]\n")
    other = told("s", "priority: 9\n" + CART + OFFER.replace("push", "desk") + "group: promo\n")
    found = why(lived({**mine, **other}, ("cart.updated", 5)), "r")
    assert "rule s was first" in found["verdict"]["en"] and "在先" in found["verdict"]["zh"]
    stop = told("s", "priority: 9\n" + CART + "do: [{suppress: promo, for: 1d}]\n")
    found = why(lived({**mine, **stop}, ("cart.updated", 5)), "r")
    assert found["occasions"][0]["outcome"] == "suppressed"
    assert "rule s was first" in found["verdict"]["en"]


def test_where_nothing_happened_that_is_the_answer() -> None:
    found = why(lived(told("r", CART + CASE), ("order.placed", 5)), "r")
    assert found["occasions"] == [] and "cart.updated" in found["verdict"]["en"]
    dated = told("r", "when: [{schedule: {date: birthday, at: '09:00'}}]\n" + CASE)
    assert "birthday" in why(lived(dated, ("order.placed", 5)), "r")["verdict"]["en"]


@pytest.mark.parametrize(
    ("rule", "who", "code"),
    [("r", "user_id:nobody", "identity/unknown"), ("x", ME, "rules/unknown")],
)
def test_who_and_what_must_be_known(rule: str, who: str, code: str) -> None:
    world = lived(told("r", CART + CASE), ("cart.updated", 5))
    with pytest.raises(EngineError) as caught:
        why(world, rule, who)
    assert caught.value.code == code


def a_story(texts: dict[str, str], seed: int) -> tuple[World, list[str]]:
    """Return a world after a random story with faults, and the people in it."""
    world = house(texts, seed=seed, faults=STORM)
    script: list[tuple[str, object]] = [("tick", 1_000)]
    now = START
    events = story(Random(seed), now=START, people=6)
    for event in events:
        if event.at > now:
            script += [("tick", event.at - now), ("work", 4)]
            now = event.at
        script.append(("event", event))
    run(world, [*script, ("work", 99), ("tick", HOUR), ("work", 99), ("tick", 60_000)])
    return world, sorted({event.ids[-1] for event in events})


def test_what_is_explained_is_what_the_workers_did() -> None:
    texts = {
        "keen.yaml": KEEN + HEAD.format(status="live"),
        "left.yaml": LEFT + HEAD.format(status="live"),
    }
    total: Counter[str] = Counter()
    for seed in range(3):
        world, people = a_story(texts, seed)
        counts, explainer = world.counts(), explainer_of(world)
        acted = {
            (found["customer"], rule, each["at"], each["outcome"], each["event_id"])
            for rule in ("keen", "left")
            for who in people
            for found in [asyncio.run(explainer.explain(rule, who))]
            for each in found["occasions"]
            if each["outcome"] in ("fired", "held_out", "limit")
        }
        for outcome in ("fired", "held_out", "limit"):
            code = "stopped:limit" if outcome == "limit" else outcome
            got = sum(each[3] == outcome for each in acted)
            assert got == sum(n for c, n in counts.items() if c.startswith(f"{code}:")), seed
            total[outcome] += got
    assert min(total[outcome] for outcome in ("fired", "held_out", "limit")) > 0


def test_a_log_that_was_cut_is_gone_on_from_what_today_s_state_tells() -> None:
    text = KEEN.replace("2 per 7d, 2 per 7d in group promo", "1 per 30m")
    world, _ = a_story({"keen.yaml": text + HEAD.format(status="live")}, 2)
    partition = max(range(world.count), key=lambda p: len(part_of(world, p)))
    counts = Counter(record.key.decode() for record in part_of(world, partition))
    person = max((n for n in counts if n[0] == "0"), key=lambda name: counts[name])
    whole = why(world, "keen", person)
    size = len([r for r in world.log.records(topics.EVENTS) if r.partition == partition])
    cut = why(world, "keen", person, records_max=size // 2)
    later = [each for each in whole["occasions"] if each["at"] > cut["since"]]
    assert whole["is_whole"] and not cut["is_whole"]
    assert {"limit", "where", "fired"} <= {each["outcome"] for each in later}
    assert cut["occasions"] == later


def part_of(world: World, partition: int) -> list[Record]:
    """Return the events of a partition."""
    records = world.log.records(topics.EVENTS)
    return [record for record in records if record.partition == partition and not record.headers]
