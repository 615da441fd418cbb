"""The load that all benches share: messages of known customers, rule sets of any size, a log.

Messages are page views, screens, carts, orders and reviews, two hundred a second of log time; 15 %
of them are scored. Rules are spread over 20 event types, so an event meets a twentieth of them.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import orjson

from engine.churn.model import initial_model
from engine.clock import SECOND_MS
from engine.config import Settings
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.ingest.accept import accept
from engine.ports import Publisher
from engine.runtime.learner import version_records
from engine.runtime.setup import contracts_of, publish_rules, sources_of
from engine.runtime.ticker import tick_records

START_MS = 1_773_100_000_000
GROUPS = 400  # pages, screens, products and coupons: what most rules name one of
# Share so far, event, the field that names a group, other fields.
MIX: tuple[tuple[float, str, str, dict[str, Any]], ...] = (
    (0.70, "web.page_viewed", "page", {"category": "food"}),
    (0.82, "app.screen_viewed", "screen", {}),
    (0.85, "cart.updated", "coupon", {"value": 150.0, "cart_id": "c", "items": 1}),
    (0.97, "order.placed", "coupon", {"value": 42.5, "category": "food"}),
    (1.00, "review.posted", "product_id", {"sentiment": 0.4, "stars": 4}),
)
SILENT = 15  # twentieths of the rules that are about what never comes
SILENT_EVENT = ("web.product_viewed", "product_id")
RULES_SHARE_UNNAMED = 0.45  # of chatty rules: they name no group


def messages(count: int, customers: int, *, seed: int = 1) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (time, message): two hundred events a second of log time."""
    random = Random(seed)
    for number in range(count):
        at = START_MS + number * 5
        chance = random.random()
        name, field, rest = next((n, f, p) for share, n, f, p in MIX if chance < share)
        yield at, {
            "type": "track", "event": name, "messageId": f"b{seed}-{number}", "timestamp": at,
            "userId": f"u{random.randrange(customers)}",
            "properties": {field: f"g{random.randrange(GROUPS)}", **rest},
        }  # fmt: skip


class Wanted(NamedTuple):
    """What a rule asks of an event: so many of its type in an hour, of one group if any."""

    event: str
    field: str
    group: str | None
    least: int


def wanted(count: int, *, chatty: bool = True) -> list[Wanted]:
    """Return what `count` rules ask for: a group of their event, or (chatty) only a count."""
    random = Random(count)
    found = []
    for number in range(count):
        place = number % (len(MIX) + SILENT)
        event, field = MIX[place][1:3] if place < len(MIX) else SILENT_EVENT
        group: str | None = f"g{random.randrange(40 if chatty else GROUPS)}"
        least = random.randrange(3, 9)
        if chatty and random.random() < RULES_SHARE_UNNAMED:
            group, least = None, random.randrange(20, 256)
        found.append(Wanted(event, field, group, least))
    return found


def rule_texts(count: int, *, chatty: bool = True) -> dict[str, str]:
    """Return the rules of `wanted` by path."""
    texts = {}
    for number, (event, field, group, least) in enumerate(wanted(count, chatty=chatty)):
        where = f'count("{event}", 1h) >= {least}'
        if group is not None:
            where = f'event.{field} == "{group}" && {where}'
        texts[f"rules/bench/r{number}.yaml"] = _RULE.format(n=number, event=event, where=where)
    return texts


def always(event: str = "order.placed") -> dict[str, str]:
    """Return one rule that comes true at each such event, once an hour and customer."""
    text = _RULE.format(n="every", event=event, where="event.value > 0.0")
    text = text.replace("shadow", "live").replace("10%", "0%").replace("[push]", "[desk]")
    return {"rules/bench/every.yaml": text}


_RULE = """rule: r{n}
title: {{en: Rule {n}, zh: 规则{n}}}
why: Many rules at once.
owner: bench@shop.example
status: shadow
when:
  - event: {event}
    where: {where}
do:
  - offer: cart-10-off
    channels: [push]
limits: [1 per 1h]
holdout: 10%
goal: {{event: order.placed, within: 3d}}
"""


class Kept:
    """A Publisher that keeps what it is given, and acknowledges at once."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Keep them."""
        self.records += records

    async def close(self) -> None:
        """What is kept stays."""


async def fill(
    settings: Settings,
    publisher: Publisher,
    count: int,
    customers: int,
    *,
    rules: dict[str, str] | None = None,
) -> None:
    """Write rules, model, events and one tick a second; `rules` None: those of the project."""
    await publish_rules(settings, publisher, "v1", rules=rules)
    artefact = Outgoing(topics.MODELS, 0, b"churn@m0", initial_model().to_json())
    records = version_records("model", "m0", settings.partitions, settings.secret_key)
    await publisher.publish([artefact, *records])
    out: list[Outgoing] = []
    tick = START_MS
    for at, record in events(settings, count, customers):
        while tick <= at:
            out += tick_records(tick, tick, settings.partitions, settings.secret_key)
            tick += SECOND_MS
        out.append(record)
        if len(out) > 2_000:
            await publisher.publish(out)
            out = []
    await publisher.publish(out)


def events(
    settings: Settings, count: int, customers: int, *, seed: int = 1
) -> Iterator[tuple[int, Outgoing]]:
    """Yield (time, record of `channel.events`), as the door accepts and addresses it."""
    source, contracts = sources_of(settings).by_name["history"], contracts_of(settings)
    for at, message in messages(count, customers, seed=seed):
        found = accept(
            message, raw=orjson.dumps(message), source=source, received_at=at, sent_at=None,
            contracts=contracts, secret=settings.secret_key,
        )  # fmt: skip
        partition = partition_of(found.key, settings.partitions)
        yield at, Outgoing(topics.EVENTS, partition, found.key.encode(), found.value)
