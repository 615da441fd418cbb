"""What never comes to a customer or a thing is refused in rules about them, at its place."""

import pytest

from engine.decision.reach import reachable
from engine.errors import RulesError
from engine.profile.model import Actor
from engine.rules.compile import compile_rules
from engine.rules.model import CHANNELS
from engine.rules.text.problems import Problem, told
from tests.turns import contracts

THING = """rule: shop
owner: a@shop.example
key: store
when:
  - event: store.served
    where: event.waited_s > 60.0
if: count("store.served", 1h) >= 2
do:
  - case: look
    channels: [desk]
    fields: {channels: a, date: b}
limits: [1 per 1d]
"""
PERSON = THING.replace("key: store\n", "").replace("store.served", "cart.updated")
PERSON = PERSON.replace("event.waited_s", "event.value")
SHARED = """conditions:
  golden: profile.tier == "gold"
  leaving: features.churn_risk > 0.5
"""


def found(text: str, level: str = "error") -> list[tuple[str, str]]:
    """Return (code, what the caret stands under) of what is told of a rule."""
    texts = {"r.yaml": text, "shared.yaml": SHARED}
    problems: list[Problem] = []
    try:
        problems += compile_rules(texts, contracts(), version="v1").warnings
    except RulesError as error:
        problems += [p for p in error.problems if isinstance(p, Problem)]
    lines = text.splitlines()
    for each in problems:
        assert "错误" in told(each._replace(level="error"), text, "zh")
    return [
        (p.code, lines[p.line - 1][p.column - 1 : p.column - 1 + p.length])
        for p in problems
        if p.level == level and p.code != "R131"  # it has no tests
    ]


def test_what_comes_to_them_is_not_refused() -> None:
    for level in ("error", "warning"):
        assert found(THING, level) == [] and found(PERSON, level) == []


# old text of THING, new text, code, what the caret stands under
OF_THINGS = [
    ('count("store.served", 1h)', 'count("web.page_viewed", 1h)', "R134", '"web.page_viewed"'),
    ('count("store.served", 1h)', 'count("web.page_viewed", 7d)', "R134", '"web.page_viewed"'),
    ("limits:", "goal: {event: web.page_viewed, within: 1d}\nlimits:", "R134", "web.page_viewed"),
    (
        "event: store.served",
        "schedule: {silence: 1d, of: order.returned}",
        "R134",
        "order.returned",
    ),
    (">= 2", '>= 2 && profile.tier == "gold"', "E204", "profile.tier"),
    (">= 2", ">= 2 && profile.consent.email", "E204", "profile.consent.email"),
    (">= 2", '>= 2 && profile.churn.band == "at_risk"', "E204", "profile.churn.band"),
    (">= 2", ">= 2 && profile.cold_snap", "E204", "profile.cold_snap"),
    ("date: b", 'date: "b {{ profile.city }}"', "E204", "profile.city"),
    ("event: store.served", "schedule: {date: profile.birthday}", "E204", "profile.birthday"),
    ("limits:", "scope: {city: [杭州]}\nlimits:", "E204", "city"),
    (">= 2", ">= 2 && conditions.golden", "E204", "store"),
    (">= 2", ">= 2 && conditions.leaving", "E205", "store"),
    ("channels: [desk]", "channels: [email]", "R152", "email"),
    ("- case: look\n    channels: [desk]", "- offer: a\n    channels: push", "R152", "push"),
]


@pytest.mark.parametrize(("old", "new", "code", "under"), OF_THINGS)
def test_what_never_comes_to_a_thing_is_refused(old: str, new: str, code: str, under: str) -> None:
    text = THING.replace(old, new, 1)
    if "schedule" in new:  # then there is no event to ask
        text = text.replace("    where: event.waited_s > 60.0\n", "")
    assert found(text) == [(code, under)]


@pytest.mark.parametrize(
    "more",
    [
        "profile.trade.orders > 3",  # orders name their shop
        'profile.stage == "loyal"',
        "local.hour < 22",
        "profile.seen_at > profile.created_at",
        'distinct("order.placed", it.customer, 7d) > 1',
        "event.waited_s > 90.0",
    ],
)
def test_what_comes_to_a_thing_may_be_asked(more: str) -> None:
    assert found(THING.replace(">= 2", f">= 2 && {more}")) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "under"),
    [
        ('"cart.updated", 1h', '"store.served", 1h', "R134", '"store.served"'),
        ("limits:", "goal: {event: store.served, within: 1d}\nlimits:", "R134", "store.served"),
        (">= 2", ">= 2 && profile.cold_snap", "E204", "profile.cold_snap"),
    ],
)
def test_what_comes_only_to_things_is_refused_of_customers(
    old: str, new: str, code: str, under: str
) -> None:
    assert found(PERSON.replace(old, new, 1)) == [(code, under)]


@pytest.mark.parametrize("kind", ["service", "marketing"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_is_refused_where_the_decision_would_find_no_way(kind: str, channel: str) -> None:
    text = THING.replace("channels: [desk]", f"channels: [{channel}]") + f"kind: {kind}\n"
    ways = reachable(Actor(kind="store"), (channel,), service=kind == "service")
    assert found(text) == ([] if ways else [("R152", channel)])
    beside = THING.replace("channels: [desk]", f"channels: [{channel}, desk]") + f"kind: {kind}\n"
    assert found(beside) == [], "the desk has it"
    assert found(beside, "warning") == ([] if ways else [("R152", channel)])


def test_a_word_that_has_no_effect_on_things_is_a_warning() -> None:
    offer = THING.replace("case: look", "offer: a")
    assert found(offer, "warning") == [], "nobody is held out, so it is not asked for either"
    assert found(offer + "holdout: 100%\n", "warning") == [("R133", "100%")]
    stop = "  - suppress: promo\n    for: 3d\nlimits"
    promo = PERSON.replace("rule: shop", "rule: p") + "group: promo\nkind: marketing\n"
    texts = {"p.yaml": promo, "r.yaml": THING.replace("limits", stop)}
    codes = [p.code for p in compile_rules(texts, contracts(), version="v1").warnings]
    assert "R132" in codes, "what stops a shop stops no rule about customers"
