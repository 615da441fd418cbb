"""A rule that breaks: the event and all other rules go on, and a record switches it off and on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from engine.identity.messages import Disable, Version
from engine.matching import match
from engine.rules import listeners
from engine.rules.compile import RuleSet
from tests.simulation.world import World
from tests.spine import ORDER, REMIND, THANK, a_world, an_event, control, drain, triggers
from tests.turns import NOON, rules_of

WHO = "0u" + "1" * 16
OTHER = """
rule: other
when: [{event: order.placed}]
do: [{case: other}]
"""
BETTER = THANK.replace("card", "flowers")
Scenario = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of rules that raise when they decide; `thank` does."""
    names, single = {"thank"}, match._single

    def breaking(turn: Any, rule: Any, event: Any) -> None:
        if rule.id in names:
            raise ZeroDivisionError("a rule of three")
        single(turn, rule, event)

    monkeypatch.setattr(match, "_single", breaking)
    return names


def play(scenario: Scenario) -> World:
    world = a_world(THANK, OTHER, REMIND)
    asyncio.run(scenario(world))
    return world


def order(world: World, number: int) -> None:
    world.send(an_event(WHO, f"order{number}", NOON + number, type=ORDER))


def rules_fired(world: World) -> list[str]:
    return [trigger.rule for trigger in triggers(world)]


def version_of(world: World, rule: str) -> str:
    return next(iter(world.book.rule_sets.values())).rules[rule].version


def publish(world: World, *texts: str) -> None:
    number = len(world.book.rule_sets)
    rules: RuleSet = replace(rules_of(*texts), version=f"set-{number}")
    world.book.rule_sets[rules.version] = rules  # type: ignore[index]
    control(world, "ruleset", Version(rules.version), partition=0)


def test_a_rule_that_breaks_costs_neither_the_event_nor_the_others(broken: set[str]) -> None:
    async def scenario(world: World) -> None:
        order(world, 1)
        await drain(world)

    world = play(scenario)
    assert rules_fired(world) == ["other"]
    counts = world.counts()
    assert (counts["applied"], counts["rule_errors"], counts["dead"]) == (1, 1, 0)


def test_a_condition_that_breaks_is_its_own_rules_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        publish(world, THANK, OTHER.replace("placed}", "placed, where: event.value > 1.0}"))
        await drain(world)
        rules = next(reversed(world.book.rule_sets.values()))  # type: ignore[call-overload]
        where = rules.rules["other"].steps[0].where

        def holds(*_: Any) -> bool:
            raise KeyError("value")

        monkeypatch.setattr(where, "holds", holds)
        monkeypatch.setattr(listeners, "chooser", lambda _: holds)  # nor when asked with others
        order(world, 1)
        await drain(world)

    world = play(scenario)
    assert rules_fired(world) == ["thank"]
    assert (world.counts()["rule_errors"], world.counts()["dead"]) == (1, 0)


def test_disabled_it_is_not_asked_any_more_and_the_others_are(broken: set[str]) -> None:
    async def scenario(world: World) -> None:
        order(world, 1)
        control(world, "disable", Disable("thank", version_of(world, "thank")), partition=0)
        await drain(world)
        broken.clear()  # it would work by now, and is off all the same
        order(world, 2)
        await drain(world)

    world = play(scenario)
    assert rules_fired(world) == ["other", "other"]
    assert world.counts()["rule_errors"] == 1


def test_another_version_of_it_is_on_again(broken: set[str]) -> None:
    async def scenario(world: World) -> None:
        control(world, "disable", Disable("thank", version_of(world, "thank")), partition=0)
        broken.clear()
        publish(world, THANK, OTHER.replace("case: other", "case: another"))
        order(world, 1)
        publish(world, OTHER)  # without it, and back: the same version is still off
        publish(world, THANK, OTHER)
        order(world, 2)
        publish(world, BETTER, OTHER)
        order(world, 3)
        await drain(world)

    world = play(scenario)
    assert rules_fired(world) == ["other", "other", "other", "thank"]
    assert triggers(world)[-1].action.name == "flowers"


def test_a_record_about_a_version_that_has_gone_changes_nothing() -> None:
    async def scenario(world: World) -> None:
        control(world, "disable", Disable("thank", "long ago"), partition=0)
        control(world, "disable", Disable("nobody", "1"), partition=0)
        order(world, 1)
        await drain(world)

    world = play(scenario)
    assert rules_fired(world) == ["other", "thank"]
    assert asyncio.run(world.store.meta(0)).disabled == {}


def test_a_log_with_it_gives_the_same_bytes_again(broken: set[str]) -> None:
    async def scenario(world: World) -> None:
        for number in range(9):
            order(world, number)
            if number == 4:
                control(world, "disable", Disable("thank", version_of(world, "thank")), partition=0)
            if number % 3 == 0:
                await drain(world)
        await drain(world)

    first = play(scenario)
    again = a_world(THANK, OTHER, REMIND)
    for record in first.log.records("channel.events")[1:]:
        again.log._topics["channel.events"][0].append(record)
    asyncio.run(drain(again))
    assert again.store._states == first.store._states
    assert again.counts() == first.counts()
    assert [r.value for r in again.log.records("triggers")] == [
        r.value for r in first.log.records("triggers")
    ]
