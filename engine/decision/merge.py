"""Two persons become one: what rules remember of both."""

from engine.decision.limits import FIRED_MAX
from engine.profile.model import Actor, RuleState

GOALS_MAX = 20


def merge_rules(winner: Actor, loser: Actor) -> None:
    """Add the loser's rule state to the winner's, in place.

    Decision times are the union, so no limit is forgotten; a partial match of the winner stays
    before one of the loser under the same key; the later suppression holds; goals are the union.
    """
    for name, state in loser.rules.items():
        known = winner.rules.get(name)
        winner.rules[name] = state if known is None else _states(known, state)
    for group, fired in loser.groups.items():
        winner.groups[group] = sorted([*winner.groups.get(group, []), *fired])[-FIRED_MAX:]
    for group, until in loser.suppressed.items():
        winner.suppressed[group] = max(until, winner.suppressed.get(group, 0))
    goals = sorted([*winner.goals, *loser.goals], key=lambda goal: (goal.at, goal.trigger))
    winner.goals = goals[-GOALS_MAX:]


def _states(a: RuleState, b: RuleState) -> RuleState:
    same = a.version == b.version
    return RuleState(
        version=a.version,
        partial={**b.partial, **a.partial} if same else a.partial,
        fired=sorted([*a.fired, *b.fired])[-FIRED_MAX:],
        schedule={**b.schedule, **a.schedule},
    )
