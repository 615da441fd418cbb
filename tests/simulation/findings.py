"""What a storm may find: a law of the papers that does not hold, or that something broke.

Only a violation proves that a planted bug was caught. A patch that no longer fits the engine breaks
every call and then every law: such a hunt proves nothing, and must fail.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

RESTS = "everything_comes_to_rest"  # PROTOCOL.md section 2 row 1: liveness


class Violation(NamedTuple):
    """`law`: the name of the check, or I1, J1, ... of the papers; `what` is not as it says."""

    law: str
    what: str

    def __str__(self) -> str:
        return f"{self.law}: {self.what}"


class Broken(AssertionError):
    """A hunt that broke by itself: it has neither found its bug nor missed it."""


def told(laws: Iterable[Callable[..., Iterator[str]]], *aftermath: Any) -> list[Violation]:
    """Return what each law says about the same aftermath, under the law's own name."""
    return [Violation(law.__name__, what) for law in laws for what in law(*aftermath)]
