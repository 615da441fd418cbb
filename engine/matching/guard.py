"""`guard:` if many customers share one cause, nothing is sent to them: an incident is raised.

A match that may act asks the incident of its cause (a thing, D17) and waits. The incident counts
customers; beyond the limit it raises one case, and tells all who wait, and whoever asks later, to
stand down. No news is good news: a wait that is not called off decides when it is over.
"""

from hashlib import sha256
from typing import Any

import msgspec

from engine.decision.act import trigger_id
from engine.decision.decide import decide, state_of
from engine.decision.history import stopped
from engine.decision.holdout import is_inside
from engine.decision.match import Match
from engine.decision.model import Action, Trigger
from engine.events.ids import ENTITIES
from engine.events.model import Event
from engine.matching.cancel import ASKING
from engine.profile.model import Actor
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.model import Guard, Rule

LETTER = ASKING
KIND = "incident"
ASKED, TRIPPED = "guard.asked", "guard.tripped"
TYPES = frozenset((ASKED, TRIPPED))
CAUSE_LENGTH_MAX = 128


def ask(turn: Turn, rule: Rule, guard: Guard, match: Match) -> None:
    """Ask the incident of a match's cause, if it would act; else decide it at once."""
    actor, at = turn.actor, match.at
    holds = is_inside(rule, actor, turn.node_id, at) and (
        rule.condition is None or rule.condition.holds(match.events, actor, at)
    )
    cause = cause_of(guard, match, turn.actor) if holds else None
    if cause is None:
        decide(turn, rule, match)
        return
    due = max(match.at, turn.now) + guard.wait_ms
    data = [rule.version, msgspec.to_builtins(match)]
    if turn.arm(f"{LETTER}:{rule.id}:{match.instance}", due, data=data):
        told = {"rule": rule.id, "cause": cause, "instance": match.instance}
        at = max(match.at, turn.now)
        asked = turn.event_for_another(ASKED, told, at=at)
        turn.parts += ((incident_id(turn.tenant, rule.id, cause), asked),)


def cause_of(guard: Guard, match: Match, actor: Actor) -> str | None:
    """Return what a match may share with others, None where it is not known."""
    same = guard.same.get(match.events, actor, match.at)
    return None if same is None else str(same)[:CAUSE_LENGTH_MAX]


def hear(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Take what an incident and the customers who asked it say to one another."""
    rule = rules.rules.get(str(event.data.get("rule")))
    if rule is None or rule.guard is None:
        return
    if event.type == ASKED:
        _count(turn, rule, rule.guard, event)
    else:
        _stand_down(turn, rule, event)


def _stand_down(turn: Turn, rule: Rule, event: Event) -> None:
    timer = turn.actor.timers.get(f"{LETTER}:{rule.id}:{event.data.get('instance', '')}")
    if timer is not None:
        turn.cancel(f"{LETTER}:{rule.id}:{event.data.get('instance', '')}")
        stopped(turn, rule, msgspec.convert(timer.data[1], Match), "systemic")


def _count(turn: Turn, rule: Rule, guard: Guard, event: Event) -> None:
    """Count a customer; beyond the limit raise the incident, once in its time, and tell them."""
    state = state_of(turn, rule)
    asked: list[list[Any]] = state.partial.get("", [])
    since = event.at - guard.within_ms
    asked = [each for each in asked if each[0] > since][-guard.asked_max :]
    new = [event.at, event.ids[1], event.data.get("instance", "")]
    asked.append(new)
    state.partial[""] = asked
    people = len({customer for _, customer, _ in asked})
    if people <= guard.more_than:
        return
    is_first = not any(at > since for at in state.fired)
    tripped: list[tuple[str, Event]] = []
    if is_first:
        state.fired = [*state.fired, event.at][-1:]
        turn.emitted += (_raised(turn, rule, guard, event, people),)
    for _, customer, instance in asked if is_first else [new]:
        told = {"rule": rule.id, "instance": instance}
        tripped.append((customer, turn.event_for_another(TRIPPED, told, at=event.at)))
    turn.parts += tuple(tripped)


def _raised(turn: Turn, rule: Rule, guard: Guard, event: Event, people: int) -> Trigger:
    cause = str(event.data.get("cause"))
    return Trigger(
        id=trigger_id(turn.tenant, rule.id, event.id, cause, len(rule.actions)),
        tenant=turn.tenant,
        rule=rule.id,
        rule_version=rule.version,
        title=rule.title["en"],
        kind="service",
        status="shadow" if rule.status == "shadow" else "live",
        entity=KIND,
        customer=turn.node_id,
        cause=event.id,
        instance=cause,
        at=event.at,
        received_at=event.received_at,
        decided_at=turn.now,
        expires_at=event.at + rule.fresh_ms,
        action=Action(type="case", name=guard.case, fields={"cause": cause, "customers": people}),
        channels=["desk"],
        reason={
            "en": f"{people} customers share one cause ({cause}); {rule.title['en']}: held back.",
            "zh": f"{people}位客户同因（{cause}）；{rule.title['zh']}：已暂停发送。",
        },
        inputs={"cause": cause, "customers": people},
        owner=rule.owner,
        events=[event.id],
    )


def incident_id(tenant: str, rule: str, cause: str) -> str:
    """Return the id of the incident of a cause; no person is named by it, so it needs no key."""
    name = sha256(f"{tenant}\0{rule}\0{cause}".encode()).hexdigest()[:16]
    return f"E{ENTITIES[KIND]}{name}"
