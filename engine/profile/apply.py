"""One event changes what we know: facts, contacts, trade, enquiries, complaints, stage."""

from collections.abc import Mapping
from typing import Any

from engine.events.contract import Contract
from engine.events.model import Event
from engine.profile.model import RECENT_MAX, Actor, Care, Touch, Trait

BRIEF_MAX = 6  # fields of an event that an agent sees in the list of last contacts
OPEN_MAX = 20  # enquiries or complaints that are followed by their case id
KEY_FIELDS = (
    "user_id",
    "member_no",
    "email",
    "phone",
    "openid",
    "unionid",
    "device_id",
    "anonymous_id",
)
_PURCHASE = "order.placed"
_RETURNS = frozenset({"order.returned", "order.cancelled"})
_OPENS = {
    "complaint.opened": "complaint",
    "complaint.reopened": "complaint",
    "enquiry.asked": "enquiry",
    "call.started": "enquiry",
}
_CLOSES = {
    "complaint.resolved": "complaint",
    "enquiry.answered": "enquiry",
    "call.ended": "enquiry",
}


def apply(actor: Actor, event: Event, contract: Contract | None) -> None:
    """Change an actor by one event, in place; later facts win by event time, not by arrival.

    `contract` None: an event without one (`custom.*`); its channel is the first part of its name.
    """
    data, at = event.data, event.at
    actor.seen_at = max(actor.seen_at, at)
    for name in KEY_FIELDS:
        value = data.get(name)
        if value is not None:
            actor.keys[name] = str(value)
    if contract is not None:
        for name, trait in contract.traits.items():
            value = data.get(name)
            if value is not None:
                learn(actor, trait, value, event.source, at)
        if contract.stage and contract.stage != actor.stage and at >= actor.stage_at:
            actor.stage, actor.stage_at = contract.stage, at
    if event.type == "consent.changed":
        learn(actor, f"consent.{data['channel']}", bool(data["granted"]), event.source, at)
    _touch(actor, event, contract)
    _trade(actor, event)
    _care(actor, event)


def learn(actor: Actor, trait: str, value: Any, source: str, at: int) -> None:
    """Note a fact with its source and time; an older one than we have is not believed."""
    known = actor.traits.get(trait)
    if known is None or at >= known.at:
        actor.traits[trait] = Trait(value, source, at)


def brief(data: Mapping[str, Any], contract: Contract | None) -> dict[str, Any]:
    """Return the few fields that tell a person what an event was about, personal ones left out."""
    fields = contract.fields if contract else {}
    told: dict[str, Any] = {}
    for name, value in data.items():
        known = fields.get(name)
        if known is not None and (known.personal or known.identifier):
            continue
        if name in KEY_FIELDS or not isinstance(value, str | int | float | bool):
            continue
        told[name] = value
        if len(told) == BRIEF_MAX:
            break
    return told


def _touch(actor: Actor, event: Event, contract: Contract | None) -> None:
    channel = contract.channel if contract else event.type.partition(".")[0]
    touch = actor.touches.get(channel)
    if touch is None:
        touch = actor.touches[channel] = Touch()
    touch.count += 1
    touch.last_at = max(touch.last_at, event.at)
    entry = (event.at, event.type, brief(event.data, contract))
    recent = touch.recent
    place = len(recent)
    while place and recent[place - 1][0] > event.at:
        place -= 1
    recent.insert(place, entry)
    del recent[:-RECENT_MAX]


def _trade(actor: Actor, event: Event) -> None:
    if event.type == _PURCHASE:
        trade = actor.trade
        trade.orders += 1
        trade.total_minor += event.data.get("value") or 0
        trade.first_at = min(trade.first_at or event.at, event.at)
        trade.last_at = max(trade.last_at, event.at)
        trade.currency = event.data.get("currency") or trade.currency
    elif event.type in _RETURNS:
        actor.trade.returns += 1
        actor.trade.returned_minor += abs(event.data.get("value") or 0)


def _care(actor: Actor, event: Event) -> None:
    if (section := _OPENS.get(event.type)) is not None:
        care: Care = getattr(actor, section)
        care.count += 1
        care.last_at = max(care.last_at, event.at)
        if len(care.open) < OPEN_MAX:
            care.open[_case(event)] = event.at
    elif (section := _CLOSES.get(event.type)) is not None:
        getattr(actor, section).open.pop(_case(event), None)


def _case(event: Event) -> str:
    for name in ("case_id", "complaint_id", "enquiry_id", "call_id"):
        if (value := event.data.get(name)) is not None:
            return str(value)
    return event.id[:8]
