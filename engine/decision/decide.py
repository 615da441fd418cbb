"""A rule came true: may we act, on whom, through what, and until when is it worth it?

The order of the questions is the order of cost to the customer: is it still fresh, was it stopped,
is it night, was there enough of it, is there a way to reach them, are they held out for comparison.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from engine.decision.calendar import quiet_until, zone_of
from engine.decision.limits import limit_reached, reserve
from engine.decision.match import Match
from engine.decision.model import Action, Trigger
from engine.decision.reach import reachable
from engine.decision.words import reasons
from engine.profile.model import TRIGGERS_MAX, Goal, RuleState
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.expression.compile import Value
from engine.rules.model import Action as RuleAction
from engine.rules.model import Rule

HOLDOUT_SALT = "holdout-1"  # another salt draws other customers; changed between quarters
GOALS_MAX = 20
FIELD_LENGTH_MAX = 500


def state_of(turn: Turn, rule: Rule) -> RuleState:
    """Return what a rule remembers of an actor; partial matches of another version end here."""
    state = turn.actor.rules.get(rule.id)
    if state is None:
        state = turn.actor.rules[rule.id] = RuleState(version=rule.version)
    elif state.version != rule.version:
        state.version = rule.version
        state.partial = {}
    return state


def is_held_out(rule: Rule, customer: str) -> bool:
    """Tell whether a customer is in the comparison group of a rule; always the same answer."""
    if not rule.holdout or rule.kind == "service":
        return False
    name = f"{HOLDOUT_SALT}\0{rule.id}\0{customer}".encode()
    return int.from_bytes(sha256(name).digest()[:8], "big") < rule.holdout * 2**64


def trigger_id(tenant: str, rule: str, cause: str, instance: str, index: int) -> str:
    """Return the id that no replay, merge or new rule version changes (WIRE.md, Ids)."""
    name = "\0".join((tenant, rule, cause, instance, str(index)))
    return sha256(name.encode()).digest()[:16].hex()


def decide(rules: RuleSet, turn: Turn, rule: Rule, match: Match) -> None:
    """Act on a match, or note why not; `if` and every limit are looked at now."""
    actor, state = turn.actor, state_of(turn, rule)
    zone = zone_of(actor)
    condition = rule.condition
    if condition is not None and not condition.holds(match.events, actor, match.at):
        if condition.unknown(match.events, actor, match.at):
            turn.outcome.count("unknown")
        return
    expires_at = match.at + rule.fresh_ms
    service = rule.kind == "service"
    if turn.now > expires_at:
        _stopped(turn, rule, match, "expired")
    elif not service and any(actor.suppressed.get(g, 0) > match.at for g in rule.groups):
        _stopped(turn, rule, match, "suppressed")
    elif rule.quiet and (until := quiet_until(match.at, rule.quiet, zone)) is not None:
        _hold(turn, rule, match, until)
    elif limit_reached(rule, actor, state, match.at, zone):
        _stopped(turn, rule, match, "limit")
    else:
        _act(rules, turn, rule, match, expires_at)


def _act(rules: RuleSet, turn: Turn, rule: Rule, match: Match, expires_at: int) -> None:
    actor, state = turn.actor, state_of(turn, rule)
    service = rule.kind == "service"
    held_out = actor.kind == "person" and is_held_out(rule, turn.node_id)
    channels = {
        id(action): reachable(actor, action.channels, service=service) for action in rule.actions
    }
    wanted = [a for a in rule.actions if a.channels]
    if wanted and not any(channels[id(a)] for a in wanted):
        _stopped(turn, rule, match, "no_channel")
        return
    inputs = _inputs(rule, match, turn)
    reason = reasons(rule, match, inputs, rules.contracts)
    for index, action in enumerate(rule.actions):
        if action.type == "suppress":
            if not held_out and rule.status == "live":
                until = match.at + action.for_ms
                actor.suppressed[action.name] = max(until, actor.suppressed.get(action.name, 0))
            _note(turn, rule, match, action, held_out=held_out)
            continue
        if action.channels and not channels[id(action)]:
            continue
        trigger = Trigger(
            id=trigger_id(turn.tenant, rule.id, match.cause, match.instance, index),
            tenant=turn.tenant,
            rule=rule.id,
            rule_version=rule.version,
            title=rule.title["zh" if _chinese(turn) else "en"],
            kind="service" if service else "marketing",
            status="shadow" if rule.status == "shadow" else "live",
            held_out=held_out,
            entity=actor.kind,
            customer=turn.node_id,
            keys=dict(actor.keys),
            cause=match.cause,
            instance=match.instance,
            at=match.at,
            received_at=match.received_at,
            decided_at=turn.now,
            expires_at=expires_at,
            waited=match.waited,
            action=_action(action, match, turn),
            channels=channels[id(action)],
            reason=reason,
            inputs=inputs,
            group=rule.group,
            owner=rule.owner,
        )
        turn.emitted.append(trigger)
        _note(turn, rule, match, action, held_out=held_out, trigger=trigger)
    reserve(rule, actor, state, match.at)
    _await_goal(turn, rule, match, held_out=held_out)


def _action(action: RuleAction, match: Match, turn: Turn) -> Action:
    fields = {
        name: _rendered(parts, match, turn) for name, parts in action.fields.items()
    }
    deadline = match.at + action.deadline_ms if action.deadline_ms else 0
    return Action(type=action.type, name=action.name, fields=fields, deadline_at=deadline)


def _rendered(parts: tuple[str | Value, ...], match: Match, turn: Turn) -> Any:
    values = [
        part if isinstance(part, str) else part.get(match.events, turn.actor, match.at)
        for part in parts
    ]
    if len(values) == 1:
        return values[0]
    return "".join("" if v is None else str(v) for v in values)[:FIELD_LENGTH_MAX]


def _inputs(rule: Rule, match: Match, turn: Turn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for condition in (*(step.where for step in rule.steps), rule.condition):
        if condition is not None:
            read: Mapping[str, Any] = condition.inputs(match.events, turn.actor, match.at)
            found.update(read)
    return found


def _chinese(turn: Turn) -> bool:
    trait = turn.actor.traits.get("locale")
    return trait is not None and str(trait.value).startswith("zh")


def _hold(turn: Turn, rule: Rule, match: Match, until: int) -> None:
    data = [rule.version, msgspec.to_builtins(match)]
    turn.arm(f"q:{rule.id}:{match.instance}", until, data=data)


def _stopped(turn: Turn, rule: Rule, match: Match, why: str) -> None:
    turn.outcome.count("suppressed")
    turn.outcome.count(f"stopped:{why}")
    entry = {"rule": rule.id, "at": match.at, "outcome": why}
    turn.actor.triggers = [*turn.actor.triggers, entry][-TRIGGERS_MAX:]


def _note(
    turn: Turn,
    rule: Rule,
    match: Match,
    action: RuleAction,
    *,
    held_out: bool,
    trigger: Trigger | None = None,
) -> None:
    entry: dict[str, Any] = {
        "rule": rule.id,
        "at": match.at,
        "outcome": "held_out" if held_out else "shadow" if rule.status == "shadow" else "fired",
        "type": action.type,
        "name": action.name,
        "held_out": held_out,
    }
    if trigger is not None:
        entry.update(id=trigger.id, channels=trigger.channels, reason=trigger.reason)
    turn.actor.triggers = [*turn.actor.triggers, entry][-TRIGGERS_MAX:]


def _await_goal(turn: Turn, rule: Rule, match: Match, *, held_out: bool) -> None:
    if rule.goal is None or rule.status != "live":
        return
    goal = Goal(
        trigger=trigger_id(turn.tenant, rule.id, match.cause, match.instance, 0),
        rule=rule.id,
        event=rule.goal.event,
        at=match.at,
        until=match.at + rule.goal.within_ms,
        held_out=held_out,
    )
    waiting = [g for g in turn.actor.goals if g.until > turn.now]
    turn.actor.goals = [*waiting, goal][-GOALS_MAX:]
