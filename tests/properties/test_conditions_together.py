"""Many conditions in one function say what each says by itself, whatever the values are."""

from random import Random

import pytest

from engine.profile.model import Trait
from engine.rules.expression.compile import chooser, compile_condition
from engine.rules.expression.values import CAUGHT
from tests.properties.expressions import Maker
from tests.properties.worlds import FIELDS, NOW, SCOPE, a_world, an_actor


@pytest.mark.parametrize("seed", range(30))
def test_conditions_asked_together_hold_as_each_does_alone(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    conditions = [
        compile_condition(maker.condition(random.randint(0, 3)).text, SCOPE, trigger="x")
        for _ in range(random.choice((1, 2, 12)))  # fewer than three share no aggregate
    ]
    together = chooser([(each, place) for place, each in enumerate(conditions)])
    for _ in range(20):
        world = a_world(random)
        actor = an_actor(world)
        alone = [
            place
            for place, condition in enumerate(conditions)
            if condition.holds({"x": world.event}, actor, NOW)
        ]
        assert list(together(world.event, actor, NOW)) == alone, (seed, world)


@pytest.mark.parametrize("seed", range(10))
def test_where_a_type_is_wrong_they_agree_or_leave_it_to_each(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    odd = [None, "7", 7, 7.5, True, [], ["a"], {"a": 1}, float("nan"), float("inf"), 10**400]
    number = random.choice((1, 2, 4))  # so few work out each aggregate by themselves
    texts = [maker.condition(2).text for _ in range(number)]
    conditions = [compile_condition(text, SCOPE, trigger="x") for text in texts]
    together = chooser([(each, place) for place, each in enumerate(conditions)])
    left = 0
    for _ in range(40):
        world = a_world(random)
        actor = an_actor(world)
        actor.traits["tier"] = Trait(random.choice(odd), "crm", 0)
        data = {**world.event, random.choice(list(FIELDS)): random.choice(odd)}
        alone = [n for n, c in enumerate(conditions) if c.holds({"x": data}, actor, NOW)]
        try:
            found = together(data, actor, NOW)
        except CAUGHT:
            left += 1
        else:
            assert list(found) == alone, (seed, data)
    assert left < 40, "the fast way is taken for ordinary values"
