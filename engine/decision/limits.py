"""How often is enough: limits per rule and per group, reserved when we decide."""

from zoneinfo import ZoneInfo

from engine.decision.calendar import day_start
from engine.profile.model import Actor, RuleState
from engine.rules.model import Limit, Rule

FIRED_MAX = 64  # decision times kept per rule and per group


def limit_reached(rule: Rule, actor: Actor, state: RuleState, at: int, zone: ZoneInfo) -> bool:
    """Tell whether one more decision at `at` (UTC ms) would break a limit of the rule."""
    return any(_reached(limit, rule, actor, state, at, zone) for limit in rule.limits)


def _reached(
    limit: Limit, rule: Rule, actor: Actor, state: RuleState, at: int, zone: ZoneInfo
) -> bool:
    if limit.group and rule.kind == "service":
        return False
    fired = actor.groups.get(limit.group, []) if limit.group else state.fired
    since = day_start(at, zone) if limit.span_ms is None else at - limit.span_ms + 1
    return sum(since <= then <= at for then in fired) >= limit.count


def reserve(rule: Rule, actor: Actor, state: RuleState, at: int) -> None:
    """Count a decision for the rule and its groups."""
    state.fired = sorted([*state.fired, at])[-FIRED_MAX:]
    if rule.kind != "service":
        for group in rule.groups:
            actor.groups[group] = sorted([*actor.groups.get(group, []), at])[-FIRED_MAX:]


def give_back(rule: Rule, actor: Actor, state: RuleState, at: int) -> None:
    """Take a decision out of the counts again: it could not be delivered."""
    if at in state.fired:
        state.fired.remove(at)
    for group in rule.groups:
        if at in actor.groups.get(group, ()):
            actor.groups[group].remove(at)
