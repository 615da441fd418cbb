"""What rules may name of a profile and of the features: name, type, and how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.profile import rfm
from engine.profile.apply import MOVED_BY
from engine.profile.calendar import local, zone_of
from engine.profile.model import Actor, Care

Reader = Callable[[Actor, int], Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """One name of the profile. It reads as a contract's field type does: base, choices, optional.

    `base`: money, string, int, double, bool, time or duration. `read(actor, at)`: its value at a
    time (UTC ms), None where it is unknown; without `read` it is the trait of that name. `between`:
    the least and the most that a number may be, None where there is no such bound.
    """

    base: str
    en: str
    zh: str
    choices: str | None = None
    read: Reader | None = None
    optional: bool = True
    between: tuple[float, float] | None = None


_TRAITS = {
    "tier": Fact("string", "member tier", "会员等级", choices="tiers"),
    "name": Fact("string", "name", "姓名"),
    "gender": Fact("string", "gender", "性别"),
    "birthday": Fact("string", "birthday", "生日"),
    "city": Fact("string", "city", "城市"),
    "zone": Fact("string", "time zone", "时区"),
    "locale": Fact("string", "language", "语言"),
    "consent.email": Fact("bool", "consent to e-mail", "同意接收邮件"),
    "consent.push": Fact("bool", "consent to push", "同意接收推送"),
    "consent.sms": Fact("bool", "consent to SMS", "同意接收短信"),
    "consent.wechat": Fact("bool", "consent to WeChat", "同意接收微信"),
    "consent.call": Fact("bool", "consent to calls", "同意接听电话"),
}


def schema(bins: rfm.Bins = rfm.OURS) -> dict[str, Fact]:
    """Return all names of the profile; the RFM scores are cut by `bins`."""
    return {**_TRAITS, **_TRADE, **_CARE, **_JOURNEY, **_LOCAL, **_rfm(bins)}


def labels(facts: Mapping[str, Fact]) -> dict[str, dict[str, str]]:
    """Return the names in words, as `profile.<name>` -> language -> words."""
    return {f"profile.{name}": {"en": fact.en, "zh": fact.zh} for name, fact in facts.items()}


def read(facts: Mapping[str, Fact], name: str, actor: Actor, at: int) -> Any:
    """Return one value as a rule would see it, None where it is unknown or no such name is."""
    fact = facts.get(name)
    if fact is not None and fact.read is not None:
        return fact.read(actor, at)
    trait = actor.traits.get(name)
    return None if trait is None else trait.value


def moved_by(facts: Mapping[str, Fact], name: str) -> frozenset[str] | None:
    """Return the event types that change a fact, for a trait besides those that set it.

    None: any may. What time alone changes is in AGES.
    """
    fact, section = facts.get(name), name.partition(".")[0]
    if fact is None or fact.read is None:
        return MOVED_BY["consent"] if section == "consent" else frozenset()
    return MOVED_BY.get("trade" if section == "rfm" else section)


def _instant(at: int) -> int | None:
    """0 in the state is never: unknown."""
    return at or None


def _since_purchase(actor: Actor, at: int) -> int | None:
    return at - actor.trade.last_at if actor.trade.last_at else None


def _average(actor: Actor, _: int) -> float | None:
    trade = actor.trade
    return trade.total_minor / trade.orders if trade.orders else None


_TRADE = {
    "trade.orders": Fact("int", "orders", "订单数", read=lambda actor, _: actor.trade.orders),
    "trade.total": Fact(
        "money", "total spent", "消费总额", read=lambda actor, _: actor.trade.total_minor
    ),
    "trade.average": Fact("money", "average order", "平均订单金额", read=_average),
    "trade.returns": Fact("int", "returns", "退货数", read=lambda actor, _: actor.trade.returns),
    "trade.returned": Fact(
        "money", "total returned", "退货总额", read=lambda actor, _: actor.trade.returned_minor
    ),
    "trade.first_at": Fact(
        "time", "first purchase", "首次购买", read=lambda actor, _: _instant(actor.trade.first_at)
    ),
    "trade.last_at": Fact(
        "time", "last purchase", "最近购买", read=lambda actor, _: _instant(actor.trade.last_at)
    ),
    "trade.age": Fact("duration", "time since last purchase", "距上次购买", read=_since_purchase),
}


def _care(section: str, en: str, zh: str) -> dict[str, Fact]:
    def care(actor: Actor) -> Care:
        return actor.complaint if section == "complaint" else actor.enquiry

    return {
        f"{section}.count": Fact("int", f"{en}", f"{zh}数", read=lambda a, _: care(a).count),
        f"{section}.open": Fact(
            "int", f"open {en}", f"未结{zh}数", read=lambda a, _: len(care(a).open)
        ),
        f"{section}.last_at": Fact(
            "time", f"last of {en}", f"最近{zh}", read=lambda a, _: _instant(care(a).last_at)
        ),
    }


_CARE = {**_care("complaint", "complaints", "投诉"), **_care("enquiry", "enquiries", "咨询")}

_JOURNEY = {
    "stage": Fact("string", "journey stage", "旅程阶段", read=lambda actor, _: actor.stage or None),
    "churn.band": Fact(
        "string",
        "churn band",
        "流失风险等级",
        choices="bands",
        read=lambda actor, _: actor.churn.band or None,
    ),
    "created_at": Fact(
        "time", "known since", "建档时间", read=lambda actor, _: _instant(actor.created_at)
    ),
    "seen_at": Fact("time", "last seen", "最近出现", read=lambda actor, _: _instant(actor.seen_at)),
}


def _local(part: Callable[[datetime], Any]) -> Reader:
    return lambda actor, at: part(local(at, zone_of(actor)))


_LOCAL = {  # a rule names them `local.hour` and so on
    "local.hour": Fact(  # people write `< 24`
        "int", "local hour", "当地小时", read=_local(lambda now: now.hour), between=(0, 24)
    ),
    "local.weekday": Fact(
        "int",
        "local weekday (1 = Monday)",
        "当地星期（1=周一）",
        read=_local(datetime.isoweekday),
        between=(1, 7),
    ),
    "local.day": Fact(
        "int", "local day of the month", "当地日", read=_local(lambda now: now.day), between=(1, 31)
    ),
    "local.month": Fact(
        "int", "local month", "当地月份", read=_local(lambda now: now.month), between=(1, 12)
    ),
    "local.date": Fact(
        "string", "local date", "当地日期", read=_local(lambda now: now.date().isoformat())
    ),
}


def _rfm(bins: rfm.Bins) -> dict[str, Fact]:
    def part(name: str) -> Reader:
        def read(actor: Actor, at: int) -> int | None:
            found = rfm.score(actor.trade, at, bins)
            value: int | None = None if found is None else getattr(found, name)
            return value

        return read

    return {
        "rfm.recency": Fact(
            "int", "recency (1-5)", "最近购买得分", read=part("recency"), between=(1, 5)
        ),
        "rfm.frequency": Fact(
            "int", "frequency (1-5)", "购买频率得分", read=part("frequency"), between=(1, 5)
        ),
        "rfm.monetary": Fact(
            "int", "monetary value (1-5)", "消费金额得分", read=part("monetary"), between=(1, 5)
        ),
    }


AGES = frozenset({"trade.age", "rfm.recency"})

FEATURES = {
    "churn_risk": Fact("double", "churn risk", "流失风险", between=(0.0, 1.0)),
    "clv": Fact("double", "customer lifetime value", "客户终身价值"),
}
