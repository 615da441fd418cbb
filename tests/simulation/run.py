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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulation import bugs_of_identity, orders
from tests.simulation.bugs import BUGS, Bug, planted
from tests.simulation.checks import check
from tests.simulation.storm import storm

SEEDS = 300
assert bugs_of_identity.hunt  # it has entered its bugs
REGRESSIONS = Path(__file__).with_name("regressions.txt")


@dataclass(frozen=True)
class Weathered:
    """What came of one seed."""

    seed: int
    findings: list[str]
    faults: Counter[str]
    trace: str = ""


def weather(seed: int, **more: Any) -> Weathered:
    """Run one seed and all checks; whatever is raised is a finding."""
    try:
        world = storm(seed, **more)
        return Weathered(seed, check(world), world.chance.injected, world.trace)
    except Exception as error:
        return Weathered(seed, [f"{type(error).__name__}: {error}"], Counter())


def both(seed: int) -> Weathered:
    """Run one seed of the whole engine, and the same of identity with orders of staff."""
    found = weather(seed)
    try:
        found.findings.extend(f"orders: {what}" for what in orders.weather(seed, orders.STORM))
    except Exception as error:
        found.findings.append(f"orders: {type(error).__name__}: {error}")
    return found


def catches(bug: Bug) -> int | None:
    """Return the first seed that finds a bug, None if none of its range does."""
    with planted(bug):
        return next((seed for seed in range(bug.within) if finds(bug, seed)), None)


def finds(bug: Bug, seed: int) -> bool:
    """Tell whether a seed finds a bug, which is planted."""
    if bug.hunt is None:
        return bool(weather(seed, slots=bug.slots).findings)
    try:
        return bool(bug.hunt(seed))
    except Exception:
        return True


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
