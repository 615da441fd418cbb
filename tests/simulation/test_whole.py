"""The whole engine in one process on a virtual clock, under storms by seed (PROTOCOL.md 2, row 1).

A failing seed says so in its name; it goes to `regressions.txt` with a word why.
"""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from engine.pipeline import persons
from tests.instead import Patch
from tests.simulation.bugs import BUGS, Bug, planted
from tests.simulation.faults import CALLS
from tests.simulation.findings import Broken, Violation
from tests.simulation.lua import LuaSlots
from tests.simulation.run import SEEDS, Weathered, catches, regressions, weather
from tests.simulation.storm import ACTS

STORMS = int(os.environ.get("STORMS", str(SEEDS)))
SAMPLE = 60  # seeds in which every kind of fault must have struck
TRACED = (3, 9)  # a short storm and a long one
EXCUSED_SEEDS = 5
LUA_SEEDS = 6
ROOT = Path(__file__).parents[2]
weathered = cache(weather)


@pytest.mark.parametrize("seed", [seed for seed, _ in regressions()])
def test_a_seed_that_failed_once_passes(seed: int) -> None:
    assert weathered(seed).findings == []


@pytest.mark.parametrize("seed", range(STORMS))
def test_nothing_is_wrong_after_a_storm(seed: int) -> None:
    assert weathered(seed).findings == []


def test_every_kind_of_fault_strikes() -> None:
    faults: Counter[str] = sum((weathered(seed).faults for seed in range(SAMPLE)), Counter())
    wanted = {
        *CALLS,
        *ACTS,
        "hole",
        "marker",
        "disable",
        "erase",
        "split",
        "link",
        "receiver_dead",
        "receiver_slow",
        "receiver_lost",
    }
    assert {kind for kind in wanted if faults[kind] < 5} - {"mood"} == set()


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in TRACED:
        again: Weathered = weather(seed)
        assert again.trace and again == weathered(seed)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_has_the_same_trace(hash_seed: str) -> None:
    code = f"from simulation.run import weather; print([weather(s).trace for s in {TRACED}])"
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str([weathered(seed).trace for seed in TRACED])


@pytest.mark.parametrize("seed", range(LUA_SEEDS))
def test_with_the_functions_of_redis_a_storm_is_the_same(seed: int) -> None:
    found = weather(seed, slots=LuaSlots)
    assert found.findings == []
    assert found == weathered(seed)


@pytest.mark.parametrize("bug", [bug for bug in BUGS if not bug.excuse], ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert catches(bug) is not None, bug.breaks


def test_a_hunt_that_breaks_by_itself_has_found_nothing() -> None:
    def of_another_shape() -> list[Patch]:
        return [(persons, "_claim", lambda state: None)]  # it is called with four

    def hunt(seed: int) -> list[Violation]:
        raise KeyError("what an earlier engine had")

    for bug in (
        Bug("shape", "every claim raises", of_another_shape),
        Bug("hunt", "", list, hunt=hunt),
    ):
        with pytest.raises(Broken, match=f"^{bug.name}, seed"):
            catches(bug)


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.excuse], ids=lambda bug: bug.name)
def test_an_excuse_is_still_needed(bug: Bug) -> None:
    with planted(bug):
        assert not any(weather(seed).findings for seed in range(EXCUSED_SEEDS))
