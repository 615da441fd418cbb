"""A rule in one sentence: what must happen, what must not, under which condition; in zh and en."""

from collections.abc import Iterator, Mapping

from engine.events.contract import Contracts
from engine.rules.expression.words import field, length
from engine.rules.model import STATUSES as STATUSES_OF_RULES
from engine.rules.model import Rule, Schedule, Step
from engine.rules.scopes import FACTS

LANGUAGES = ("zh", "en")
STATUSES = {  # those of a rule, and of one that broke too often and was switched off
    "en": {each: each for each in (*STATUSES_OF_RULES, "disabled")},
    "zh": {
        "draft": "草稿",
        "shadow": "影子",
        "live": "生效",
        "paused": "暂停",
        "retired": "已下线",
        "disabled": "已停用",
    },
}


class Sentences(Mapping[str, str]):
    """The sentence by language, made when it is first asked for: of most rules it never is."""

    __slots__ = ("_contracts", "_known", "_rule")

    def __init__(self, rule: Rule, contracts: Contracts) -> None:
        self._rule = rule
        self._contracts = contracts
        self._known: dict[str, str] = {}

    def __getitem__(self, lang: str) -> str:
        if lang not in self._known:
            if lang not in LANGUAGES:
                raise KeyError(lang)
            self._known[lang] = _sentence(self._rule, self._contracts, lang)
        return self._known[lang]

    def __iter__(self) -> Iterator[str]:
        return iter(LANGUAGES)

    def __len__(self) -> int:
        return len(LANGUAGES)


def _sentence(rule: Rule, contracts: Contracts, lang: str) -> str:
    parts = [] if rule.schedule is None else [_date(rule.schedule, contracts, lang)]
    for index, step in enumerate(rule.steps):
        parts.append(_happened(step, contracts, lang, is_first=index == 0))
    if rule.absent is not None:
        parts.append(_missing(rule.absent, contracts, lang))
    for step in rule.cancels:
        parts.append(_off(step, contracts, lang))
    if rule.condition is not None:
        parts.append(rule.condition.words(lang))
    if rule.table is not None:
        names = [axis.name for axis in rule.table.axes]
        graded = {"en": "graded by " + " and ".join(names), "zh": "按" + "与".join(names) + "分级"}
        parts.append(graded[lang])
    if rule.guard is not None:
        held = {
            "en": f"held back if more than {rule.guard.more_than} customers share the cause",
            "zh": f"同因客户超过{rule.guard.more_than}位则不发送",
        }
        parts.append(held[lang])
    text = {"en": "; ", "zh": "；"}[lang].join(parts)
    return text[:1].upper() + text[1:] if lang == "en" else text


def _date(schedule: Schedule, contracts: Contracts, lang: str) -> str:
    if schedule.weekdays:
        return weekly(schedule, lang)
    if schedule.silent_ms:
        span = length(schedule.silent_ms, lang)
        if not schedule.event:
            words = {"en": f"nothing from the customer for {span}", "zh": f"{span}没有任何互动"}
            return words[lang]
        name = _name(schedule.event, contracts, lang)
        return {"en": f"no {name} for {span}", "zh": f"{span}没有{name}"}[lang]
    fact = FACTS.get(schedule.fact)
    label = field(schedule.fact, lang) if fact is None else fact.en if lang == "en" else fact.zh
    if schedule.yearly and fact is not None and fact.base == "time":  # of what happened once
        label += {"en": " anniversary", "zh": "周年"}[lang]
    if not schedule.before_ms:
        return {"en": f"{label}: today", "zh": f"今天是{label}"}[lang]
    span = length(schedule.before_ms, lang)
    return {"en": f"{label}: in {span}", "zh": f"距{label}还有{span}"}[lang]


def weekly(schedule: Schedule, lang: str) -> str:
    """Return when a weekly schedule comes true, in words."""
    hour, minute = divmod(schedule.at_minutes, 60)
    clock, days = f"{hour:02d}:{minute:02d}", schedule.weekdays
    if len(days) == len(_WEEKDAYS["en"]):
        return {"en": f"every day at {clock}", "zh": f"每天{clock}"}[lang]
    names = [_WEEKDAYS[lang][day - 1] for day in days]
    joined = {"en": " and ", "zh": "、"}[lang].join(names)
    return {"en": f"every {joined} at {clock}", "zh": f"每{joined}{clock}"}[lang]


_WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}


def _happened(step: Step, contracts: Contracts, lang: str, *, is_first: bool) -> str:
    name = _name(step.event, contracts, lang)
    if step.within_ms is not None and step.times > 1:
        span = length(step.within_ms, lang)
        name = {
            "en": f"{name} {step.times} times within {span}",
            "zh": f"{span}内{name}{step.times}次",
        }[lang]
    elif step.within_ms is not None:
        span = length(step.within_ms, lang)
        name = {"en": f"{name} within {span}", "zh": f"{span}内{name}"}[lang]
    if not is_first:
        name = {"en": f"then {name}", "zh": f"随后{name}"}[lang]
    if step.where is not None:
        condition = step.where.words(lang)
        name = {"en": f"{name} where {condition}", "zh": f"{name}（{condition}）"}[lang]
    return name


def _missing(step: Step, contracts: Contracts, lang: str) -> str:
    name = _name(step.event, contracts, lang)
    if step.within_ms is None:
        return {"en": f"no {name} in time", "zh": f"未按时{name}"}[lang]
    span = length(step.within_ms, lang)
    return {"en": f"no {name} for {span}", "zh": f"{span}内没有{name}"}[lang]


def _off(step: Step, contracts: Contracts, lang: str) -> str:
    name = _name(step.event, contracts, lang)
    if step.where is not None:
        condition = step.where.words(lang)
        name = {"en": f"{name} where {condition}", "zh": f"{name}（{condition}）"}[lang]
    return {"en": f"called off by {name}", "zh": f"遇{name}则取消"}[lang]


def _name(event: str, contracts: Contracts, lang: str) -> str:
    contract = contracts.get(event)
    title = contract.title.get(lang, event) if contract else event
    return title[:1].lower() + title[1:] if lang == "en" else title
