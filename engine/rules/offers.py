"""What marketing can give and what it costs: `rules/offers.yaml`, a file that rules share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ContractError, RulesError
from engine.events.contract import load_yaml
from engine.rules.expression.types import MINOR_UNITS
from engine.rules.model import CHANNELS

FILE = "offers.yaml"


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer: its names by language, and what it costs when it is used, in minor units."""

    title: Mapping[str, str]
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Offers:
    """All offers by name. `channels`: channel -> minor units of `currency` that a message costs."""

    currency: str = "CNY"
    offers: Mapping[str, Offer] = field(default_factory=dict)
    channels: Mapping[str, float] = field(default_factory=dict)


def parse_offers(text: str, *, where: str) -> Offers:
    """Return the offers of a file.

    Raises
    ------
    RulesError
        With every mistake of it.
    """
    try:
        body = load_yaml(text, where) or {}
    except ContractError as error:
        raise RulesError(str(error), where=where) from None
    if not isinstance(body, dict):
        raise RulesError("want currency, offers, channels", where=where)
    problems = [
        f"unknown key `{key}`; want currency, offers, channels"
        for key in body.keys() - {"currency", "offers", "channels"}
    ]
    offers = {}
    for name, given in _map(body, "offers", problems).items():
        title = given.get("title", name) if isinstance(given, dict) else name
        cost = _amount(given.get("cost") if isinstance(given, dict) else given)
        if cost is None:
            problems.append(f"offers.{name}: want cost: 10.0, in major units, not below 0")
            continue
        titles = title if isinstance(title, dict) else {"en": str(title), "zh": str(title)}
        offers[name] = Offer(titles, round(cost))
    channels = {}
    for name, given in _map(body, "channels", problems).items():
        cost = _amount(given)
        if name not in CHANNELS:
            problems.append(f"channels.{name}: no such channel; one of {', '.join(CHANNELS)}")
        elif cost is None:
            problems.append(f"channels.{name}: want an amount in major units, not below 0")
        else:
            channels[name] = cost
    if problems:
        raise RulesError("; ".join(sorted(problems)), where=where)
    return Offers(str(body.get("currency", "CNY")), offers, channels)


def _map(body: dict[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    found = body.get(key) or {}
    if isinstance(found, dict):
        return found
    problems.append(f"`{key}` wants names with values")
    return {}


def _amount(value: Any) -> float | None:
    """Return an amount in minor units, which for a message may be less than one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return value * MINOR_UNITS
