"""Why a trigger fired, in words that a marketer understands, in English and Chinese."""

from collections.abc import Mapping

from engine.decision.match import Match
from engine.events.contract import Contracts
from engine.rules.expression.words import length
from engine.rules.model import Rule, Step

LANGUAGES = ("zh", "en")
_SHOWN_MAX = 6
_ENDS = {"en": (". ", "; ", "."), "zh": ("。", ";", "。")}


def reasons(
    rule: Rule, match: Match, inputs: Mapping[str, object], contracts: Contracts
) -> dict[str, str]:
    """Return the reason by language: what happened, what did not, and on which values."""
    return {lang: _reason(rule, match, inputs, contracts, lang) for lang in LANGUAGES}


def _reason(
    rule: Rule, match: Match, inputs: Mapping[str, object], contracts: Contracts, lang: str
) -> str:
    stop, comma, end = _ENDS[lang]
    parts = [_happened(step, contracts, lang) for step in rule.steps]
    if rule.schedule is not None:
        parts.append({"en": f"{rule.schedule.fact} comes up", "zh": f"{rule.schedule.fact} 将至"}[lang])
    if rule.absent is not None:
        parts.append(_missing(rule.absent, contracts, lang))
    if rule.condition is not None:
        parts.append(rule.condition.words(lang))
    shown = [
        f"{name} = {_value(value)}" for name, value in inputs.items() if value is not None
    ][:_SHOWN_MAX]
    values = f" ({', '.join(shown)})" if shown else ""
    return f"{rule.title[lang]}{stop}{comma.join(parts)}{values}{end}"


def _happened(step: Step, contracts: Contracts, lang: str) -> str:
    name = _name(step.event, contracts, lang)
    if step.times > 1:
        assert step.within_ms is not None
        span = length(step.within_ms, lang)
        name = {
            "en": f"{name} {step.times} times within {span}",
            "zh": f"{span}内{name}{step.times}次",
        }[lang]
    if step.where is not None:
        condition = step.where.words(lang)
        name = {"en": f"{name} where {condition}", "zh": f"{name}({condition})"}[lang]
    return name


def _missing(step: Step, contracts: Contracts, lang: str) -> str:
    assert step.within_ms is not None
    name = _name(step.event, contracts, lang)
    span = length(step.within_ms, lang)
    return {"en": f"no {name} for {span}", "zh": f"{span}内没有{name}"}[lang]


def _name(event: str, contracts: Contracts, lang: str) -> str:
    contract = contracts.get(event)
    title = contract.title.get(lang, event) if contract else event
    return title[:1].lower() + title[1:] if lang == "en" else title


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


