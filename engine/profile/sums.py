"""How numbers are added, so that every worker finds the same to the last digit."""

from collections.abc import Sequence
from functools import reduce
from math import fsum
from operator import add


def added(values: Sequence[float]) -> float:
    """Return a sum that is rounded once: the built-in `sum` rounds otherwise from Python 3.12 on.

    >>> added([0.1] * 10), added([1e308, 1e308])
    (1.0, inf)
    """
    try:
        return fsum(values)
    except (OverflowError, ValueError):  # beyond a float, or infinities of both signs
        return reduce(add, values, 0.0)
