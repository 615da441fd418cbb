"""One event changes what we know: facts, contacts, trade, enquiries, complaints, stage."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from engine.events.catalogue import Contract
from engine.events.ids import TYPES
from engine.events.model import Event
from engine.profile import contacts
from engine.profile.model import Actor, Care, Touch, Trait

BRIEF_MAX = 6  # fields of an event that an agent sees in the list of last contacts
OPEN_MAX = 20  # enquiries or complaints that are followed by their case id
# Field -> how a birth id of that type begins; the ID number is never kept in clear.
_ADDRESSES = {t.name: f"{t.strength}{t.letter}" for t in TYPES.values() if t.name != "id_number"}
_TOLD = frozenset((str, int, float, bool))


class Plan(NamedTuple):
    """What an event of one type does to a profile, worked out once a rule set.

    `traits`: (field, fact about the person that it sets). `hidden`: fields that no list of contacts
    shows. `steps`: what is special to this type.
    """

    channel: str
    stage: str
    traits: tuple[tuple[str, str], ...]
    hidden: frozenset[str]
    steps: tuple[Callable[[Actor, Event], None], ...]


def plan_of(type: str, contract: Contract | None) -> Plan:
    """Return the plan of an event type.

    `contract` None: an event without one (`custom.*`); its channel is the first part of its name.
    """
    steps = _STEPS.get(type, ())
    if contract is None:
        return Plan(type.partition(".")[0], "", (), frozenset(_ADDRESSES), steps)
    hidden = {n for n, f in contract.fields.items() if f.personal or f.identifier}
    traits = tuple(contract.traits.items())
    return Plan(contract.channel, contract.stage, traits, frozenset(_ADDRESSES) | hidden, steps)


def apply(actor: Actor, event: Event, plan: Plan) -> None:
    """Change an actor by one event, in place; later facts win by event time, not by arrival."""
    data, at = event.data, event.at
    if at > actor.seen_at:
        actor.seen_at = at
    told: dict[str, Any] = {}
    hidden, keys = plan.hidden, actor.keys
    for name, value in data.items():
        if name in hidden:
            if keys.get(name) != value and value is not None and _names(event, name):
                keys[name] = str(value)
        elif type(value) in _TOLD and len(told) < BRIEF_MAX:
            told[name] = value
    for name, trait in plan.traits:
        if (value := data.get(name)) is not None:
            learn(actor, trait, value, event.source, at)
    if plan.stage and plan.stage != actor.stage and at >= actor.stage_at:
        actor.stage, actor.stage_at = plan.stage, at
    touch = actor.touches.get(plan.channel)
    if touch is None:
        touch = actor.touches[plan.channel] = Touch()
    contacts.add(touch, at, event.type, told)
    for step in plan.steps:
        step(actor, event)


def _names(event: Event, name: str) -> bool:
    """Tell whether a field is an address: what named somebody at the door.

    What a source without trust says of e-mail or phone is a trait, or a public key could direct a
    customer's messages.
    """
    start = _ADDRESSES.get(name)
    return start is not None and any(birth_id[:2] == start for birth_id in event.ids)


def learn(actor: Actor, trait: str, value: Any, source: str, at: int) -> None:
    """Note a fact with its source and time; an older one than we have is not believed."""
    known = actor.traits.get(trait)
    if known is None or at >= known.at:
        actor.traits[trait] = Trait(value, source, at)


def _consent(actor: Actor, event: Event) -> None:
    data = event.data
    learn(actor, f"consent.{data['channel']}", bool(data["granted"]), event.source, event.at)


def _bought(actor: Actor, event: Event) -> None:
    trade = actor.trade
    trade.orders += 1
    trade.total_minor += event.data.get("value") or 0
    trade.first_at = min(trade.first_at or event.at, event.at)
    trade.last_at = max(trade.last_at, event.at)
    trade.currency = event.data.get("currency") or trade.currency


def _returned(actor: Actor, event: Event) -> None:
    actor.trade.returns += 1
    actor.trade.returned_minor += abs(event.data.get("value") or 0)


def _asked(actor: Actor, event: Event) -> None:
    _opened(actor.enquiry, event)


def _complained(actor: Actor, event: Event) -> None:
    _opened(actor.complaint, event)


def _answered(actor: Actor, event: Event) -> None:
    actor.enquiry.open.pop(_case(event), None)


def _resolved(actor: Actor, event: Event) -> None:
    actor.complaint.open.pop(_case(event), None)


def _opened(care: Care, event: Event) -> None:
    care.count += 1
    care.last_at = max(care.last_at, event.at)
    if len(care.open) < OPEN_MAX:
        care.open[_case(event)] = event.at


def _case(event: Event) -> str:
    for name in ("case_id", "complaint_id", "enquiry_id", "call_id"):
        if (value := event.data.get(name)) is not None:
            return str(value)
    return event.id[:8]


_STEPS: Mapping[str, tuple[Callable[[Actor, Event], None], ...]] = {
    "consent.changed": (_consent,),
    "order.placed": (_bought,),
    "order.returned": (_returned,),
    "order.cancelled": (_returned,),
    "complaint.opened": (_complained,),
    "complaint.reopened": (_complained,),
    "complaint.resolved": (_resolved,),
    "enquiry.asked": (_asked,),
    "call.started": (_asked,),
    "enquiry.answered": (_answered,),
    "call.ended": (_answered,),
}


def _moved_by(*steps: Callable[[Actor, Event], None]) -> frozenset[str]:
    return frozenset(type for type, own in _STEPS.items() if not set(own).isdisjoint(steps))


MOVED_BY = {  # part of a profile -> the event types that change it
    "trade": _moved_by(_bought, _returned),
    "enquiry": _moved_by(_asked, _answered),
    "complaint": _moved_by(_complained, _resolved),
    "consent": _moved_by(_consent),
}
