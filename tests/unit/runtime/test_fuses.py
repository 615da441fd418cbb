"""When a rule breaks too often, every partition is told, whatever the log does meanwhile."""

import asyncio

import msgspec
import pytest

from engine.adapters.memory import MemoryLog
from engine.events import topics
from engine.identity.messages import Disable
from engine.pipeline.envelope import read
from engine.runtime.partition import fuses
from engine.runtime.partition.fuses import Fuses
from tests.simulation.worker import SECRET, partitions

COUNT = 3
THANK = ("thank", "abc")


async def after(log: MemoryLog, *notes: int, errors_max: int = 5, pause_s: float = 0.05) -> None:
    """Note batches of so many errors each, and give the log time."""
    blown = Fuses(log, partition_count=COUNT, secret=SECRET, errors_max=errors_max)
    task = asyncio.create_task(blown.run())
    for number in notes:
        blown.note([THANK] * number)
    await asyncio.sleep(pause_s)
    log.broken = False
    await asyncio.sleep(pause_s)
    task.cancel()


def told(log: MemoryLog) -> list[tuple[int, Disable]]:
    found = []
    for record in log.records(topics.EVENTS):
        arrival = read(record, SECRET)
        assert arrival.error is None, "it has the engine's seal"
        found.append((record.partition, msgspec.convert(arrival.body, Disable)))
    return found


@pytest.mark.parametrize("notes", [(6,), (3, 2, 1)])
def test_more_than_the_limit_is_told_once_to_every_partition(notes: tuple[int, ...]) -> None:
    log = MemoryLog(partitions(COUNT))
    asyncio.run(after(log, *notes))
    assert told(log) == [(p, Disable(*THANK)) for p in range(COUNT)]


@pytest.mark.parametrize(("notes", "errors_max"), [((5,), 5), ((99,), 0)])
def test_up_to_the_limit_or_without_one_nothing_is_told(
    notes: tuple[int, ...], errors_max: int
) -> None:
    log = MemoryLog(partitions(COUNT))
    asyncio.run(after(log, *notes, errors_max=errors_max))
    assert told(log) == []


def test_errors_of_long_ago_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(fuses, "monotonic", lambda: now)

    async def scenario(log: MemoryLog) -> None:
        nonlocal now
        blown = Fuses(log, partition_count=COUNT, secret=SECRET, errors_max=5)
        task = asyncio.create_task(blown.run())
        for _ in range(20):
            blown.note([THANK])
            now += 13.0
        await asyncio.sleep(0.01)
        assert told(log) == []
        blown.note([THANK] * 6)
        await asyncio.sleep(0.01)
        task.cancel()

    log = MemoryLog(partitions(COUNT))
    asyncio.run(scenario(log))
    assert len(told(log)) == COUNT


def test_a_log_that_is_down_is_told_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuses, "AGAIN_S", 0.01)
    log = MemoryLog(partitions(COUNT))
    log.broken = True
    asyncio.run(after(log, 6))
    assert len(told(log)) == COUNT
