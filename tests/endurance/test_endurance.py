"""Short forms of what runs for long: a backlog behind a slow Redis, and the judgement of a soak."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from engine.config import Settings
from engine.runtime.local.stack import Stack
from tests.apache.broker import ApacheKafka, missing_tools
from tests.endurance import backlog
from tests.endurance.load import Load
from tests.endurance.soak import LOOK_S, WARM_S, Report, Sample, Soak, grown
from tests.servers import unavailable

Number = Callable[[float], float]  # of the seconds that a process has lived


@pytest.mark.apache
def test_a_backlog_behind_a_slow_redis_costs_no_memory_no_session_and_no_false_absence() -> None:
    if missing := missing_tools():
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    result = backlog.run(events=20_000, trip_ms=20, pause_s=2.0)
    assert result.problems == []


def life(pid: int, since: float, looks: int, **numbers: Number) -> list[Sample]:
    """Return the looks at a process; what is not named stays as it is."""
    every: dict[str, Number] = {
        "rss_mb": lambda _: 100.0, "descriptors": lambda _: 20.0, "threads": lambda _: 6.0,
        "tasks": lambda _: 30.0,
    }  # fmt: skip
    every |= numbers
    return [
        Sample(since + n * LOOK_S, pid, {name: of(n * LOOK_S) for name, of in every.items()})
        for n in range(looks)
    ]


def judged(samples: list[Sample]) -> Report:
    report = Report()
    grown("work", samples, report)
    return report


def test_a_process_that_stays_as_it_is_has_no_problem() -> None:
    report = judged(life(1, 0.0, 100))
    assert report.problems == []
    assert report.processes["work"]["rss_mb_per_h"] == 0.0


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"rss_mb": lambda s: 100 + s / 10}, "work: memory grew by"),
        ({"descriptors": lambda s: 20 + s // 20}, "work: descriptors grew from"),
        ({"threads": lambda s: 6 + s // 20}, "work: threads grew from"),
        ({"tasks": lambda s: 30 + s}, "work: tasks grew from"),
    ],
)
def test_what_grows_is_a_problem(numbers: dict[str, Number], problem: str) -> None:
    report = judged(life(1, 0.0, 100, **numbers))
    assert [text.startswith(problem) for text in report.problems] == [True]


def test_growth_while_it_gets_warm_is_its_size() -> None:
    report = judged(life(1, 0.0, 100, rss_mb=lambda s: 60 + 40 * min(1.0, s / WARM_S)))
    assert report.problems == []


def test_a_new_process_is_not_the_old_one_grown() -> None:
    small = life(1, 0.0, 40)
    large = life(2, 40 * LOOK_S, 120, rss_mb=lambda _: 150.0)
    report = judged([*small, *large])
    assert report.problems == []
    assert report.processes["work"]["rss_mb"] == 150.0


def test_a_process_that_hardly_lived_is_not_judged_well() -> None:
    assert len(judged(life(1, 0.0, 10)).problems) == 1


def test_a_strike_that_is_broken_off_leaves_nobody_frozen() -> None:
    """The run may end in the middle of one, and a frozen process does not stop: it is killed."""
    with subprocess.Popen(["sleep", "60"]) as child:
        stack = SimpleNamespace(settings=Settings(), pids={"work": child.pid})
        soak = Soak(cast(Stack, stack), cast(ApacheKafka, None), cast(Load, None))

        async def play() -> None:
            striking = asyncio.create_task(soak._freeze())
            while state(child.pid) != "T":
                await asyncio.sleep(0.01)
            striking.cancel()
            await asyncio.wait({striking})

        try:
            asyncio.run(play())
            assert state(child.pid) != "T"
        finally:
            child.kill()


def state(pid: int) -> str:
    """Return what the kernel says of a process: S sleeps, T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
