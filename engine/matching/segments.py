"""Segments that rules wait for: when a customer enters or leaves one, an event of ours says so.

Looked at when something happens to the customer, and at nine of each day where a segment says
`daily`: then time alone can change it. Mostly it only takes members out, so only they have a timer.
Days on which nothing would change if nothing happened are passed over: the timer looks ahead, and
whatever may move a segment brings it back. Only segments that an awake rule names are looked at.
"""

from collections.abc import Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

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
AHEAD_DAYS = 7  # as far as the timer looks; of who is silent a new rule set learns as late as that


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
    has_changed = _look(segments, turn, at, event.id, event.received_at, is_first=_is_new(actor))
    if TIMER not in actor.timers:
        if _time_changes(rules, actor):
            _arm(turn, at)
    elif has_changed or actor.dated != rules.version or _may_move(rules, event.type):
        bring_back(turn)


def on_look(rules: RuleSet, turn: Turn) -> None:
    """Look at all segments because staff wants it; who is in one already has not entered it."""
    _look(rules.segments, turn, turn.now, f"look|{turn.now}|{turn.node_id}", turn.now)
    if TIMER in turn.actor.timers:
        bring_back(turn)
    elif _time_changes(rules, turn.actor):
        _arm(turn, turn.now)


def on_timer(rules: RuleSet, turn: Turn, due: int) -> None:
    """Look at what time may have changed by a day's nine, and ahead to when it will again."""
    segments = _daily(rules, turn.actor)
    _look(segments, turn, due, f"{TIMER}|{due}|{turn.node_id}", due)
    if _time_changes(rules, turn.actor):
        _arm_ahead(rules, turn, due + 1)


def bring_back(turn: Turn) -> None:
    """Let the timer fire on the first day that it was to pass over and T has not passed."""
    timer = turn.actor.timers.get(TIMER)
    if timer is None or timer.data is None:
        return
    late_ms = timer.score - timer.due
    days = (day for day in timer.data if day + late_ms > turn.passed)
    turn.arm(TIMER, next(days, timer.due), lateness_ms=late_ms)


def _may_move(rules: RuleSet, event_type: str) -> bool:
    return any(each.moved_by is None or event_type in each.moved_by for each in rules.segments)


def _time_changes(rules: RuleSet, actor: Actor) -> bool:
    return rules.looks_daily or any(actor.segments.get(name) for name in rules.leaving)


def _daily(rules: RuleSet, actor: Actor) -> list[Segment]:
    """Return the segments that time may take this customer into or out of, or nobody asked for.

    After a merge also those that most events pass over: else ours about the others, by which all
    count as looked at, would hide what it has changed.
    """
    known, is_dated = actor.segments, actor.dated == rules.version
    return [
        each
        for each in rules.segments
        if (since := known.get(each.name)) is None
        or each.daily == "everybody"
        or (since and each.daily == "members")
        or (not is_dated and each.is_settled(since, ""))
    ]


def _arm(turn: Turn, at: int) -> None:
    _arm_at(turn, next_time_of_day(at, NINE, zone_of(turn.actor)))


def _arm_ahead(rules: RuleSet, turn: Turn, at: int) -> None:
    """Arm for the first nine at which a segment changes; its data: those that are passed over."""
    actor, zone = turn.actor, zone_of(turn.actor)
    segments = _daily(rules, actor)
    days = [_next_nine(at, zone)]
    if all(each.moved_by is not None for each in segments):  # else even timers may move it
        while len(days) < AHEAD_DAYS and not any(_changes(s, actor, days[-1]) for s in segments):
            days.append(_next_nine(days[-1] + 1, zone))
    _arm_at(turn, days.pop(), days)


@lru_cache(maxsize=1024)  # the days of a zone are the same for all of its customers
def _next_nine(at: int, zone: ZoneInfo) -> int:
    return next_time_of_day(at, NINE, zone)


def _arm_at(turn: Turn, due: int, passed_over: list[int] | None = None) -> None:
    late_ms = turn.lateness_ms("customer.identified")
    turn.arm(TIMER, due, lateness_ms=late_ms, data=passed_over or None)


def _look(
    segments: Sequence[Segment],
    turn: Turn,
    at: int,
    cause: str,
    received_at: int,
    *,
    is_first: bool = False,
) -> bool:
    """Note who is inside as of `at`, and tell of what is new; return whether anything is."""
    actor = turn.actor
    known = actor.segments
    has_changed = False
    for segment in segments:
        if not _changes(segment, actor, at):
            continue
        was, inside = known.get(segment.name), segment.condition.holds({}, actor, at)
        has_changed = True
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
            turn.derived += (event,)
    return has_changed


def _changes(segment: Segment, actor: Actor, at: int) -> bool:
    """Tell whether a customer is not where we know it to be; neither in nor out: it stays."""
    inside = segment.condition.holds({}, actor, at)
    was = actor.segments.get(segment.name)
    if was is None or inside != (was > 0):
        return inside or not was or not segment.condition.is_open({}, actor, at)
    return False


def _is_new(actor: Actor) -> bool:
    return sum(touch.count for touch in actor.touches.values()) == 1
