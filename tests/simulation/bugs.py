"""Bugs to plant: each is one small change of the engine, and storms must find it.

PROTOCOL.md section 2 row 2 and IDENTITY.md name most of them. They stand in `bugs_of_*.py`.
`seed`: one that has found it, and is tried first; where it does so no more, which any change of the
engine may bring about, `within` seeds from 0 on are tried until one does. `excuse`: why no storm
can, where that is so. `hunt`: what is tried of a seed, where it is not the whole engine.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from engine.pipeline import fold
from tests.instead import Patch, instead
from tests.simulation import faults
from tests.simulation.findings import Violation


@dataclass(frozen=True)
class Bug:
    """One planted bug: `patches` returns (object, attribute, what stands there instead)."""

    name: str
    breaks: str
    patches: Callable[[], list[Patch]]
    seed: int = 0
    within: int = 40
    excuse: str = ""
    slots: type[faults.Slots] = faults.Slots
    hunt: Callable[[int], list[Violation]] | None = None

    @property
    def seeds(self) -> list[int]:
        """What is tried, in this order."""
        return [self.seed, *(seed for seed in range(self.within) if seed != self.seed)]


def planted(bug: Bug) -> AbstractContextManager[None]:
    """Run with a bug in the engine."""
    return instead(*bug.patches())


BUGS: list[Bug] = []


def bug(
    breaks: str,
    *,
    seed: int = 0,
    within: int = 40,
    excuse: str = "",
    slots: type[faults.Slots] = faults.Slots,
    hunt: Callable[[int], list[Violation]] | None = None,
) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    """Enter a function that returns patches as a bug of its name."""

    def enter(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        BUGS.append(Bug(patches.__name__, breaks, patches, seed, within, excuse, slots, hunt))
        return patches

    return enter


def step(kind: str, instead: Any) -> Patch:
    """Return the patch by which the fold does something else with one kind of record."""
    return fold, "STEPS", {**fold.STEPS, kind: instead}
