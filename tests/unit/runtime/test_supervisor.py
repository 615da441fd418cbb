"""A supervisor starts again what ended, and waits longer for what ends again and again."""

import pytest

from engine.config import Settings
from engine.runtime.local.processes import Process
from engine.runtime.local.supervisor import (
    BACKOFF_S,
    BACKOFF_S_MAX,
    STEADY_S,
    Supervisor,
    instances,
)


class Child(Process):
    """A process on paper."""

    def __init__(self) -> None:
        super().__init__("child", [], env={})
        self.starts = 0
        self.code: int | None = None

    def start(self) -> None:
        self.starts += 1
        self.code = None

    @property
    def exit_code(self) -> int | None:
        return self.code


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(clock: Clock) -> Supervisor:
    return Supervisor(clock=clock)


def wait_before_start(supervisor: Supervisor, clock: Clock, child: Child) -> float:
    """Let the child end now; return how long it takes until it is started again."""
    starts, began = child.starts, clock.now
    child.code = 1
    while child.starts == starts:
        supervisor.look()
        clock.now += 0.25
        assert clock.now < began + 2 * BACKOFF_S_MAX
    return clock.now - began - 0.25


def test_what_runs_is_left_alone(supervisor: Supervisor, clock: Clock) -> None:
    child = Child()
    supervisor.start(child)
    clock.now = 100.0
    supervisor.look()
    assert (child.starts, supervisor.restarts) == (1, 0)


def test_what_lived_long_is_started_again_at_once(supervisor: Supervisor, clock: Clock) -> None:
    child = Child()
    supervisor.start(child)
    clock.now = STEADY_S
    assert wait_before_start(supervisor, clock, child) == 0.0
    assert supervisor.restarts == 1


def test_what_ends_soon_each_time_waits_longer_each_time(
    supervisor: Supervisor, clock: Clock
) -> None:
    child = Child()
    supervisor.start(child)
    waits = [wait_before_start(supervisor, clock, child) for _ in range(7)]
    assert waits == [BACKOFF_S * 2**n for n in range(5)] + [BACKOFF_S_MAX] * 2
    clock.now += STEADY_S
    assert wait_before_start(supervisor, clock, child) == 0.0


def test_one_that_waits_keeps_no_other_waiting(supervisor: Supervisor, clock: Clock) -> None:
    one, other = Child(), Child()
    supervisor.start(one)
    supervisor.start(other)
    for _ in range(5):
        wait_before_start(supervisor, clock, one)
    one.code = 1
    supervisor.look()
    clock.now += STEADY_S
    assert wait_before_start(supervisor, clock, other) == 0.0


def test_each_worker_has_a_name_and_a_port_of_its_own() -> None:
    found = instances(2, Settings(instance_id="box", metrics_port=9100))
    assert found == [
        {"INSTANCE_ID": "box-0", "METRICS_PORT": "9100"},
        {"INSTANCE_ID": "box-1", "METRICS_PORT": "9101"},
    ]


def test_without_metrics_no_worker_has_any() -> None:
    assert {each["METRICS_PORT"] for each in instances(3, Settings())} == {"0"}
    assert len({each["INSTANCE_ID"] for each in instances(3, Settings())}) == 3
