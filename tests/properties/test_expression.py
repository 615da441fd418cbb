"""Compiled expressions agree with a naive three-valued interpreter and with Google's CEL."""

from random import Random
from typing import Any

import pytest

from engine.profile.model import Trait
from engine.rules.expression.compile import compile_condition, compile_value
from tests.properties.expressions import Maker
from tests.properties.worlds import FIELDS, NOW, SCOPE, a_world, an_actor


@pytest.mark.parametrize("seed", range(40))
def test_a_condition_holds_exactly_where_the_naive_interpreter_says_true(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    for _ in range(50):
        made = maker.condition(random.randint(0, 3))
        condition = compile_condition(made.text, SCOPE, trigger="x")
        value = compile_value(made.text, SCOPE, trigger="x")
        for _ in range(8):
            world = a_world(random)
            given = {"x": world.event}, an_actor(world), NOW
            expected = made.means(world)
            told = (seed, made.text, world)
            assert condition.holds(*given) is (expected is True), told
            assert condition.unknown(*given) is (expected is None), told
            assert value.get(*given) is expected, told


WORLDS = 21  # 20 seeds x 50 conditions x 21: 21,000 evaluations


@pytest.mark.parametrize("seed", range(20))
def test_a_condition_agrees_with_googles_cel_also_where_fields_are_missing(seed: int) -> None:
    cel = pytest.importorskip("cel_expr_python.cel")
    env = cel.NewEnv(variables={"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    random = Random(seed)
    maker = Maker(random, for_cel=True)
    for _ in range(50):
        made = maker.condition(random.randint(0, 3))
        condition = compile_condition(made.text, SCOPE, trigger="x")
        program = env.compile(made.cel)
        for _ in range(WORLDS):
            world = a_world(random)
            given = {"x": world.event}, an_actor(world), NOW
            answer = program.eval(data={"event": world.event})
            unknown = answer.type() == cel.Type.ERROR
            told = (seed, made.text, world.event, answer.value())
            assert condition.unknown(*given) is unknown, told
            assert condition.holds(*given) is (not unknown and answer.value() is True), told


ODD = {  # what a field of this type must not hold; bool is left out, it is an int to Python
    "i": ["7", [], ["a"], {"a": 1}, float("nan")],
    "d": ["", ["a"], float("nan")],
    "s": [7, 7.5, True, ["a"], ["", "ab"], {"a": 1}],
    "b": ["true", "", [], 7],
    "l": ["a", "", 7, {"a": 1}, ("a",)],
    "m": ["7", ["a"], float("nan")],
}


@pytest.mark.parametrize("seed", range(20))
def test_a_value_of_a_wrong_type_counts_as_missing_and_nothing_raises(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    for _ in range(60):
        made = maker.condition(2)
        if "has(" in made.text or "null" in made.text:
            continue  # they ask whether something is there, whatever it is
        condition = compile_condition(made.text, SCOPE, trigger="x")
        for _ in range(4):
            world = a_world(random)
            name = random.choice(list(ODD))
            value = random.choice(ODD[name])
            world.tier = None
            actor = an_actor(world)
            actor.traits["tier"] = Trait(random.choice([7, ["a"], {"a": 1}, True]), "crm", 0)
            given = {"x": {**world.event, name: value}}, actor, NOW
            world.event.pop(name, None)
            expected = made.means(world)
            told = (seed, made.text, name, value, world)
            assert condition.holds(*given) is (expected is True), told
            assert condition.unknown(*given) is (expected is None), told
            condition.inputs(*given)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_raises_whatever_the_values_are(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    odd = [None, "7", 7, 7.5, True, [], ["a"], {"a": 1}, float("nan"), float("inf"), 10**400]
    for _ in range(60):
        condition = compile_condition(maker.condition(2).text, SCOPE, trigger="x")
        for _ in range(4):
            world = a_world(random)
            actor = an_actor(world)
            actor.traits["tier"] = Trait(random.choice(odd), "crm", 0)
            scores: dict[str, Any] = actor.scores
            scores["churn_risk"] = random.choice(odd)
            given = {"x": {name: random.choice(odd) for name in FIELDS}}, actor, NOW
            assert condition.holds(*given) in (True, False)
            assert condition.unknown(*given) in (True, False)
            condition.inputs(*given)
