"""Which rules does an event, or a timer that is due, make come true? Decided in event time.

A positive step is decided when its record is applied; an absence when a tick has passed its due
time and the lateness of what was awaited (WIRE.md, Time). Rules that an event cannot concern are
never looked at: the rule set is indexed by kind of actor and event type.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.decision.decide import HELD, decide, held
from engine.decision.goals import reach_goals, take_back
from engine.decision.match import Match
from engine.events.model import Event
from engine.matching import absence, cancel, context, dates, guard, segments, silence, weekly
from engine.matching.partial import instance_of
from engine.matching.sequence import take
from engine.profile.model import Timer
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.listeners import Judge, Listener, Listeners, in_order
from engine.rules.model import Rule

_FAILED = "delivery.failed"
_AWAKE = ("live", "shadow")
_NOBODY: Mapping[str, Listeners] = {}


def on_event(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Let an event stop waits, take steps, reach goals; matches are decided at once."""
    actor, type = turn.actor, event.type
    if actor.goals and type in rules.goals:
        reach_goals(turn, event)
    if (listeners := rules.listeners.get(actor.kind, _NOBODY).get(type)) is not None:
        if listeners.ends:
            _stop(turn, listeners, event)
        concerned, data = listeners.steps, event.data
        for name, by_text in listeners.pinned:
            text = data.get(name)
            if text.__class__ is str and (wanting := by_text.get(text)) is not None:
                concerned = in_order(concerned, wanting)
        for judge in listeners.judges:
            try:
                chosen = judge.choose(data, actor, event.at)
            except Exception:  # a value of a wrong type, say: each is asked by itself, and says so
                chosen = judge.listeners
            else:
                if judge.doubted:
                    _doubts(turn, judge, chosen, event)
            if chosen:
                concerned = in_order(concerned, chosen)
        if concerned:
            _begin(turn, concerned, event)
    if rules.scheduled or rules.segments:
        _arm_schedules(rules, turn, event)
    if type == _FAILED:
        take_back(rules, turn, event)


def _stop(turn: Turn, listeners: Listeners, event: Event) -> None:
    """Let an event stop what waits for it not to come, and call off what it calls off."""
    for rule in listeners.absent:
        if rule.id not in turn.actor.rules and not absence.remembers(rule):
            continue  # nobody waits: there is nothing to stop
        if (instance := instance_of(rule, event)) is not None:
            _guarded(turn, rule, absence.stop, turn, rule, event, instance)
    for rule in listeners.cancels:
        if (instance := instance_of(rule, event)) is not None:
            _guarded(turn, rule, _called_off, turn, rule, event, instance)


def _begin(turn: Turn, concerned: tuple[Listener, ...], event: Event) -> None:
    """Let an event take the steps that it can take."""
    actor, data, at = turn.actor, event.data, event.at
    for _, rule, places, is_known in concerned:
        if not rule.is_simple:
            _guarded(turn, rule, _sequence, turn, rule, places, event)
            continue
        step = rule.steps[0]
        where = step.where
        if where is not None and not is_known:
            try:
                holds = where.holds({step.alias: data}, actor, at)
            except Exception as error:
                _broke(turn, rule, error)
                continue
            if not holds:
                if step.doubts is not None:
                    _guarded(turn, rule, _doubt, turn, rule, event)
                continue
        _guarded(turn, rule, _single, turn, rule, event)


def on_timer(rules: RuleSet, turn: Turn, timer_id: str, timer: Timer) -> None:
    """Decide an absence, a date or a match that quiet hours have held.

    A timer of another version of its rule has no effect, but for a date: the rule's new version
    takes it over.
    """
    kind, _, rest = timer_id.partition(":")
    if kind == segments.LETTER:
        segments.on_timer(rules, turn, timer.due)
        return
    name, _, instance = rest.partition(":")
    rule = rules.rules.get(name)
    if rule is None or rule.status not in _AWAKE:
        return
    if kind == dates.LETTER:
        _guarded(turn, rule, _date, turn, rule, timer)
    elif timer.data[0] != rule.version:
        return
    elif kind == absence.LETTER:
        _guarded(turn, rule, _absence, turn, rule, instance, timer.due)
    else:
        assert kind in (HELD, guard.LETTER), "timers of rules begin with w, s, d, q or g"
        _guarded(turn, rule, decide, turn, rule, held(timer.data, timer.due))


def on_look(rules: RuleSet, turn: Turn, silent_max_ms: int) -> None:
    """Let rules that begin with a date or a silence begin with a person who does nothing."""
    for rule in rules.scheduled:
        if rule.key == turn.actor.kind:
            _guarded(turn, rule, _catch_up, turn, rule, silent_max_ms)


def _doubts(turn: Turn, judge: Judge, chosen: tuple[Listener, ...], event: Event) -> None:
    """Look at those of a judge's rules whose conditions do not hold."""
    sure = {listener.rank for listener in chosen}
    for rank, rule, *_ in judge.doubted:
        if rank not in sure:
            _guarded(turn, rule, _doubt, turn, rule, event)


def _doubt(turn: Turn, rule: Rule, event: Event) -> None:
    """Count a condition that does not hold and does not fail either: something is missing."""
    step, actor = rule.steps[0], turn.actor
    if step.where is None or step.doubts is None:
        return
    if not step.doubts.are_justified(event.data, actor):
        return
    if step.where.is_open({step.alias: event.data}, actor, event.at):
        turn.outcome.count("unknown")
        turn.outcome.count(f"unknown:{rule.id}")


def _single(turn: Turn, rule: Rule, event: Event) -> None:
    """One event is the whole positive part, and it holds."""
    instance = instance_of(rule, event)
    if instance is None:
        return
    step = rule.steps[0]
    match = Match(
        cause=event.id,
        at=event.at,
        received_at=event.received_at,
        events={step.alias: rule.kept(step.event, event.data)},
        instance=instance,
        first_at=event.at,
        marks=[(event.at, event.id)],
    )
    _matched(turn, rule, match)


def _sequence(turn: Turn, rule: Rule, places: tuple[int, ...], event: Event) -> None:
    instance = instance_of(rule, event)
    if instance is not None:
        for match in take(turn, rule, places, event, instance):
            _matched(turn, rule, match)


def _absence(turn: Turn, rule: Rule, instance: str, due: int) -> None:
    for match in absence.come_up(turn, rule, instance, due):
        _act(turn, rule, match)
        cancel.review(turn, rule, instance)


def _called_off(turn: Turn, rule: Rule, event: Event, instance: str) -> None:
    cancel.call_off(turn, rule, event, instance)
    if rule.absent is not None:
        absence.look_again(turn, rule, instance)


def _arm_schedules(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Arm what an event may have moved; of a rule set that is new here, all that there is."""
    actor = turn.actor
    moved = rules.arming.get(event.type, rules.always)
    if actor.dated != rules.version:
        actor.dated, moved = rules.version, rules.scheduled
    for rule in moved:
        if rule.key == actor.kind:
            _guarded(turn, rule, _keep_armed, turn, rule, event.at)


def _keep_armed(turn: Turn, rule: Rule, at: int) -> None:
    schedule = rule.schedule
    assert schedule is not None
    if schedule.silent_ms:
        is_armed = silence.keep_armed(turn, rule)
    else:
        is_armed = (weekly if schedule.weekdays else dates).keep_armed(turn, rule, at)
    if not is_armed:
        turn.actor.dated = ""  # look again at the next event


def _catch_up(turn: Turn, rule: Rule, silent_max_ms: int) -> None:
    if rule.schedule is not None and rule.schedule.silent_ms:
        silence.catch_up(turn, rule, silent_max_ms)
    else:
        _keep_armed(turn, rule, turn.now)


def _date(turn: Turn, rule: Rule, timer: Timer) -> None:
    schedule = rule.schedule
    if schedule is None:
        return
    kind = silence if schedule.silent_ms else weekly if schedule.weekdays else dates
    match = kind.come_up(turn, rule, timer)
    if match is not None:
        _matched(turn, rule, match)


def _act(turn: Turn, rule: Rule, match: Match) -> None:
    if rule.context:
        context.ask(turn, rule, match)
    elif rule.guard is not None:
        guard.ask(turn, rule, rule.guard, match)
    else:
        decide(turn, rule, match)


def _matched(turn: Turn, rule: Rule, match: Match) -> None:
    match.waited = match.waited or turn.by_timer
    if rule.absent is None:
        _act(turn, rule, match)
        cancel.review(turn, rule, match.instance)
    else:
        absence.wait(turn, rule, match)


def _guarded(turn: Turn, rule: Rule, step: Callable[..., None], *arguments: Any) -> None:
    """Run one rule's part of a turn: a mistake of ours in it stops this rule, not the event.

    What it was about to send is taken back. Here and where conditions are asked the core catches
    anything (PROTOCOL.md 1.9): the offset must move on, and the other rules must not suffer.
    """
    sent = turn.emitted
    try:
        step(*arguments)
    except Exception as error:
        turn.emitted = sent
        _broke(turn, rule, error)


def _broke(turn: Turn, rule: Rule, error: Exception) -> None:
    """Count a mistake of ours in a rule; `runtime/partition/fuses.py` disables one that goes on."""
    turn.outcome.count("rule_errors")
    turn.outcome.count(f"rule_error:{rule.id}:{_place(error)}")
    turn.outcome.broken.append((rule.id, rule.version))


def _place(error: Exception) -> str:
    """Return what went wrong and where: a bounded set, as our own lines are."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    name = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__}@{name}:{trace.tb_lineno}"


__all__ = ["RuleSet", "on_event", "on_timer"]
