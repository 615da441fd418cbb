"""Why and why not at a shop: as the fold decided, from a whole log and from a cut one."""

import asyncio
import re
from functools import cache
from random import Random
from typing import Any

import pytest

from engine.errors import EngineError
from engine.events import topics
from engine.events.ids import birth_id, entity_id
from engine.events.model import Event
from engine.events.record import partition_of
from engine.runtime.past import part
from tests.simulation.test_explain import CASE, START, STORM, explainer_of, house, told, why
from tests.simulation.world import SECRET, TENANT, Faults, World, run
from tests.turns import event_id

S7, MINUTE = "store:s7", 60_000
SHOP = entity_id("store", "s7", tenant=TENANT, secret=SECRET)
QUEUE = """key: store
when: [{event: store.ticket_taken, as: ticket}]
if: 'count("store.ticket_taken", 30m) - count("store.served", 30m) >= 3'
limits: [1 per 30m]
"""
SLOW = """key: store
when: [{event: store.served, where: event.waited_s > 600.0}]
if: >-
  count("store.served", 7d) >= 3 && median("store.served", it.waited_s, 7d) > 600.0
  && sum("store.served", it.waited_s, this_month) > 0.0
limits: [1 per 2h]
"""
RATED = """key: store
when: [{event: touchpoint.rated, where: event.negative, times: 3, within: 2h}]
limits: [1 per 8h]
"""
MONDAY = """key: store
when: [{schedule: {every: monday, at: "09:00"}}]
if: 'count("touchpoint.rated", 7d) >= 1'
limits: [1 per 6d]
"""
DATA: dict[str, dict[str, Any]] = {
    "store.ticket_taken": {"store_id": "s7", "ticket_id": "t"},
    "store.served": {"store_id": "s7", "ticket_id": "t", "waited_s": 700.0},
    "touchpoint.rated": {"store_id": "s7", "touchpoint": "store.queue", "negative": True},
}


def at_the_shop(number: int, type: str, minute: float, **data: Any) -> Event:
    """Return an event at the shop; a rating is a person's, and the shop hears of it."""
    at = START + int(minute * MINUTE)
    ids = [SHOP]
    if type == "touchpoint.rated":
        ids.insert(0, birth_id("user_id", f"u{number % 5}", tenant=TENANT, secret=SECRET))
    return Event(
        id=event_id(str(number)), tenant=TENANT, source="s", type=type, at=at, original_at=at,
        received_at=at, ids=ids, data={**DATA[type], **data},
    )  # fmt: skip


def lived(texts: dict[str, str], events: list[Event], *, faults: Faults | None = None) -> World:
    """Return a world in which this happened, with a tick at least every ten minutes."""
    world = house(texts, faults=faults)
    script: list[tuple[str, object]] = [("tick", 1_000)]
    now = START
    for event in events:
        while now < event.at:
            now += min(10 * MINUTE, event.at - now)
            script += [("tick", 10 * MINUTE if now < event.at else 0), ("work", 9)]
        script += [("event", event), ("work", 2)]
    run(world, [*script, ("work", 99), *[("tick", 10 * MINUTE), ("work", 9)] * 3])
    return world


def some(*things: tuple[str, float]) -> list[Event]:
    """Return events, (type, minute) each."""
    return [at_the_shop(number, *thing) for number, thing in enumerate(things)]


TICKETS = [("store.ticket_taken", float(minute)) for minute in range(1, 6)]
CASES = [
    # rule, events, outcome of the newest, words in English, words in Chinese
    (QUEUE, TICKETS[:2], "condition",
     'is at least 3 (count("store.ticket_taken", 30m) = 2', "条件不成立"),
    (QUEUE, TICKETS[:3], "fired", "It acted: case a", "已触发：开工单 a"),
    (QUEUE, TICKETS, "limit", "1 in 30 minutes, reached at 2023-11-15 06:16. 2 times since",
     "自2023-11-15 06:17起共2次。"),
    (SLOW.replace("600", "900"), [("store.served", 5)], "where",
     "did not take the Served at the counter: the event's seconds of waiting is above 900 (",
     "未匹配「叫号办理」：事件的等待秒数高于900（"),
    (RATED, [("touchpoint.rated", 1), ("touchpoint.rated", 2)], "counted",
     "it needs 3 within 2 hours and has 2", "内发生3次，目前2次"),
    ("when: [{event: store.served}]\nkey: store\nscope: {share: 0%}\n", [("store.served", 5)],
     "scope", "The rule is tried elsewhere: on 0% of all", "规则目前不对该门店试行：仅对0%的门店"),
    ("when: [{event: store.served}, {not: store.entered, within: 3h}]\nkey: store\n",
     [("store.served", 5), ("store.served", 6)], "waits", "It waits until", "等待至"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "events", "outcome", "en", "zh"), CASES)
def test_each_reason_is_told_of_a_shop(
    rule: str, events: list[tuple[str, float]], outcome: str, en: str, zh: str
) -> None:
    found = why(lived(told("r", rule + CASE), some(*events)), "r", S7)
    newest = found["occasions"][0]
    assert newest["outcome"] == outcome
    assert en in newest["words"]["en"] and zh in newest["words"]["zh"], newest["words"]
    assert found["verdict"] == newest["words"] and found["is_whole"]
    assert (found["who"], found["customer"], found["kind"]) == (S7, SHOP, "store")
    customers = str([o["words"] for o in (*found["occasions"], *found["now"])])
    assert "customer" not in customers and "客户" not in customers


def test_between_two_times_at_which_it_acted_each_reason_is_told_once_with_how_often() -> None:
    found = why(lived(told("r", QUEUE + CASE), some(*TICKETS, *[
        ("store.ticket_taken", 6 + minute / 10) for minute in range(200)
    ])), "r", S7)["occasions"]  # fmt: skip
    assert [(each["outcome"], each.get("times", 1)) for each in found] == [
        ("limit", 202), ("fired", 1), ("condition", 2),
    ]  # fmt: skip
    assert found[0]["first_at"] == "2023-11-14T22:17:20.000Z"


def test_when_it_came_true_the_last_time_is_told() -> None:
    found = why(lived(told("r", QUEUE + CASE), some(*TICKETS)), "r", S7)
    assert found["last"]["at"] == "2023-11-14T22:16:20.000Z"
    assert found["last"]["words"] == {
        "en": "It came true the last time at 2023-11-15 06:16.",
        "zh": "上一次成立：2023-11-15 06:16。",
    }


def test_what_a_weekly_rule_about_shops_does_now_is_told() -> None:
    found = why(lived(told("r", MONDAY + CASE), some(("touchpoint.rated", 1))), "r", S7)
    assert [each["outcome"] for each in found["now"]] == ["weekly"]
    assert "every Monday at 09:00, next at 2023-11-20 09:00" in found["verdict"]["en"]


@pytest.mark.parametrize(
    ("rule", "who", "code", "said"),
    [
        ("r", "store:s8", "identity/unknown", "nothing has come of store:s8 yet"),
        ("r", "user_id:u0", "rules/kind", "is about things of kind store, and user_id:u0 is none"),
        ("p", S7, "rules/kind", "is about customers, and store:s7 is none; ask of one, such as"),
    ],
)
def test_a_rule_is_asked_of_what_it_is_about(rule: str, who: str, code: str, said: str) -> None:
    person = told("p", "when: [{event: touchpoint.rated}]\n" + CASE)
    world = lived({**told("r", QUEUE + CASE), **person}, some(("touchpoint.rated", 1)))
    with pytest.raises(EngineError) as caught:
        why(world, rule, who)
    assert caught.value.code == code and said in caught.value.message


TEXTS = {
    **told("queue", QUEUE + CASE), **told("slow", SLOW + CASE), **told("rated", RATED + CASE),
    **told("monday", MONDAY + CASE),
}  # fmt: skip


@cache
def a_story(seed: int, *, days: int = 0, faults: Faults | None = None) -> World:
    """Return a world after a random story of the shop."""
    random, minute, events = Random(seed), 0.0, []
    for number in range(160):
        minute += random.expovariate(0.25 if not days else 160 / (days * 1_440))
        kind = random.choice(sorted(DATA))
        waited = {"waited_s": random.uniform(300, 1_000)} if kind == "store.served" else {}
        events.append(at_the_shop(number, kind, minute, **waited))
    return lived(TEXTS, events, faults=faults)


def test_what_is_explained_of_a_shop_is_what_the_workers_did() -> None:
    total = dict.fromkeys(("fired", "limit"), 0)
    for seed in range(3):
        world = a_story(seed, faults=STORM)
        counts, explainer = world.counts(), explainer_of(world)
        for rule in ("queue", "slow", "rated"):
            found = asyncio.run(explainer.explain(rule, S7))["occasions"]
            for outcome, code in (("fired", "fired"), ("limit", "stopped:limit")):
                times = sum(o.get("times", 1) for o in found if o["outcome"] == outcome)
                assert times == counts.get(f"{code}:{rule}", 0), (seed, rule, outcome)
                total[outcome] += times
        rated = sum(each.get("times", 1) for each in found)
        assert rated == counts["applied"] - at_the_door(world), "each rating counted once"
    assert min(total.values()) > 5, total


def at_the_door(world: World) -> int:
    """Return how many events came to the shop itself, each once."""
    mine = (r for r in world.log.records(topics.EVENTS) if r.key == SHOP.encode())
    return len({r.value for r in mine if not r.headers})


def _outcomes(found: dict[str, Any], *, since: str) -> list[tuple[Any, ...]]:
    """Return what came of the rule later than an instant, without how often it did before."""
    return [
        (o["at"], o["outcome"], o["values"], re.split(r" [0-9]+ times", o["words"]["en"])[0])
        for o in found["occasions"]
        if o["at"] > since
    ]


@pytest.mark.parametrize(("rule", "days"), [("queue", 0), ("slow", 9), ("monday", 9)])
@pytest.mark.parametrize("by", ["records", "own"])
def test_a_shop_s_log_that_was_cut_is_gone_on_from_what_today_s_state_tells(
    rule: str, days: int, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_story(5, days=days)
    whole = why(world, rule, S7)
    if by == "own":
        monkeypatch.setattr(part, "OWN_MAX", 80)
        cut = why(world, rule, S7)
    else:
        partition = partition_of(SHOP, world.count)
        size = sum(r.partition == partition for r in world.log.records(topics.EVENTS))
        cut = why(world, rule, S7, records_max=size // 2)
    assert whole["is_whole"] and not cut["is_whole"]
    later = _outcomes(whole, since=cut["since"])
    assert "fired" in {each[1] for each in later}, whole["occasions"]
    assert _outcomes(cut, since=cut["since"]) == later
