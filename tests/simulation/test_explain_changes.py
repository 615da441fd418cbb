"""Why and why not where the rule, the person or the log has changed since."""

import asyncio

import pytest

from engine.adapters.files import read_contracts
from engine.errors import EngineError
from engine.events.model import Event
from engine.identity.messages import Erase, Tick
from engine.identity.registrar import ADDRESS
from engine.rules.compile import compile_rules
from engine.runtime.learner import version_records
from engine.runtime.past.part import Ticks
from engine.runtime.rulesets.releases import Artefact, artefact_record
from tests.simulation.test_backtest import order_of
from tests.simulation.test_explain import (
    CART,
    CASE,
    HOUR,
    ME,
    explainer_of,
    lived,
    told,
    why,
)
from tests.simulation.world import SECRET, TENANT, World, run
from tests.turns import ROOT, contracts, event_id


def released(world: World, version: str, texts: dict[str, str]) -> None:
    """Let another rule set go live in a world."""
    rules = compile_rules(texts, contracts(), version=version)
    world.book.rule_sets[version] = rules  # type: ignore[index]
    files = read_contracts(str(ROOT / "topics"))
    artefact = Artefact(version=version, rules=texts, contracts=files, lateness_ms={})
    world.log.append(artefact_record(artefact, SECRET))
    for record in version_records("ruleset", version, world.count, SECRET):
        world.log.append(record)
    run(world, [("work", 9), ("tick", 60_000), ("work", 9)])


WAITS = "when: [{event: cart.updated}, {not: order.placed, within: 3d}]\n" + CASE


def test_a_rule_that_acts_no_more_says_so_before_what_was() -> None:
    world = lived(told("r", WAITS), ("cart.updated", 5))
    retired = {n: t.replace("status: live", "status: retired") for n, t in told("r", WAITS).items()}
    released(world, "v2", retired)
    found = why(world, "r")
    words = {"en": "The rule is retired: it does not act.", "zh": "规则状态为“已下线”，不会触发。"}
    assert found["verdict"] == words == found["now"][0]["words"]
    assert [each["outcome"] for each in found["occasions"]] == ["waits"]
    silent = lived(told("r", "when: [{schedule: {silence: 3d}}]\n" + CASE), ("cart.updated", 5))
    assert why(silent, "r")["now"][0]["outcome"] == "silent"
    retired["r.yaml"] = retired["r.yaml"].replace(
        "when: [{event: cart.updated}, {not: order.placed, within: 3d}]",
        "when: [{schedule: {silence: 3d}}]",
    )
    released(silent, "v2", retired)
    assert [each["outcome"] for each in why(silent, "r")["now"]] == ["asleep"], (
        "nothing comes of it"
    )


def test_what_a_rule_did_is_told_also_when_its_file_is_gone() -> None:
    world = lived({**told("r", CART + CASE), **told("s", CART + CASE)}, ("cart.updated", 5))
    released(world, "v2", told("s", CART + CASE))
    found = why(world, "r")
    assert [each["outcome"] for each in found["occasions"]] == ["fired"]
    assert found["verdict"]["en"] == "The rule is retired: it does not act."
    with pytest.raises(EngineError, match="no rule `q` in rule set v2"):
        why(world, "q")


def test_a_change_of_the_rule_that_ended_a_wait_is_told() -> None:
    world = lived(told("r", WAITS), ("cart.updated", 5))
    retitled = {n: "title: Another\n" + t for n, t in told("r", WAITS).items()}
    released(world, "v2", retitled)
    assert [each["outcome"] for each in why(world, "r")["occasions"]] == ["waits"], "it goes on"
    released(world, "v3", told("r", WAITS.replace("3d", "2d")))
    newest = why(world, "r")["occasions"][0]
    assert newest["outcome"] == "changed" and "which ended what had begun" in newest["words"]["en"]
    released(world, "v4", told("r", WAITS.replace("3d", "1d")))
    assert len(why(world, "r")["occasions"]) == 2, "nothing had begun under that one"


def test_of_what_was_erased_nothing_comes_back_with_whoever_has_the_identifier_next() -> None:
    world = lived(told("r", CART + CASE), ("cart.updated", 5))
    assert why(world, "r")["occasions"]
    order = Erase(TENANT, ME, world.now)
    world.log.append(order_of("erase", ADDRESS, order, world.count))
    run(world, [("work", 99), ("tick", 60_000), ("work", 99)])
    with pytest.raises(EngineError, match="nobody has"):
        why(world, "r")
    run(world, [*[("tick", 24 * HOUR), ("work", 9)] * 14, ("work", 99)])
    at = world.now
    run(world, [("event", Event(
        id=event_id("anew"), tenant=TENANT, source="s", type="web.page_viewed", at=at,
        original_at=at, received_at=at, ids=[ME], data={"page": "/"},
    )), ("work", 9)])  # fmt: skip
    found = why(world, "r")
    assert found["occasions"] == [] and found["last"] is None, "the log still has the other's cart"
    assert "Nothing that it is about has happened: " in found["verdict"]["en"]


def test_a_week_of_ticks_is_not_a_week_of_objects() -> None:
    world = lived(told("r", WAITS), ("cart.updated", 5), ("order.placed", 9))
    for second in range(3_000):
        tick = Tick(now=world.now + second * 1_000, passed=world.now + second * 1_000)
        for partition in range(world.count):
            record = order_of("tick", "tick", tick, world.count)
            world.log.append(record._replace(partition=partition))
    run(world, [("work", 9_999)])
    explainer = explainer_of(world)
    found = asyncio.run(explainer._read(ME))
    assert sum(len(each.offset) for each in found.arrivals if isinstance(each, Ticks)) > 3_000
    assert len(found.arrivals) < 20
    assert [each["outcome"] for each in why(world, "r")["occasions"]] == ["prevented", "waits"]
