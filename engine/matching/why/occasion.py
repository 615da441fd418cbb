"""Why a rule acted on a customer, or why not: what one record came to, for one rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from engine.decision.decide import HELD
from engine.decision.holdout import outside
from engine.decision.limits import is_reached
from engine.decision.match import Match
from engine.decision.reach import ADDRESSES, NEEDS_NO_CONSENT
from engine.decision.words import untitled
from engine.events.model import Event
from engine.matching import absence, guard
from engine.matching.partial import Partial, instance_of, is_used
from engine.matching.segments import ENTERED, LEFT
from engine.matching.why.graded import LANGUAGES, Events, Graded, first_failing, graded, words_of
from engine.matching.why.incident import Incident
from engine.outcome import Note
from engine.profile.calendar import quiet_until, zone_of
from engine.profile.model import Actor, RuleState, Timer
from engine.rules.model import Rule, Segment, Table

ACTED = ("fired", "held_out", "shadow")
TRANSITIONS = (ENTERED, LEFT)
_GRADED = (*ACTED, "no_cell", "no_grade", "no_channel")


@dataclass(frozen=True, slots=True)
class Occasion:
    """One time at which a rule might have acted.

    `outcome`: one of ACTED; a stop of decision/decide.py; or of the steps: `where`, `missing` (a
    step's condition is false, or needs what is not there), `begun` (`step` of `steps` is done),
    `counted` (it wants several), `waits` (until `until`), `prevented` (what must not happen did),
    `called_off`, `instance` (the event does not say which), `asks` (whether many share its cause,
    until `until`), `changed` (another version of the rule ended what had begun); of a table:
    `no_cell` (nothing is to be done for these grades), `no_grade`; of a segment: `entered`, `left`,
    `member` (already, when it was first looked at); of a rule: `asleep`. `clause`: the first
    part of the condition that did not hold, by language, or what made a member; `values`: what it
    read. `told`: further facts for the words. `cause`: what a guard asked about. `at`: UTC ms.
    `instance`: which cart, order or booking, where the rule is `per` one. `times`: so often since
    `first_at` (UTC ms), of which this is the newest.
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
    table: tuple[Graded, ...] = ()
    cause: str | None = None
    incident: Incident | None = None
    times: int = 1
    first_at: int = 0
    instance: str = ""


def of_note(rule: Rule, note: Note, actor: Actor, *, rival: str) -> Occasion:
    """Return what became of a match; the actor is as the decision left it.

    `rival`: the other rule that acted last on this customer in one of the rule's groups, or ''.
    """
    match: Match = note.match
    found = Occasion(note.at, note.outcome, event_id=match.cause, instance=match.instance)
    if rule.guard is not None and note.outcome in (*ACTED, "systemic"):
        found = replace(found, cause=guard.cause_of(rule.guard, match, actor))
    if note.outcome in ("condition", "unknown"):
        found = _of_condition(rule, match, actor, found)
    if rule.table is not None and found.outcome in _GRADED:
        found = replace(found, table=graded(rule.table, match.events, actor, match.at))
    if note.outcome in ACTED:
        told = {"action": note.action, "channels": list(note.channels)}
        return replace(found, told={**told, "reason": _reason(rule, note, actor)})
    if note.outcome in ("condition", "unknown", "systemic"):
        return found
    if note.outcome == "scope":
        name, value = outside(rule, actor, note.customer, match.at)
        values = {} if name == "share" else {f"profile.{name}": value}
        return replace(found, told={"scope": name}, values=values)
    if note.outcome == "suppressed":
        until = max(actor.suppressed.get(group, 0) for group in rule.groups)
        return replace(found, until=until, told={"rival": rival})
    if note.outcome == "quiet" and rule.quiet is not None:
        until = quiet_until(match.at, rule.quiet, zone_of(actor)) or match.at
        return replace(found, until=until)
    if note.outcome == "limit":
        return replace(found, told=_limit(rule, actor, match.at, rival))
    if note.outcome == "no_channel":
        return replace(found, told={"channels": _ways(rule, match, actor)})
    return replace(found, until=match.at + rule.fresh_ms)


def _reason(rule: Rule, note: Note, actor: Actor) -> dict[str, str]:
    """Return by language what made it so, with its values: as the trigger says, without the title.

    A rule that only suppresses has no trigger: then what it is about, without values.
    """
    decided = (rule.id, note.at, note.match.instance)
    reasons = (
        entry["reason"]
        for entry in reversed(actor.triggers)
        if (entry["rule"], entry["at"], entry.get("instance", "")) == decided and "reason" in entry
    )
    found = next(reasons, None)
    if found is None:
        return {lang: rule.sentence.get(lang, "") for lang in LANGUAGES}
    return {lang: untitled(rule.title[lang], found[lang], lang) for lang in LANGUAGES}


def of_change(old: Rule, new: Rule, actor: Actor, at: int) -> Occasion | None:
    """Return that another version ended what had begun under the old one; None: nothing had."""
    state = actor.rules.get(old.id)
    begun = state is not None and state.version == old.version and bool(state.partial)
    starts = tuple(f"{letter}:{old.id}:" for letter in (absence.LETTER, guard.LETTER, HELD))
    waits = any(
        timer.data[0] == old.version
        for name, timer in actor.timers.items()
        if name.startswith(starts)
    )
    return Occasion(at, "changed") if old.version != new.version and (begun or waits) else None


def of_event(rule: Rule, event: Event, actor: Actor, *, waited: frozenset[str]) -> Occasion | None:
    """Return what an event that decided nothing came to; None if it does not concern the rule.

    `waited`: names of the rule's timers before it.
    """
    if event.type not in rule.hears:
        return None
    found = Occasion(event.at, "", event.type, event.id, instance=instance_of(rule, event) or "")
    if rule.per and not found.instance:
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
            return _taken(rule, event, place, actor, found)
        events = {**before, step.alias: event.data}
        clause, values, unknown = first_failing(step.where, events, actor, event.at)
        if not clause:
            return _taken(rule, event, place, actor, found)
        if event.type in TRANSITIONS:
            continue  # of another segment
        outcome = "missing" if unknown else "where"
        failed = failed or replace(
            found, outcome=outcome, step=place + 1, clause=clause, values=values
        )
    return failed


def of_asking(rule: Rule, timers: Mapping[str, Timer], actor: Actor) -> list[Occasion]:
    """Return the matches that have begun to wait for their incident; `timers`: the new ones."""
    found = []
    for timer in timers.values():
        match = msgspec.convert(timer.data[1], Match)
        cause = None if rule.guard is None else guard.cause_of(rule.guard, match, actor)
        outcome = "asks" if rule.guard is not None else "asks_context"
        asks = Occasion(
            match.at, outcome, event_id=match.cause, until=timer.due, cause=cause,
            instance=match.instance,
        )  # fmt: skip
        found.append(asks)
    return found


def of_segments(
    segments: Sequence[Segment], before: Mapping[str, int], actor: Actor, told: Mapping[str, int]
) -> list[Occasion]:
    """Return what a record changed about membership in some segments.

    `before`: the actor's segments before it. `told`: segment -> when an event of ours told of its
    change (UTC ms); a member without one was so when the segment was first looked at.
    """
    found = []
    for segment in segments:
        was, now = before.get(segment.name), actor.segments.get(segment.name)
        if now is None or bool(was) == bool(now):
            continue
        outcome = "left" if not now else "entered" if segment.name in told else "member"
        at = now or told.get(segment.name, actor.seen_at)
        if now:
            clause = words_of(segment.condition)
            values = segment.condition.inputs({}, actor, at)
        else:
            clause, values, _ = first_failing(segment.condition, {}, actor, at)
        title = {"segment": segment.title}
        found.append(Occasion(at, outcome, clause=clause, values=values, told=title))
    return found


def asking_of(rule: Rule, actor: Actor) -> dict[str, Timer]:
    """Return the rule's matches that wait for their incident: timer -> what waits."""
    start = f"{guard.LETTER}:{rule.id}:"
    return {name: timer for name, timer in actor.timers.items() if name.startswith(start)}


def segments_of(rule: Rule, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments whose change a rule waits for."""
    wanted = {
        name
        for step in rule.steps
        if step.event in TRANSITIONS and step.where is not None
        for names in step.where.reads.pins.values()
        for name in names
    }
    return tuple(segment for segment in segments if segment.name in wanted)


def waits_of(rule: Rule, actor: Actor) -> dict[str, int]:
    """Return the rule's armed waits: timer -> when it is due, UTC ms."""
    start = f"{absence.LETTER}:{rule.id}:"
    return {name: timer.due for name, timer in actor.timers.items() if name.startswith(start)}


def _of_condition(rule: Rule, match: Match, actor: Actor, found: Occasion) -> Occasion:
    """Return which part of `if` did not hold; where it does, the table had nothing to do."""
    clause: Mapping[str, str] = {}
    values: Mapping[str, Any] = {}
    if rule.condition is not None:
        clause, values, _ = first_failing(rule.condition, match.events, actor, match.at)
    if clause or rule.table is None:
        return replace(found, clause=clause, values=values)
    return replace(found, outcome=_no_answer(rule.table, match, actor))


def _no_answer(table: Table, match: Match, actor: Actor) -> str:
    known = table.grades(match.events, actor, match.at)
    return "no_grade" if known is None else "no_cell"


def _taken(rule: Rule, event: Event, place: int, actor: Actor, found: Occasion) -> Occasion:
    waits, step = waits_of(rule, actor), rule.steps[place]
    if waits and rule.absent is not None and place == len(rule.steps) - 1:
        until = min(waits.values())
        return replace(found, outcome="waits", until=until, told={"for": rule.absent.event})
    told = {"steps": len(rule.steps), "times": step.times, "for_ms": step.within_ms}
    if step.times == 1 or not (seen := _seen(rule, event, place, actor)):
        return replace(found, outcome="begun", step=place + 1, told=told)
    told["seen"] = seen
    return replace(found, outcome="counted", step=place + 1, told=told)


def _before(rule: Rule, actor: Actor, event: Event, place: int) -> Events:
    """Return the events of the steps before one, as the rule remembers them."""
    partial = _partial(rule, actor, event) if place else None
    runs = () if partial is None else partial.runs
    return next((run.match.events for run in runs if run.place == place), {})


def _seen(rule: Rule, event: Event, place: int, actor: Actor) -> int:
    """Return how many events a step that wants several has by now, an event of it included.

    0 where that is no longer asked: a match is under way that has it, or for which it is ignored.
    """
    partial, since = _partial(rule, actor, event), event.at - (rule.steps[place].within_ms or 0)
    if partial is None:
        return 1
    if place:
        return max((len(run.seen) for run in partial.runs if run.place == place), default=1)
    last = partial.runs[-1] if partial.runs else None
    if last is not None and is_used(rule, last, (event.at, event.id)):
        return 0
    used = partial.waits[-1].mark if partial.waits else (0, "")
    near = [mark for mark in partial.seen if mark[0] > since and mark > used]
    return sum(last is None or not is_used(rule, last, mark) for mark in near)


def _partial(rule: Rule, actor: Actor, event: Event) -> Partial | None:
    if (state := actor.rules.get(rule.id)) is None:
        return None
    found = state.partial.get(instance_of(rule, event) or "")
    return found if isinstance(found, Partial) else None


def _limit(rule: Rule, actor: Actor, at: int, rival: str) -> dict[str, Any]:
    state, zone = actor.rules.get(rule.id, RuleState()), zone_of(actor)
    for limit in rule.limits:
        if is_reached(limit, rule, actor, state, at, zone):
            fired = actor.groups.get(limit.group, []) if limit.group else state.fired
            told = {"count": limit.count, "span_ms": limit.span_ms, "group": limit.group}
            return {**told, "fired": fired[-limit.count :], "rival": rival if limit.group else ""}
    return {}


def _ways(rule: Rule, match: Match, actor: Actor) -> dict[str, str]:
    """Return why each channel cannot be used: `address` or `consent` is missing."""
    found = {}
    actions = rule.actions
    if rule.table is not None:
        grades = rule.table.grades(match.events, actor, match.at) or {}
        actions = tuple(actions[i] for i in rule.table.cells.get(tuple(grades.values()), ()))
    for channel in dict.fromkeys(way for action in actions for way in action.channels):
        needed = ADDRESSES.get(channel)
        if needed is not None and not any(name in actor.keys for name in needed):
            found[channel] = "address"
        elif rule.kind != "service" and channel not in NEEDS_NO_CONSENT:
            consent = actor.traits.get(f"consent.{channel}")
            if consent is None or consent.value is not True:
                found[channel] = "consent"
    return found
