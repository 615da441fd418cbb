"""What the shell makes of a group's callbacks; the rest of it needs a broker (test_leaving.py)."""

import asyncio

from faust.types import TP

from engine.adapters.kafka.shell import App
from tests.logs import Witness


class Still(Witness):
    """Reads nothing: the thread that would fetch for it does not run."""

    async def assigned(self, partition: int) -> int | None:
        return None


def opened(*, leaving: bool) -> list[int]:
    """Return the partitions that a member holds after it was told that they are its own."""

    async def play() -> list[int]:
        app = App("nowhere:1", "group", "t", Still(), options={}, drain_s=1.0)
        if leaving:
            app._stopped.set()  # the first thing of Faust's own `stop`
        await app.consumer.on_partitions_assigned({TP("t", 0), TP("t", 1)})
        held = sorted(app.seats.held)
        await app.seats.drain(held, timeout_s=1.0)
        app.consumer._thread.thread_loop.close()
        return held

    return asyncio.run(play())


def test_what_is_assigned_is_taken_over() -> None:
    assert opened(leaving=False) == [0, 1]


def test_what_is_assigned_to_who_is_leaving_is_not_taken_over() -> None:
    """Else it would fence the next owner: it has given up what it had, and looks no more."""
    assert opened(leaving=True) == []
