"""What each rule has done so far, in both arms, from the counts that are part of the state."""

from collections.abc import Container, Mapping
from math import hypot, sqrt
from typing import Any

from engine.rules.model import Rule

_SURE = 1.96  # standard deviations on either side that hold 95 % of a normal distribution


def effects(
    rules: Mapping[str, Rule], counts: Mapping[str, int], *, disabled: Container[str] = ()
) -> list[dict[str, Any]]:
    """Return a row for each rule, by id; `stopped`: reason -> times.

    `disabled`: rules that broke too often and act no more; that is their status then.

    `effect` is the goal's share where we acted minus its share where we held out, with the ends of
    its 95 % interval; None while one of the arms is empty, or without a goal.
    """
    stopped: dict[str, dict[str, int]] = {}
    for code, n in counts.items():
        if code.startswith("stopped:"):
            _, why, name = code.split(":", 2)
            stopped.setdefault(name, {})[why] = n
    return [
        {
            "rule": name,
            "title": dict(rule.title),
            "key": rule.key,
            "status": "disabled" if name in disabled else rule.status,
            "owner": rule.owner,
            "version": rule.version,
            "fired": counts.get(f"fired:{name}", 0),
            "held_out": counts.get(f"held_out:{name}", 0),
            "shadow": counts.get(f"shadow:{name}", 0),
            "goals": counts.get(f"goal:{name}", 0),
            "goals_held_out": counts.get(f"goal_held_out:{name}", 0),
            "stopped": dict(sorted(stopped.get(name, {}).items())),
            "unknown": counts.get(f"unknown:{name}", 0),
            "effect": None if rule.goal is None else _effect(name, counts),
        }
        for name, rule in sorted(rules.items())
    ]


def _effect(name: str, counts: Mapping[str, int]) -> dict[str, float] | None:
    acted, held = counts.get(f"fired:{name}", 0), counts.get(f"held_out:{name}", 0)
    if not acted or not held:
        return None
    with_us = min(1.0, counts.get(f"goal:{name}", 0) / acted)
    without = min(1.0, counts.get(f"goal_held_out:{name}", 0) / held)
    low, high = difference(with_us, acted, without, held)
    return {name: round(value, 4) for name, value in
            (("share", with_us - without), ("low", low), ("high", high))}  # fmt: skip


def difference(one: float, of_one: int, other: float, of_other: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of `one - other`, shares (0 to 1) of so many each.

    Few tell little here: of one against one it is wide, where the textbook's normal interval has
    no width at all as soon as each share is 0 or 1.

    Source
    ------
    Newcombe, "Interval estimation for the difference between independent proportions", Statistics
    in Medicine 17 (1998), method 10: the square-and-add combination of two Wilson intervals.

    Examples
    --------
    >>> [round(end, 4) for end in difference(56 / 70, 70, 48 / 80, 80)]
    [0.0524, 0.3339]
    >>> [round(end, 4) for end in difference(1.0, 1, 0.0, 1)]
    [-0.1221, 1.0]
    """
    low_one, high_one = _wilson(one, of_one)
    low_other, high_other = _wilson(other, of_other)
    lift = one - other
    return (
        lift - hypot(one - low_one, high_other - other),
        lift + hypot(high_one - one, other - low_other),
    )


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of a share."""
    weight = _SURE**2 / count
    middle = (share + weight / 2) / (1 + weight)
    half = _SURE / (1 + weight) * sqrt(share * (1 - share) / count + weight / (4 * count))
    return middle - half, middle + half
