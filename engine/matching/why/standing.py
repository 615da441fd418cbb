"""What a rule waits for from a customer as of now: a segment's change, a date, a silence's end."""

from collections.abc import Sequence
from dataclasses import replace

from engine.clock import parse_iso
from engine.matching import silence
from engine.matching.why.graded import LANGUAGES, first_failing, words_of
from engine.matching.why.occasion import Occasion, segments_of
from engine.profile import schema
from engine.profile.calendar import day_of, zone_of
from engine.profile.model import Actor
from engine.rules.expression.words import field
from engine.rules.model import Rule, Segment
from engine.rules.sentence import weekly

AWAKE = ("live", "shadow")
_FACTS = schema.schema()


def standing(rule: Rule, segments: Sequence[Segment], actor: Actor, now: int) -> list[Occasion]:
    """Return what holds at `now` (UTC ms): of each segment, and of the schedule, one thing.

    Of a rule that does not act that alone: `asleep`. Else `inside` (since `until`), `outside`,
    `unasked` of a segment; of a silence `silent` (until `until` at the earliest), `silence_told`,
    `silence_never`, `silence_unwatched`; of a week `weekly` (next at `until`), `weekly_unwatched`;
    of a date `date_waits` (until `until`), `date_none`, `date_over`, `date_unreadable`,
    `date_unwatched`.
    """
    if rule.status not in AWAKE:
        return [Occasion(now, "asleep")]
    found = [_of_segment(each, actor, now) for each in segments_of(rule, segments)]
    if rule.schedule is not None:
        schedule = rule.schedule
        of = _of_silence if schedule.silent_ms else _of_week if schedule.weekdays else _of_date
        found.append(of(rule, actor, now))
    return found


def _of_segment(segment: Segment, actor: Actor, now: int) -> Occasion:
    since = actor.segments.get(segment.name)
    found = Occasion(now, "unasked", told={"segment": segment.title})
    if since is None:
        return found
    if since:
        values = segment.condition.inputs({}, actor, now)
        clause = words_of(segment.condition)
        return replace(found, outcome="inside", clause=clause, values=values, until=since)
    clause, values, _ = first_failing(segment.condition, {}, actor, now)
    return replace(found, outcome="outside", clause=clause, values=values)


def _of_silence(rule: Rule, actor: Actor, now: int) -> Occasion:
    schedule, last = rule.schedule, silence.last_sign(actor, rule)
    assert schedule is not None
    found = Occasion(now, "silence_never", event=schedule.event)
    if last is None:
        return found
    told = {"since": last, "for_ms": schedule.silent_ms}
    until = silence.due_at(actor, schedule, last)
    if silence.is_told(actor, rule, last):
        outcome = "silence_told"
    else:
        timer = actor.timers.get(f"{silence.LETTER}:{rule.id}")
        outcome = "silence_unwatched" if timer is None else "silent"
        until = until if timer is None else max(until, timer.due)
    return replace(found, outcome=outcome, until=until, told=told)


def _of_week(rule: Rule, actor: Actor, now: int) -> Occasion:
    assert rule.schedule is not None
    words = {lang: weekly(rule.schedule, lang) for lang in LANGUAGES}
    timer = actor.timers.get(f"{silence.LETTER}:{rule.id}")
    found = Occasion(now, "weekly_unwatched", told={"label": words})
    return found if timer is None else replace(found, outcome="weekly", until=timer.due)


def _of_date(rule: Rule, actor: Actor, now: int) -> Occasion:
    schedule = rule.schedule
    assert schedule is not None
    value = schema.read(_FACTS, schedule.fact, actor, now)
    fact = _FACTS.get(schedule.fact)
    label = {lang: field(schedule.fact, lang) for lang in LANGUAGES}
    if fact is not None:
        label = {"en": fact.en, "zh": fact.zh}
    if isinstance(value, int | float):
        value = day_of(int(value), zone_of(actor))
    state = actor.rules.get(rule.id)
    basis = state.schedule.get("for") if state is not None else None
    done = state.schedule.get("done", "") if state is not None else ""
    told = {"fact": schedule.fact, "label": label, "value": value, "done": done}
    found = Occasion(now, "date_none", told=told)
    timer = actor.timers.get(f"{silence.LETTER}:{rule.id}")
    if timer is not None:
        return replace(found, outcome="date_waits", until=timer.due)
    if value is None:
        return found
    if not basis or basis[0] != rule.version:
        return replace(found, outcome="date_unwatched")
    return replace(found, outcome="date_over" if _is_date(str(value)) else "date_unreadable")


def _is_date(text: str) -> bool:
    try:
        parse_iso(f"{text[:10]}T00:00:00Z")
    except ValueError:
        return False
    return True
