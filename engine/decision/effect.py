"""What each rule has done so far, in both arms, from the counts that are part of the state."""

from collections.abc import Container, Mapping
from math import sqrt
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
    error = _SURE * sqrt(with_us * (1 - with_us) / acted + without * (1 - without) / held)
    lift = with_us - without
    return {name: round(value, 4) for name, value in
            (("share", lift), ("low", lift - error), ("high", lift + error))}  # fmt: skip
