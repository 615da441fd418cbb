"""Two actors become one: what each part of a profile does then (PROTOCOL.md 1.8).

Counts and sums add, facts and contacts keep the newest, windows are the sorted union. Timers,
churn and the state of rules are merged by their owners (`pipeline/merge.py` calls them all).
"""

from engine.profile import contacts
from engine.profile.logs import exact
from engine.profile.model import TRIGGERS_MAX, Actor, Care, Trade


def merge_profile(winner: Actor, loser: Actor) -> None:
    """Add the loser's profile to the winner's, in place."""
    if loser.seen_at > winner.seen_at:
        winner.keys = {**winner.keys, **loser.keys}
    else:
        winner.keys = {**loser.keys, **winner.keys}
    winner.created_at = min(winner.created_at, loser.created_at)
    winner.seen_at = max(winner.seen_at, loser.seen_at)
    for name, trait in loser.traits.items():
        known = winner.traits.get(name)
        if known is None or trait.at > known.at:
            winner.traits[name] = trait
    for channel, touch in loser.touches.items():
        known_touch = winner.touches.get(channel)
        winner.touches[channel] = (
            touch if known_touch is None else contacts.merge(known_touch, touch)
        )
    winner.dated = ""  # the traits are others now
    winner.trade = _trades(winner.trade, loser.trade)
    winner.enquiry = _cares(winner.enquiry, loser.enquiry)
    winner.complaint = _cares(winner.complaint, loser.complaint)
    for name, log in loser.logs.items():
        known_log = winner.logs.get(name)
        winner.logs[name] = log if known_log is None else exact.merge(known_log, log)
    for name, score in loser.scores.items():
        winner.scores.setdefault(name, score)
    if loser.stage_at > winner.stage_at:
        winner.stage, winner.stage_at = loser.stage, loser.stage_at
    both = [*winner.triggers, *loser.triggers]
    winner.triggers = sorted(both, key=_when)[-TRIGGERS_MAX:]
    winner.reasons = winner.reasons or loser.reasons
    winner.segments = {**loser.segments, **winner.segments}


def _when(trigger: dict[str, object]) -> tuple[int, str]:
    at = trigger.get("at")
    return (at if isinstance(at, int) else 0, str(trigger.get("id", "")))


def _trades(a: Trade, b: Trade) -> Trade:
    first = min(filter(None, (a.first_at, b.first_at)), default=0)
    return Trade(
        orders=a.orders + b.orders,
        total_minor=a.total_minor + b.total_minor,
        returns=a.returns + b.returns,
        returned_minor=a.returned_minor + b.returned_minor,
        first_at=first,
        last_at=max(a.last_at, b.last_at),
        currency=a.currency if a.last_at >= b.last_at and a.currency else b.currency or a.currency,
    )


def _cares(a: Care, b: Care) -> Care:
    return Care(a.count + b.count, max(a.last_at, b.last_at), {**b.open, **a.open})
