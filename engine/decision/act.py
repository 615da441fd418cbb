"""Do what a rule says: triggers with their reasons, suppressions, the goal that is waited for."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from engine.decision.goals import await_goal
from engine.decision.history import decided
from engine.decision.holdout import is_held_out
from engine.decision.limits import reserve, reserve_groups
from engine.decision.match import Match
from engine.decision.model import Action, Trigger
from engine.decision.words import reasons
from engine.profile.model import RuleState
from engine.profile.turn import Turn
from engine.rules.model import Action as RuleAction
from engine.rules.model import Rule, Template

FIELD_LENGTH_MAX = 500


def trigger_id(tenant: str, rule: str, cause: str, instance: str, index: int) -> str:
    """Return the id that no replay, merge or new rule version changes (WIRE.md, Ids)."""
    name = "\0".join((tenant, rule, cause, instance, str(index)))
    return sha256(name.encode()).digest()[:16].hex()


def act(
    turn: Turn,
    rule: Rule,
    match: Match,
    *,
    channels: Mapping[int, list[str]],
    state: RuleState,
) -> None:
    """Do the chosen actions that have a way; `channels`: of each, by its place in the rule.

    The held-out arm and a rule in the shadow decide like the others, so that they can be compared;
    but they take nothing from a customer whom they do not contact: no group cap, no suppression.
    """
    actor = turn.actor
    held_out = actor.kind == "person" and is_held_out(rule, turn.node_id)
    is_real = rule.status == "live" and not held_out
    inputs = _inputs(rule, match, turn)
    reason = reasons(rule, inputs)
    first = None
    for index, ways in channels.items():
        action = rule.actions[index]
        if action.type == "suppress":
            if is_real:
                until = match.at + action.for_ms
                actor.suppressed[action.name] = max(until, actor.suppressed.get(action.name, 0))
            decided(turn, match, _entry(rule, match, action, held_out=held_out))
        elif ways or not action.channels:
            trigger = _trigger(turn, rule, match, index, ways)
            trigger.held_out, trigger.reason, trigger.inputs = held_out, reason, inputs
            turn.emitted += (trigger,)
            first = first or trigger
            entry = _entry(rule, match, action, held_out=held_out)
            entry.update(id=trigger.id, channels=ways, reason=reason)
            decided(turn, match, entry)
    arm = "held_out" if held_out else "fired" if is_real else "shadow"
    turn.outcome.count(f"{arm}:{rule.id}")
    reserve(state, match.at)
    if is_real and rule.kind != "service":
        reserve_groups(rule, actor, match.at)
    if first is not None and rule.goal is not None and rule.status == "live":
        await_goal(turn, rule, rule.goal, first)


def _trigger(turn: Turn, rule: Rule, match: Match, index: int, channels: list[str]) -> Trigger:
    action = rule.actions[index]
    fields = {name: _rendered(parts, match, turn) for name, parts in action.fields.items()}
    deadline = match.at + action.deadline_ms if action.deadline_ms else 0
    return Trigger(
        id=trigger_id(turn.tenant, rule.id, match.cause, match.instance, index),
        tenant=turn.tenant,
        rule=rule.id,
        rule_version=rule.version,
        title=rule.title[_language(turn)],
        kind="service" if rule.kind == "service" else "marketing",
        status="shadow" if rule.status == "shadow" else "live",
        entity=turn.actor.kind,
        customer=turn.node_id,
        keys=dict(turn.actor.keys),
        cause=match.cause,
        instance=match.instance,
        events=[event_id for _, event_id in match.marks],
        at=match.at,
        received_at=match.received_at,
        decided_at=turn.now,
        expires_at=match.at + rule.fresh_ms,
        waited=match.waited,
        action=Action(type=action.type, name=action.name, fields=fields, deadline_at=deadline),
        channels=channels,
        group=rule.group,
        owner=rule.owner,
    )


def _entry(rule: Rule, match: Match, action: RuleAction, *, held_out: bool) -> dict[str, Any]:
    instance = {"instance": match.instance} if match.instance else {}
    outcome = "held_out" if held_out else "shadow" if rule.status == "shadow" else "fired"
    return {
        "rule": rule.id,
        "at": match.at,
        "outcome": outcome,
        "type": action.type,
        "name": action.name,
        "held_out": held_out,
        **instance,
    }


def _rendered(parts: Template, match: Match, turn: Turn) -> Any:
    values = [
        part if isinstance(part, str) else part.get(match.events, turn.actor, match.at)
        for part in parts
    ]
    if len(values) == 1:
        return values[0]
    return "".join("" if v is None else _text(v) for v in values)[:FIELD_LENGTH_MAX]


def _text(value: Any) -> str:
    """Return a value as it stands in a sentence: 150 and not 150.0."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _inputs(rule: Rule, match: Match, turn: Turn) -> dict[str, Any]:
    """Return all that the conditions read: those of the steps when they happened, `if` now."""
    found: dict[str, Any] = {}
    for step, (at, _) in zip(rule.steps, match.marks, strict=False):
        if step.where is not None:
            found.update(step.where.inputs(match.events, turn.actor, at))
    if rule.condition is not None:
        found.update(rule.condition.inputs(match.events, turn.actor, match.at))
    if rule.table is not None:
        found.update(rule.table.grades(match.events, turn.actor, match.at) or {})
    return found


def _language(turn: Turn) -> str:
    trait = turn.actor.traits.get("locale")
    return "zh" if trait is not None and str(trait.value).startswith("zh") else "en"
