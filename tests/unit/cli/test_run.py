"""A process of an installation starts with what its role needs, and ends when it is told to."""

import asyncio
import subprocess
import sys

import pytest

from engine.adapters.kafka.producer import CLOSE_S
from engine.cli import run
from engine.runtime.local.processes import STOP_S

PATIENCE_S = 20.0


def test_a_process_that_does_not_train_starts_without_scipy() -> None:
    code = "import sys, engine.cli.run; print('river' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_role_that_waits_for_who_is_away_is_broken_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "GRACE_S", 0.05)

    async def ends_in_order(stop: asyncio.Event) -> str:
        await stop.wait()
        return "in order"

    async def waits_for_ever(stop: asyncio.Event) -> str:
        await asyncio.Future()
        return "never"

    async def play() -> list[str | BaseException]:
        stop = asyncio.Event()
        roles = {
            asyncio.create_task(ends_in_order(stop), name="work"),
            asyncio.create_task(waits_for_ever(stop), name="keep"),
        }
        ending = asyncio.create_task(run._end_in_time(roles, stop))
        await asyncio.sleep(0.1)
        assert not any(role.done() for role in roles), "nobody has told them to stop"
        stop.set()
        await asyncio.wait_for(ending, PATIENCE_S)
        return await asyncio.gather(
            *sorted(roles, key=asyncio.Task.get_name), return_exceptions=True
        )

    broken_off, ended = asyncio.run(play())
    assert isinstance(broken_off, asyncio.CancelledError) and ended == "in order"
    assert [record.getMessage().split()[0] for record in caplog.records] == ["keep"]


def test_a_process_gives_up_before_it_is_killed() -> None:
    assert run.GRACE_S + CLOSE_S < STOP_S
