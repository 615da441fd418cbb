"""Segments that rules wait for: when a customer enters or leaves one, an event of ours says so.

Looked at when something happens to the customer, and once a day where a segment says `daily`: then
time alone can change it. Mostly it only takes members out, so only they have a timer. Only segments
that an awake rule names are looked at.
"""

from collections.abc import Sequence

from engine.events.model import Event
from engine.profile.calendar import next_time_of_day, zone_of
from engine.profile.model import Actor
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.model import Segment

LETTER = "d"
TIMER = "d:segments"
ENTERED, LEFT = "segment.entered", "segment.left"
NINE = 540  # minutes of the local day


def on_event(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Look at all segments after an event; the events about them come behind it."""
    actor = turn.actor
    segments: Sequence[Segment] = rules.segments
    if actor.dated == rules.version:  # nothing has changed them behind our back, as a merge does
        known, type = actor.segments, event.type
        segments = [
            each
            for each in segments
            if (since := known.get(each.name)) is None or not each.is_settled(since, type)
        ]
        if not segments:
            return
    at = max(event.at, actor.seen_at)
    _look(segments, turn, at, event.id, event.received_at, is_first=_is_new(actor))
    if _time_changes(rules, actor) and TIMER not in actor.timers:
        _arm(turn, at)


def on_look(rules: RuleSet, turn: Turn) -> None:
    """Look at all segments because staff wants it; who is in one already has not entered it."""
    _look(rules.segments, turn, turn.now, f"look|{turn.now}|{turn.node_id}", turn.now)
    if _time_changes(rules, turn.actor) and TIMER not in turn.actor.timers:
        _arm(turn, turn.now)


def on_timer(rules: RuleSet, turn: Turn, due: int) -> None:
    """Look at all segments because a day has passed."""
    _look(rules.segments, turn, due, f"{TIMER}|{due}|{turn.node_id}", due)
    if _time_changes(rules, turn.actor):
        _arm(turn, due + 1)


def _time_changes(rules: RuleSet, actor: Actor) -> bool:
    return rules.looks_daily or any(actor.segments.get(name) for name in rules.leaving)


def _arm(turn: Turn, at: int) -> None:
    due = next_time_of_day(at, NINE, zone_of(turn.actor))
    turn.arm(TIMER, due, lateness_ms=turn.lateness_ms("customer.identified"))


def _look(
    segments: Sequence[Segment],
    turn: Turn,
    at: int,
    cause: str,
    received_at: int,
    *,
    is_first: bool = False,
) -> None:
    actor = turn.actor
    known = actor.segments
    for segment in segments:
        inside = segment.condition.holds({}, actor, at)
        was = known.get(segment.name)
        if was is not None and inside == (was > 0):
            continue
        if was and not inside and segment.condition.is_open({}, actor, at):
            continue  # neither in nor out: who was in it stays
        known[segment.name] = at if inside else 0
        # Who was there before anybody asked has not entered just now.
        if was is not None or (inside and is_first):
            name = ENTERED if inside else LEFT
            event = turn.own_event(
                name,
                {"segment": segment.name},
                at=at,
                received_at=received_at,
                made_of=(turn.tenant, name, segment.name, cause),
            )
            turn.derived.append(event)


def _is_new(actor: Actor) -> bool:
    return sum(touch.count for touch in actor.touches.values()) == 1
