"""What is told to have one answer has it, whatever the event, the customer and their logs are."""

from random import Random

import pytest

from engine.rules.answers import findings
from engine.rules.expression.compile import Condition, Reads, compile_condition
from engine.rules.expression.meaning import Meaning, Read, walk
from tests.properties.expressions import Maker
from tests.properties.worlds import NOW, SCOPE, a_world, an_actor


def alone(part: Meaning) -> Condition:
    return Condition("", part, Reads(), SCOPE)


@pytest.mark.parametrize("seed", range(30))
def test_a_part_that_is_told_has_the_answer_that_is_told(seed: int) -> None:
    random = Random(seed)
    maker = Maker(random, for_cel=False)
    told = 0
    for _ in range(100):
        # Clauses about few fields with few values exclude each other often.
        text = " && ".join(f"({maker.condition(1).text})" for _ in range(4))
        meaning = compile_condition(text, SCOPE, trigger="x").meaning
        for part, always, other in findings(meaning):
            if any(isinstance(each, Read) and each.source == "it" for each in walk(part)):
                continue  # of an aggregate, which alone has it
            told += 1
            # With another it is the whole that cannot hold: one of the two may stand under a `!`.
            checked = alone(part if other is None else meaning)
            for _ in range(10):
                world = a_world(random)
                holds = checked.holds({"x": world.event}, an_actor(world), NOW)
                assert holds is always, (seed, text, part, other, world)
    assert told > 20, "some are told"
