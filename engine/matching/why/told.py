"""An occasion in words, Chinese and English: what a marketer reads under "why" and "why not"."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.clock import iso
from engine.decision.words import SHOWN_MAX, value_list, value_words
from engine.events.contract import Contracts
from engine.matching.why.graded import Graded
from engine.matching.why.incident import Incident
from engine.matching.why.occasion import Occasion
from engine.matching.why.words import ACTIONS, KINDS, OF_THINGS, OFTEN, WORDS
from engine.profile.calendar import local
from engine.rules.expression.words import field, length
from engine.rules.model import Rule
from engine.rules.sentence import STATUSES

_COLON = {"en": ": ", "zh": "："}
_MISSING = {"address": ("no address", "无地址"), "consent": ("no consent", "未授权")}


def told(rule: Rule, occasion: Occasion, contracts: Contracts, zone: Any, lang: str) -> str:
    """Return an occasion in words of `lang`, zh or en; times in `zone`."""
    place = 0 if lang == "en" else 1
    facts = occasion.told
    words = {
        "clause": occasion.clause.get(lang, ""),
        "values": _values(occasion.values, lang),
        "who": KINDS[rule.key][place],
        "event": event_name(occasion.event, contracts, lang),
        "for": event_name(str(facts.get("for", "")), contracts, lang),
        "until": time_of(occasion.until, zone),
        "step": occasion.step,
        "steps": facts.get("steps", 1),
        "times": facts.get("times", 1),
        "seen": facts.get("seen", 1),
        "span": length(facts.get("for_ms") or 0, lang),
        "field": facts.get("field", ""),
        "action": action_words(*str(facts.get("action", "")).split(" ", 1), lang=lang),
        "ways": _ways(facts.get("channels", ()), lang),
        "limit": _limit(facts, lang),
        "fired": _fired(facts, zone, lang),
        "rival": _rival(facts, lang),
        "table": _table(occasion.table, lang),
        "incident": _incident(occasion.incident, zone, lang),
        "reason": _reason(facts, lang),
        "status": STATUSES[lang][rule.status],
        "scope": _scope(rule, str(facts.get("scope", "")), lang),
        "segment": facts.get("segment", {}).get(lang, ""),
        **_scheduled(occasion, contracts, zone, lang),
    }
    forms = WORDS[occasion.outcome]
    if rule.key != "person":
        forms = OF_THINGS.get(occasion.outcome, forms)
    text = forms[place].format(**words)
    if occasion.instance:
        text = f"{field(rule.per, lang)} {occasion.instance}{_COLON[lang]}{text}"
    if occasion.times > 1:
        since = time_of(occasion.first_at, zone)
        text += OFTEN[place].format(times=occasion.times, since=since)
    return text


def _values(values: Mapping[str, Any], lang: str) -> str:
    unknown = {"en": "not known", "zh": "未知"}[lang]
    shown = [
        f"{name} = {unknown if value is None else value_words(value)}"
        for name, value in list(values.items())[:SHOWN_MAX]
    ]
    return value_list(shown, lang)


def event_name(name: str, contracts: Contracts, lang: str) -> str:
    """Return the title of an event type, its name without one."""
    contract = contracts.get(name)
    return contract.title.get(lang, name) if contract else name


def action_words(type: str, name: str = "", *, lang: str) -> str:
    """Return what a rule does, an action of a type with a name, in words."""
    forms = ACTIONS.get(type)
    return forms[0 if lang == "en" else 1].format(name) if forms else f"{type} {name}".strip()


def time_of(at: int, zone: Any) -> str:
    """Return an instant (UTC ms) as people of a time zone write it."""
    return local(at, zone).strftime("%Y-%m-%d %H:%M") if at else iso(0)


def _ways(channels: Any, lang: str) -> str:
    if isinstance(channels, Mapping):
        if lang == "en":
            return ", ".join(f"{way}: {_MISSING[why][0]}" for way, why in channels.items())
        return "，".join(f"{way} {_MISSING[why][1]}" for way, why in channels.items())
    if not channels:
        return ""
    ways_in_turn = " > ".join(channels)
    return f" ({ways_in_turn})" if lang == "en" else f"（{ways_in_turn}）"


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
    times = [time_of(at, zone) for at in facts.get("fired", ())][-3:]
    if not times:
        return ""
    return f", reached at {', '.join(times)}" if lang == "en" else f"，已于{'、'.join(times)}触发"


def _rival(facts: Mapping[str, Any], lang: str) -> str:
    rival = facts.get("rival")
    if not rival:
        return ""
    return f"; rule {rival} was first" if lang == "en" else f"；规则 {rival} 在先"


def _reason(facts: Mapping[str, Any], lang: str) -> str:
    """Say what made it so, as a sentence of its own."""
    reason = facts.get("reason", {}).get(lang, "")
    return {"en": f" {reason}.", "zh": f"{reason}。"}[lang] if reason else ""


def _scope(rule: Rule, name: str, lang: str) -> str:
    """Say of a pilot what keeps a customer out of it."""
    scope = rule.scope
    if scope is None or not name:
        return ""
    if name == "share":
        shown = f"{scope.share:.0%}"
        of = "the customers" if rule.key == "person" else "all"
        return {"en": f"on {shown} of {of}", "zh": f"仅对{shown}的{KINDS[rule.key][1]}"}[lang]
    some = sorted(scope.facts[name])
    is_cut = len(some) > SHOWN_MAX
    if lang == "en":
        return f"where {name} is {', '.join(some[:SHOWN_MAX])}{' ...' * is_cut}"
    return f"仅限 {name} 为 {'、'.join(some[:SHOWN_MAX])}{'等' * is_cut}"


def _table(found: Sequence[Graded], lang: str) -> str:
    """Say which row and column were taken, and what made it so."""
    if not found:
        return ""
    if lang == "en":
        return "; by the table: " + ", ".join(_graded(each, lang) for each in found)
    return "；分级：" + "，".join(_graded(each, lang) for each in found)


def _graded(each: Graded, lang: str) -> str:
    clause, values = each.clause.get(lang, ""), _values(each.values, lang)
    if lang == "en":
        if not each.grade:
            return f"{each.scale} none, since it does not hold that {clause}{values}"
        return f"{each.scale} {each.grade}, since {clause or 'nothing before it holds'}{values}"
    if not each.grade:
        return f"{each.scale} 无档位，未满足：{clause}{values}"
    return f"{each.scale} {each.grade}，因为{clause or '前面的档位均不成立'}{values}"


def _incident(found: Incident | None, zone: Any, lang: str) -> str:
    """Say how many shared the cause, what was allowed, and when the guard let go again."""
    if found is None:
        return ""
    span, tripped = length(found.within_ms, lang), time_of(found.tripped_at, zone)
    released = time_of(found.released_at, zone)
    if lang == "en":
        text = f"; cause {found.cause}: {found.customers} customers in {span}, "
        text += f"{found.more_than} are allowed"
        held = f"; nobody is sent anything from {tripped} until {released}, and one case was raised"
        return text + (held if found.tripped_at else "")
    text = f"；{span}内同因（{found.cause}）客户{found.customers}位，上限{found.more_than}位"
    if not found.tripped_at:
        return text
    return text + f"；{tripped}起暂停发送并上报一个工单，至{released}恢复"


def _scheduled(occasion: Occasion, contracts: Contracts, zone: Any, lang: str) -> dict[str, str]:
    facts = occasion.told
    event = event_name(occasion.event, contracts, lang)
    sign = event[:1].lower() + event[1:] if event else {"en": "sign of life", "zh": "互动"}[lang]
    done = str(facts.get("done") or "")
    shown = {"en": f"; the last one was {done}", "zh": f"；上一次为{done}"}[lang] if done else ""
    return {
        "since": time_of(facts.get("since", 0), zone),
        "sign": sign,
        "fact": facts.get("label", {}).get(lang) or str(facts.get("fact", "")),
        "value": str(facts.get("value", "")),
        "done": shown,
    }
