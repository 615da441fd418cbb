"""What the engine adds up is no matter of the interpreter; `company.py` compares two of them."""

import builtins
from collections.abc import Callable, Iterable
from math import inf, nextafter
from random import Random
from sys import float_info
from typing import Any

import pytest

from engine.churn.fit import fit
from engine.churn.mbg import Mbg
from engine.profile.sums import added
from tests.replay.company import fingerprints

real_sum = builtins.sum


def other_sum(values: Iterable[Any], /, start: Any = 0) -> Any:
    """Add floats with another last digit, as Python 3.12 began to (gh-100425)."""
    found = real_sum(values, start)
    return nextafter(found, inf) if type(found) is float else found


def fitted() -> Mbg:
    """Return the parameters of some customers."""
    random = Random(3)
    return fit((n, random.uniform(0, 9 * n), random.uniform(300, 400)) for n in range(30))


def at_the_end_of_floats() -> float:
    """Return a sum that is one float below infinity, or beyond: in what order is it rounded?"""
    return added([float_info.max, 2.0**969, 2.0**969])


@pytest.mark.parametrize("found", [fingerprints, fitted, at_the_end_of_floats])
def test_it_does_not_matter_how_python_adds_floats(
    found: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`profile/sums.py` adds what is kept or decided by; `sum` is for whole numbers."""
    before = found()
    monkeypatch.setattr(builtins, "sum", other_sum)
    assert found() == before
