"""Two persons become one: what rules remember of both."""

from typing import Any

import msgspec

from engine.decision.goals import GOALS_MAX
from engine.decision.limits import FIRED_MAX
from engine.profile.model import Actor, RuleState


def merge_rules(winner: Actor, loser: Actor) -> None:
    """Add the loser's rule state to the winner's, in place.

    Decision times are the union, so no limit is forgotten. Partial matches are the union too, list
    by list: both had really happened to this person; what their events make of each other is
    decided when the next one comes, or a wait is over. Where the two were of different rule
    versions, the winner's counts. The later suppression holds; goals are the union; dates that have
    been celebrated stay so.
    """
    for name, state in loser.rules.items():
        known = winner.rules.get(name)
        winner.rules[name] = state if known is None else _states(known, state)
    for group, fired in loser.groups.items():
        winner.groups[group] = _union(winner.groups.get(group, []), fired)
    for group, until in loser.suppressed.items():
        winner.suppressed[group] = max(until, winner.suppressed.get(group, 0))
    goals = sorted([*winner.goals, *loser.goals], key=lambda goal: (goal.at, goal.trigger))
    winner.goals = goals[-GOALS_MAX:]


def _states(a: RuleState, b: RuleState) -> RuleState:
    partial = dict(a.partial)
    if a.version == b.version:
        for instance, found in b.partial.items():
            mine = partial.get(instance)
            partial[instance] = found if mine is None else _partials(mine, found)
    done = max(str(a.schedule.get("done", "")), str(b.schedule.get("done", "")))
    schedule = {**b.schedule, **a.schedule}
    return RuleState(
        version=a.version,
        partial=partial,
        fired=_union(a.fired, b.fired),
        schedule={**schedule, "done": done} if done else schedule,
    )


def _partials(a: Any, b: Any) -> Any:
    """Return both, list by list, whatever they hold; their owner puts them in order."""
    mine, theirs = msgspec.to_builtins(a), msgspec.to_builtins(b)
    return [
        x + [each for each in y if each not in x] if isinstance(x, list) else {**y, **x}
        for x, y in zip(mine, theirs, strict=True)
    ]


def _union(a: list[int], b: list[int]) -> list[int]:
    return sorted([*a, *b])[-FIRED_MAX:]
