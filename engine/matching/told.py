"""An occasion in words, Chinese and English: what a marketer reads under "why" and "why not"."""

from collections.abc import Mapping
from typing import Any

from engine.clock import iso
from engine.events.contract import Contracts
from engine.matching.explain import Occasion
from engine.profile.calendar import local
from engine.rules.expression.words import length
from engine.rules.model import Rule

SHOWN_MAX = 6
LENGTH_MAX = 60  # of one value
_WORDS = {
    "fired": ("It acted: {action}{ways}.", "已触发：{action}{ways}。"),
    "held_out": (
        "It would have acted; the customer is in the comparison group.",
        "条件已满足，但客户属于对照组，未触达。",
    ),
    "shadow": ("It would have acted; the rule only watches.", "条件已满足，但规则处于影子状态。"),
    "condition": ("The condition did not hold: {clause}{values}.",
                  "条件不成立：{clause}{values}。"),
    "unknown": (
        "The condition needs what is not known: {clause}{values}.",
        "条件所需的数据缺失：{clause}{values}。",
    ),
    "where": ("Step {step} did not take the {event}: {clause}{values}.",
              "第{step}步未匹配「{event}」：{clause}{values}。"),
    "missing": (
        "Step {step} needs what the {event} does not say: {clause}{values}.",
        "第{step}步所需数据在「{event}」中缺失：{clause}{values}。",
    ),
    "instance": ("The {event} has no {field}, so it is of no instance of the rule.",
                 "「{event}」缺少{field}，无法归入规则的任何实例。"),
    "begun": ("Step {step} of {steps} took the {event}; the rest has not happened yet.",
              "「{event}」完成第{step}步（共{steps}步），其余尚未发生。"),
    "waits": ("It waits until {until} for {for} not to happen.",
              "等待至{until}，期间若无「{for}」则触发。"),
    "prevented": ("What must not happen did, in time: {event}.",
                  "等待期间发生了「{event}」，因此未触发。"),
    "called_off": ("It was called off: {event}.", "已被「{event}」取消。"),
    "expired": ("It came too late: worth acting on until {until} only.",
                "已过时效：仅在{until}之前有意义。"),
    "suppressed": ("The customer gets nothing of this kind until {until}{rival}.",
                   "该客户在{until}之前不接收此类触达{rival}。"),
    "quiet": ("Quiet hours: held until {until}, then asked again.",
              "处于静默时段：推迟至{until}再判断。"),
    "limit": ("Often enough: {limit}{fired}{rival}.", "已达频次上限：{limit}{fired}{rival}。"),
    "no_channel": ("No way to reach the customer: {ways}.", "没有可用的触达渠道：{ways}。"),
}  # fmt: skip
_NONE = ("no cell of the table is for these grades", "表中没有对应的格子")
_MISSING = {"address": ("no address", "无地址"), "consent": ("no consent", "未授权")}


def told(rule: Rule, occasion: Occasion, contracts: Contracts, zone: Any, lang: str) -> str:
    """Return an occasion in words of `lang`, zh or en; times in `zone`."""
    place = 0 if lang == "en" else 1
    facts = occasion.told
    clause = occasion.clause.get(lang, "") or _NONE[place]
    words = {
        "clause": clause,
        "values": _values(occasion.values, lang),
        "event": _event(occasion.event, contracts, lang),
        "for": _event(str(facts.get("for", "")), contracts, lang),
        "until": _time(occasion.until, zone),
        "step": occasion.step,
        "steps": facts.get("steps", 1),
        "field": facts.get("field", ""),
        "action": facts.get("action", ""),
        "ways": _ways(facts.get("channels", ()), lang),
        "limit": _limit(facts, lang),
        "fired": _fired(facts, zone, lang),
        "rival": _rival(facts, lang),
    }
    return _WORDS[occasion.outcome][place].format(**words)


def _values(values: Mapping[str, Any], lang: str) -> str:
    if not values:
        return ""
    unknown = {"en": "not known", "zh": "未知"}[lang]
    shown = [
        f"{name} = {unknown if value is None else _value(value)}"
        for name, value in list(values.items())[:SHOWN_MAX]
    ]
    return f" ({', '.join(shown)})" if lang == "en" else f"（{'，'.join(shown)}）"


def _value(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LENGTH_MAX else text[:LENGTH_MAX] + "..."


def _event(name: str, contracts: Contracts, lang: str) -> str:
    contract = contracts.get(name)
    return contract.title.get(lang, name) if contract else name


def _time(at: int, zone: Any) -> str:
    return local(at, zone).strftime("%Y-%m-%d %H:%M") if at else iso(0)


def _ways(channels: Any, lang: str) -> str:
    if isinstance(channels, Mapping):
        place = 0 if lang == "en" else 1
        return ", ".join(f"{way}: {_MISSING[why][place]}" for way, why in channels.items())
    return f" ({' > '.join(channels)})" if channels else ""


def _limit(facts: Mapping[str, Any], lang: str) -> str:
    if "count" not in facts:
        return ""
    count, span, group = facts["count"], facts["span_ms"], facts["group"]
    if lang == "en":
        per = "a day" if span is None else f"in {length(span, lang)}"
        return f"{count} {per}" + (f" in group {group}" if group else "")
    per = "每天" if span is None else f"{length(span, lang)}内"
    return f"{per}最多{count}次" + (f"（组 {group}）" if group else "")


def _fired(facts: Mapping[str, Any], zone: Any, lang: str) -> str:
    times = [_time(at, zone) for at in facts.get("fired", ())][-3:]
    if not times:
        return ""
    return f", reached at {', '.join(times)}" if lang == "en" else f"，已于{'、'.join(times)}触发"


def _rival(facts: Mapping[str, Any], lang: str) -> str:
    rival = facts.get("rival")
    if not rival:
        return ""
    return f"; rule {rival} was first" if lang == "en" else f"；规则 {rival} 在先"
