"""What a customer's or a thing's timers wait for, in words: what somebody at a desk reads."""

from typing import Any

from engine.churn.step import TIMER_LETTERS
from engine.clock import iso
from engine.matching import absence, segments, silence
from engine.matching.cancel import ASKING
from engine.matching.why.graded import LANGUAGES
from engine.matching.why.standing import AWAKE, standing
from engine.matching.why.told import action_words, event_name, time_of, told
from engine.profile.calendar import day_of, zone_of
from engine.profile.model import Actor, Timer
from engine.rules.compile import RuleSet
from engine.rules.expression.words import field
from engine.rules.model import Rule

ACTIONS_MAX = 3  # that are told
_COLON = {"en": ": ", "zh": "："}
NOW = {"en": "Now: ", "zh": "当前："}
WAITS = {
    "absent": ("{title}: unless {event} comes by {until}, {then}.",
               "{title}：若到{until}仍没有「{event}」，则{then}。"),
    "held": ("{title}: quiet hours until {until}, then {then}.",
             "{title}：静默时段，{until}再判断，届时{then}。"),
    "asks": ("{title}: waits until {until} whether many share the cause, then {then}.",
             "{title}：等待至{until}，以确认是否多位客户同因，然后{then}。"),
    "context": ("{title}: asks the customer's city, until {until} at most, then {then}.",
                "{title}：正在询问客户所在城市，最迟{until}，然后{then}。"),
    "ended": ("{title}: the rule has changed or acts no more, so nothing comes of this wait.",
              "{title}：规则已改动或不再生效，此等待不会有结果。"),
    "groups": ("{until}: is the customer still in the same groups?",
               "{until}：重新判断客户所在分群。"),
    "risk": ("{until}: the churn risk rises, if nothing comes until then.",
             "{until}：若届时仍无互动，流失风险上升。"),
    "label": ("{until}: did the customer come back? For the churn model.",
              "{until}：记录客户是否回来，供流失模型学习。"),
}  # fmt: skip


def waiting(rules: RuleSet, actor: Actor, now: int) -> list[dict[str, Any]]:
    """Return each timer with its due time and its words by language; those of rules first.

    Times in the words are of the actor's own zone. `now`: UTC ms.
    """
    ranked = sorted(actor.timers.items(), key=lambda item: (_is_ours(item[0]), item[1].due))
    return [
        {
            "timer": name,
            "due": iso(timer.due),
            "words": {lang: _words(rules, actor, name, timer, now, lang) for lang in LANGUAGES},
        }
        for name, timer in ranked
    ]


def _is_ours(name: str) -> bool:
    return name[0] == segments.LETTER or name[0] in TIMER_LETTERS


def _words(rules: RuleSet, actor: Actor, name: str, timer: Timer, now: int, lang: str) -> str:
    zone, place = zone_of(actor), 0 if lang == "en" else 1
    until = time_of(timer.due, zone)
    if day_of(timer.due, zone) == day_of(now, zone):
        until = until[-len("HH:MM") :]
    if _is_ours(name):
        kind = "groups" if name[0] == segments.LETTER else "risk" if name[0] == "k" else "label"
        return WAITS[kind][place].format(until=until)
    letter, _, rest = name.partition(":")
    rule_id, _, instance = rest.partition(":")
    rule = rules.rules.get(rule_id)
    if rule is None or rule.status not in AWAKE or not _is_of(rule, letter, timer):
        title = rule_id if rule is None else rule.title[lang]
        return WAITS["ended"][place].format(title=title)
    title = _title(rule, instance, lang)
    if letter == silence.LETTER:
        found = standing(rule, (), actor, now)[-1]
        text = told(rule, found, rules.contracts, zone, lang).removeprefix(NOW[lang])
        return f"{title}{_COLON[lang]}{text}"
    event = "" if rule.absent is None else event_name(rule.absent.event, rules.contracts, lang)
    return WAITS[_kind(rule, letter)][place].format(
        title=title, event=event, until=until, then=_then(rule, lang)
    )


def _is_of(rule: Rule, letter: str, timer: Timer) -> bool:
    """Tell whether a timer is of this version of its rule; that of a date is taken over."""
    return letter == silence.LETTER or timer.data[0] == rule.version


def _kind(rule: Rule, letter: str) -> str:
    if letter == absence.LETTER:
        return "absent"
    if letter == ASKING:
        return "context" if rule.context else "asks"
    return "held"


def _title(rule: Rule, instance: str, lang: str) -> str:
    title = rule.title[lang]
    if not instance:
        return title
    of = f"{field(rule.per, lang)} {instance}"
    return f"{title} ({of})" if lang == "en" else f"{title}（{of}）"


def _then(rule: Rule, lang: str) -> str:
    """Return what the rule does when the wait is over, and what must hold then."""
    comma = {"en": ", ", "zh": "，"}[lang]
    done = comma.join(
        action_words(action.type, action.name, lang=lang) for action in rule.actions[:ACTIONS_MAX]
    )
    if rule.table is not None:
        done = {"en": "what its table says", "zh": "按分级表执行"}[lang]
    if rule.condition is None:
        return done
    condition = rule.condition.words(lang)
    return {"en": f"{done}, if {condition}", "zh": f"{done}（条件：{condition}）"}[lang]
