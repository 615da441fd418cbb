"""Timers that come up at a node, on the whole fold over a log and a store in memory."""

import asyncio

import pytest

from engine.identity import messages
from tests.simulation.world import TENANT
from tests.spine import (
    LATENESS_MS,
    WAIT_MS,
    a_world,
    an_event,
    control,
    drain,
    live,
    pass_time,
    triggers,
)

WHO = "1pAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize(("is_shared", "rules_fired"), [(False, ["remind"]), (True, [])])
def test_a_wait_of_one_who_turns_out_to_be_many_has_no_effect(
    is_shared: bool, rules_fired: list[str]
) -> None:
    async def play() -> None:
        world = a_world()
        await pass_time(world, 2_000, step_ms=1_000)
        world.send(an_event(WHO, "cart", world.now))
        await drain(world)
        assert live(world, WHO).actor.timers, "the wait is armed"
        if is_shared:
            control(world, "quar", messages.Quarantine(TENANT), to=WHO)
        await pass_time(world, WAIT_MS + LATENESS_MS + 300_000)
        assert [trigger.rule for trigger in triggers(world)] == rules_fired
        assert not live(world, WHO).actor.timers, "it is over in both cases"

    asyncio.run(play())
