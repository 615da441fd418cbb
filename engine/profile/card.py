"""The card of one person or thing: what an agent reads first, and what `engine customer` prints."""

from typing import Any

from engine.clock import iso
from engine.profile.contacts import contacts
from engine.profile.model import Actor, Care, Touch
from engine.profile.things import tally

COUNTED_DAYS = (1, 7, 30)
_HIDDEN = "•••"


def card(
    actor: Actor, *, customer: str, aliases: list[str], now: int, masked: bool = False
) -> dict[str, Any]:
    """Return one person or thing as plain JSON types; instants as ISO 8601, money in minor units.

    `customer` and `canonical` are the one id that all others lead to, whichever was asked for.
    `counted` is of a thing alone, at which some rule counts days. `masked` hides contact addresses
    except their ends, for screens that many can see.
    """
    counted = {"counted": _counted(actor, now)} if actor.tallies else {}
    return {
        "customer": customer,
        "canonical": customer,
        "kind": actor.kind,
        "aliases": aliases,
        "as_of": iso(now),
        "identifiers": {
            name: _mask(value) if masked and name in ("email", "phone") else value
            for name, value in sorted(actor.keys.items())
        },
        "basic": {
            name: {
                "value": _mask(str(t.value)) if masked and name in ("email", "phone") else t.value,
                "source": t.source,
                "at": iso(t.at),
            }
            for name, t in sorted(actor.traits.items())
        },
        "trade": _trade(actor),
        "behaviour": {
            channel: _touch(touch)
            for channel, touch in sorted(actor.touches.items(), key=lambda item: -item[1].last_at)
        },
        "enquiry": _care(actor.enquiry),
        "complaint": _care(actor.complaint),
        "stage": {"name": actor.stage, "since": iso(actor.stage_at)} if actor.stage else None,
        "scores": {name: round(score, 4) for name, score in sorted(actor.scores.items())},
        "churn": {"band": actor.churn.band, "reasons": list(actor.reasons)},
        "open_waits": [
            {"timer": timer_id, "due": iso(timer.due)}
            for timer_id, timer in sorted(actor.timers.items(), key=lambda item: item[1].due)
        ],
        "last_triggers": list(reversed(actor.triggers)),
        **counted,
    }


def _counted(actor: Actor, now: int) -> dict[str, dict[str, int]]:
    """Return how often each event type happened at a thing, by whole days up to today's."""
    return {
        name: {f"{days}d": tally.count(actor, name, now, days) for days in COUNTED_DAYS}
        for name in sorted(actor.tallies)
    }


def _trade(actor: Actor) -> dict[str, Any]:
    trade = actor.trade
    return {
        "orders": trade.orders,
        "total_minor": trade.total_minor,
        "currency": trade.currency,
        "returns": trade.returns,
        "returned_minor": trade.returned_minor,
        "first_at": iso(trade.first_at) if trade.first_at else None,
        "last_at": iso(trade.last_at) if trade.last_at else None,
    }


def _touch(touch: Touch) -> dict[str, Any]:
    return {
        "count": touch.count,
        "last_at": iso(touch.last_at),
        "recent": [
            {"at": iso(at), "event": name, **told} for at, name, told in reversed(contacts(touch))
        ],
    }


def _care(care: Care) -> dict[str, Any]:
    return {
        "count": care.count,
        "last_at": iso(care.last_at) if care.last_at else None,
        "open": {case: iso(since) for case, since in sorted(care.open.items())},
    }


def _mask(value: str) -> str:
    return value[:3] + _HIDDEN + value[-4:] if len(value) > 7 else _HIDDEN
