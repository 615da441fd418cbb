"""Why a rule acted on a customer, or why not: what one record came to, for one rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.decision.limits import is_reached
from engine.decision.match import Match
from engine.decision.reach import ADDRESSES, NEEDS_NO_CONSENT
from engine.events.model import Event
from engine.matching import absence
from engine.matching.partial import INSTANCE_LENGTH_MAX, Partial
from engine.outcome import Note
from engine.profile.calendar import quiet_until, zone_of
from engine.profile.model import Actor, RuleState
from engine.rules.expression.compile import Condition
from engine.rules.model import Rule, Step

ACTED = ("fired", "held_out", "shadow")
_Events = Mapping[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Occasion:
    """One time at which a rule might have acted.

    `outcome`: one of ACTED; a stop of decision/decide.py; or of the steps: `where`, `missing` (a
    step's condition is false, or needs what is not there), `begun` (`step` of `steps` is done),
    `waits` (until `until`), `prevented` (what must not happen did), `called_off`, `instance` (the
    event does not say which). `clause`: the first part of the condition that did not hold, by
    language; `values`: what it read. `told`: further facts for the words. `at`: UTC ms.
    """

    at: int
    outcome: str
    event: str = ""
    event_id: str = ""
    step: int = 0
    clause: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    until: int = 0
    told: Mapping[str, Any] = field(default_factory=dict)


def of_note(rule: Rule, note: Note, actor: Actor, *, rival: str) -> Occasion:
    """Return what became of a match; the actor is as the decision left it.

    `rival`: the other rule that acted last on this customer in one of the rule's groups, or ''.
    """
    match: Match | None = note.match
    found = Occasion(note.at, note.outcome, event_id=match.cause if match else "")
    if note.outcome in ACTED or match is None:
        return replace(found, told={"action": note.action, "channels": list(note.channels)})
    if note.outcome in ("condition", "unknown"):
        if rule.condition is None:
            return found  # no cell of its table
        clause, values, _ = first_failing(rule.condition, match.events, actor, match.at)
        return replace(found, clause=clause, values=values)
    if note.outcome == "suppressed":
        until = max(actor.suppressed.get(group, 0) for group in rule.groups)
        return replace(found, until=until, told={"rival": rival})
    if note.outcome == "quiet" and rule.quiet is not None:
        until = quiet_until(match.at, rule.quiet, zone_of(actor)) or match.at
        return replace(found, until=until)
    if note.outcome == "limit":
        return replace(found, told=_limit(rule, actor, match.at, rival))
    if note.outcome == "no_channel":
        return replace(found, told={"channels": _ways(rule, actor)})
    return replace(found, until=match.at + rule.fresh_ms)


def of_event(rule: Rule, event: Event, actor: Actor, *, waited: frozenset[str]) -> Occasion | None:
    """Return what an event that decided nothing came to; None if it does not concern the rule.

    `waited`: names of the rule's timers before it.
    """
    found = Occasion(event.at, "", event.type, event.id)
    if event.type not in rule.hears:
        return None
    if rule.per and event.data.get(rule.per) is None:
        return replace(found, outcome="instance", told={"field": rule.per})
    over = waited - waits_of(rule, actor).keys()
    if over and rule.absent is not None and event.type == rule.absent.event:
        return replace(found, outcome="prevented")
    if over and any(step.event == event.type for step in rule.cancels):
        return replace(found, outcome="called_off")
    failed = None
    for place, step in enumerate(rule.steps):
        if step.event != event.type:
            continue
        before = _before(rule, actor, event, place)
        if step.where is None:
            return _taken(rule, step, place, actor, found)
        events = {**before, step.alias: event.data}
        clause, values, unknown = first_failing(step.where, events, actor, event.at)
        if not clause:
            return _taken(rule, step, place, actor, found)
        outcome = "missing" if unknown else "where"
        failed = failed or replace(
            found, outcome=outcome, step=place + 1, clause=clause, values=values
        )
    return failed


def first_failing(
    condition: Condition, events: _Events, actor: Actor, at: int
) -> tuple[dict[str, str], dict[str, Any], bool]:
    """Return (the first clause that does not hold, in words; what it read; is it unknown).

    Empty where all of them hold.
    """
    for clause in condition.clauses():
        if not clause.holds(events, actor, at):
            words = {lang: clause.words(lang) for lang in ("zh", "en")}
            return words, clause.inputs(events, actor, at), clause.unknown(events, actor, at)
    return {}, {}, False


def waits_of(rule: Rule, actor: Actor) -> dict[str, int]:
    """Return the rule's armed waits: timer -> when it is due, UTC ms."""
    start = f"{absence.LETTER}:{rule.id}:"
    return {name: timer.due for name, timer in actor.timers.items() if name.startswith(start)}


def _taken(rule: Rule, step: Step, place: int, actor: Actor, found: Occasion) -> Occasion:
    waits = waits_of(rule, actor)
    if waits and rule.absent is not None and place == len(rule.steps) - 1:
        until = min(waits.values())
        return replace(found, outcome="waits", until=until, told={"for": rule.absent.event})
    told = {"steps": len(rule.steps), "times": step.times}
    return replace(found, outcome="begun", step=place + 1, told=told)


def _before(rule: Rule, actor: Actor, event: Event, place: int) -> _Events:
    """Return the events of the steps before one, as the rule remembers them."""
    if not place or (state := actor.rules.get(rule.id)) is None:
        return {}
    instance = str(event.data[rule.per])[:INSTANCE_LENGTH_MAX] if rule.per else ""
    partial = state.partial.get(instance)
    if not isinstance(partial, Partial):
        return {}
    return next((run.match.events for run in partial.runs if run.place == place), {})


def _limit(rule: Rule, actor: Actor, at: int, rival: str) -> dict[str, Any]:
    state, zone = actor.rules.get(rule.id, RuleState()), zone_of(actor)
    for limit in rule.limits:
        if is_reached(limit, rule, actor, state, at, zone):
            fired = actor.groups.get(limit.group, []) if limit.group else state.fired
            told = {"count": limit.count, "span_ms": limit.span_ms, "group": limit.group}
            return {**told, "fired": fired[-limit.count :], "rival": rival if limit.group else ""}
    return {}


def _ways(rule: Rule, actor: Actor) -> dict[str, str]:
    """Return why each channel cannot be used: `address` or `consent` is missing."""
    found = {}
    for channel in dict.fromkeys(way for action in rule.actions for way in action.channels):
        needed = ADDRESSES.get(channel)
        if needed is not None and not any(name in actor.keys for name in needed):
            found[channel] = "address"
        elif rule.kind != "service" and channel not in NEEDS_NO_CONSENT:
            consent = actor.traits.get(f"consent.{channel}")
            if consent is None or consent.value is not True:
                found[channel] = "consent"
    return found
