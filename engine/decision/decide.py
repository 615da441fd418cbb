"""A rule came true: may we act, on whom, through what, and until when is it worth it?

The order of the questions: is the rule for them, is the condition true now, is it still fresh, was
it stopped, is it night, was there enough of it, is there a way to reach them, are they held out for
comparison.
"""

import msgspec

from engine.decision.act import act
from engine.decision.history import passed_over, stopped
from engine.decision.holdout import is_inside
from engine.decision.limits import limit_reached
from engine.decision.match import Match
from engine.decision.reach import reachable
from engine.profile.calendar import quiet_until, zone_of
from engine.profile.model import RuleState
from engine.profile.turn import Turn
from engine.rules.model import Rule

HELD = "q"  # letter of the timers of matches that quiet hours hold
_NOTHING = RuleState()


def state_of(turn: Turn, rule: Rule) -> RuleState:
    """Return what a rule remembers of an actor; partial matches of another version end here."""
    state = turn.actor.rules.get(rule.id)
    if state is None:
        state = turn.actor.rules[rule.id] = RuleState(version=rule.version)
    elif state.version != rule.version:
        state.version = rule.version
        state.partial = {}
    return state


def decide(turn: Turn, rule: Rule, match: Match) -> None:
    """Act on a match, or note why not; `if` and every limit are looked at now."""
    actor, condition = turn.actor, rule.condition
    if not is_inside(rule, actor, turn.node_id, match.at):
        passed_over(turn, rule, match, "scope")
        return
    if condition is not None and not condition.holds(match.events, actor, match.at):
        unknown = condition.is_open(match.events, actor, match.at)
        passed_over(turn, rule, match, "unknown" if unknown else "condition")
        if unknown:
            turn.outcome.count("unknown")
            turn.outcome.count(f"unknown:{rule.id}")
        return
    if turn.now > match.at + rule.fresh_ms:
        stopped(turn, rule, match, "expired")
        return
    if any(actor.suppressed.get(group, 0) > match.at for group in rule.groups):
        stopped(turn, rule, match, "suppressed")
        return
    zone = zone_of(actor)
    if rule.quiet is not None and (until := quiet_until(match.at, rule.quiet, zone)) is not None:
        hold(turn, rule, match, until)
        return
    if limit_reached(rule, actor, actor.rules.get(rule.id, _NOTHING), match.at, zone):
        stopped(turn, rule, match, "limit")
        return
    chosen = range(len(rule.actions))
    if rule.table is not None:
        graded = rule.table.grades(match.events, actor, match.at)
        cell = () if graded is None else rule.table.cells.get(tuple(graded.values()), ())
        if not cell:
            passed_over(turn, rule, match, "condition")
            return
        chosen = range(cell[0], cell[-1] + 1)
    service = rule.kind == "service"
    actions = [rule.actions[place] for place in chosen]
    ways = [reachable(actor, action.channels, service=service) for action in actions]
    if any(action.channels for action in actions) and not any(ways):
        stopped(turn, rule, match, "no_channel")
        return
    channels = dict(zip(chosen, ways, strict=True))
    act(turn, rule, match, channels=channels, state=state_of(turn, rule))


def hold(turn: Turn, rule: Rule, match: Match, until: int) -> None:
    """Keep a match until quiet hours end; of one rule and instance the newest is kept."""
    passed_over(turn, rule, match, "quiet")
    name = f"{HELD}:{rule.id}:{match.instance}"
    turn.arm(name, until, data=[rule.version, msgspec.to_builtins(match)])


def held(data: list[object], due: int) -> Match:
    """Return the match that was held, about the end of the quiet hours now (UTC ms)."""
    match = msgspec.convert(data[1], Match)
    match.at, match.waited = due, True
    return match
