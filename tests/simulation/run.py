"""Storms by seed, and the bugs that they must find: `make simulate ARGS="--first 0 --seeds 300"`.

    python -m tests.simulation.run [--first N] [--seeds K] [--json] [--no-bugs]

Prints one JSON object. A seed that fails is worth a line in `regressions.txt`, or if its finding
begins with `orders`, in ORDERED_BEFORE of `test_identity.py`. `make simulate-nightly`: 1,000 fresh
ones, by the date.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulation import (
    bugs_of_decisions,
    bugs_of_delivery,
    bugs_of_identity,
    bugs_of_ownership,
    orders,
)
from tests.simulation.bugs import BUGS, Bug, planted
from tests.simulation.checks import check
from tests.simulation.findings import RESTS, Broken, Violation
from tests.simulation.storm import storm
from tests.simulation.virtual import Hangs

SEEDS = 300
# Each has entered its bugs by being imported.
ENTERED = (bugs_of_ownership, bugs_of_identity, bugs_of_decisions, bugs_of_delivery)
REGRESSIONS = Path(__file__).with_name("regressions.txt")


@dataclass(frozen=True)
class Weathered:
    """What came of one seed. `broke`: what nobody expected, of the engine or of the storm."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    broke: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    trace: str = ""

    @property
    def findings(self) -> list[str]:
        """All of it, in words."""
        return [*map(str, self.violations), *self.broke]


def weather(seed: int, **more: Any) -> Weathered:
    """Run one seed and all checks; whatever is raised is a finding."""
    try:
        world = storm(seed, **more)
        return Weathered(seed, check(world), world.bugs, world.chance.injected, world.trace)
    except Hangs as error:
        return Weathered(seed, [Violation(RESTS, str(error))])
    except Exception as error:
        return Weathered(seed, broke=[f"{type(error).__name__}: {error}"])


def both(seed: int) -> Weathered:
    """Run one seed of the whole engine, and the same of identity with orders of staff."""
    found = weather(seed)
    try:
        found.broke.extend(f"orders: {what}" for what in orders.weather(seed, orders.STORM))
    except Exception as error:
        found.broke.append(f"orders: {type(error).__name__}: {error}")
    return found


def catches(bug: Bug) -> int | None:
    """Return a seed that finds a bug, None if none of those that are tried does.

    Raises
    ------
    Broken
        If something other than a law broke: the patch does not fit the engine any more.
    """
    with planted(bug):
        return next((seed for seed in bug.seeds if finds(bug, seed)), None)


def finds(bug: Bug, seed: int) -> bool:
    """Tell whether a seed finds a bug, which is planted."""
    if bug.hunt is not None:
        try:
            return bool(bug.hunt(seed))
        except Exception as error:
            raise Broken(f"{bug.name}, seed {seed}: {type(error).__name__}: {error}") from error
    found = weather(seed, slots=bug.slots)
    if found.broke:
        raise Broken(f"{bug.name}, seed {seed}: {found.broke[0]}")
    return bool(found.violations)


def regressions() -> list[tuple[int, str]]:
    """Return the seeds that have failed once, each with a word why."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    found = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return [(int(seed), why) for seed, why in found]


def report(first: int, seeds: int, *, with_bugs: bool) -> dict[str, Any]:
    """Run seeds and bugs; return the figures."""
    found = [both(seed) for seed in range(first, first + seeds)]
    faults: Counter[str] = sum((each.faults for each in found), Counter())
    missed = [bug for bug in BUGS if catches(bug) is None] if with_bugs else []
    return {
        "first": first,
        "seeds": seeds,
        "failed": [each.seed for each in found if each.findings],
        "findings": {each.seed: each.findings[:3] for each in found if each.findings},
        "faults": dict(sorted(faults.items())),
        "bugs_planted": len(BUGS) if with_bugs else 0,
        "bugs_missed": [bug.name for bug in missed],
        "why_missed": {bug.name: bug.excuse or "not known" for bug in missed},
    }


def main() -> int:
    """Run what the command line asks for; 1 if a seed failed, or a bug was missed for no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--no-bugs", action="store_true", help="storms only")
    arguments = parser.parse_args()
    found = report(arguments.first, arguments.seeds, with_bugs=not arguments.no_bugs)
    print(json.dumps(found, indent=None if arguments.json else 2))
    return 1 if found["failed"] or "not known" in found["why_missed"].values() else 0


if __name__ == "__main__":
    sys.exit(main())
