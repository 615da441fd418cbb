"""How often is enough: limits per rule and per group, reserved when we decide."""

from zoneinfo import ZoneInfo

from engine.profile.calendar import day_start
from engine.profile.model import Actor, RuleState
from engine.rules.model import COUNT_MAX, Limit, Rule

FIRED_MAX = COUNT_MAX  # decision times kept per rule and per group: no limit may ask for more


def limit_reached(rule: Rule, actor: Actor, state: RuleState, at: int, zone: ZoneInfo) -> bool:
    """Tell whether one more decision at `at` (UTC ms) would break a limit of the rule."""
    return any(is_reached(limit, rule, actor, state, at, zone) for limit in rule.limits)


def is_reached(
    limit: Limit, rule: Rule, actor: Actor, state: RuleState, at: int, zone: ZoneInfo
) -> bool:
    """Tell whether one more decision at `at` would break just this limit."""
    if limit.group and rule.kind == "service":
        return False
    fired = actor.groups.get(limit.group, ()) if limit.group else state.fired
    if len(fired) < limit.count:
        return False
    since = day_start(at, zone) if limit.span_ms is None else at - limit.span_ms + 1
    # Decisions about a later time count too: an absence is decided after what came behind it.
    return sum(then >= since for then in fired) >= limit.count


def reserve(state: RuleState, at: int) -> None:
    """Count a decision for the rule."""
    state.fired = sorted([*state.fired, at])[-FIRED_MAX:]


def reserve_groups(rule: Rule, actor: Actor, at: int) -> None:
    """Count a decision for the groups of the rule: the customer will hear of it."""
    for group in rule.groups:
        actor.groups[group] = sorted([*actor.groups.get(group, []), at])[-FIRED_MAX:]


def give_back(rule: Rule, actor: Actor, at: int) -> None:
    """Take a decision out of the counts again: it could not be delivered."""
    state = actor.rules.get(rule.id)
    if state is not None and at in state.fired:
        state.fired = _without(state.fired, at)
    for group in rule.groups:
        if at in (fired := actor.groups.get(group, [])):
            actor.groups[group] = _without(fired, at)


def _without(fired: list[int], at: int) -> list[int]:
    place = fired.index(at)
    return fired[:place] + fired[place + 1 :]
