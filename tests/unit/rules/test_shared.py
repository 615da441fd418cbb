"""What rule files share: conditions, sets, segments, catalogue; and tables that grade answers."""

import pytest

from engine.errors import RulesError
from engine.events.model import Event
from engine.matching import segments
from engine.profile.model import Touch
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.text.problems import Problem
from engine.simulation.cases import run_case
from tests.turns import HEAD, NOON, Customer, contracts

SHARED = """sets:
  near: [s1, s2]
conditions:
  valuable:
    title: {en: valuable, zh: 高价值}
    if: conditions.golden || profile.trade.total >= 2000.0
  golden: profile.tier in ["gold", "diamond"]
segments:
  high_value: {title: high, if: conditions.valuable}
  dormant: {if: profile.trade.age > 60d, daily: everybody}
offers: [cart-10-off]
cases:
  look: {desk: care}
"""
RULE = """rule: good
owner: a@shop.example
status: live
when:
  - event: store.served
    where: event.store_id in sets.near
key: store
do:
  - case: look
limits: [1 per 1d]
"""
PERSON = """rule: person
owner: a@shop.example
status: live
when:
  - event: cart.updated
if: conditions.valuable
do:
  - case: look
limits: [1 per 1d]
"""


def compiled(**files: str) -> RuleSet:
    return compile_rules({f"{n}.yaml": text for n, text in files.items()}, contracts(), version="v")


def problems(**files: str) -> list[Problem]:
    with pytest.raises(RulesError) as caught:
        compiled(**files)
    return [found for found in caught.value.problems if isinstance(found, Problem)]


def test_a_shared_condition_is_as_if_it_were_written_in_the_rule() -> None:
    written = PERSON.replace(
        "conditions.valuable",
        'profile.tier in ["gold", "diamond"] || profile.trade.total >= 2000.0',
    )
    for text in (PERSON, written):
        for tier, fires in (("gold", True), ("silver", False)):
            customer = Customer(compiled(shared=SHARED, r=text)).knows(tier=tier)
            customer.send("cart.updated", 0, {"value": 100})
            assert bool(customer.fired) is fires
    one, other = (compiled(shared=SHARED, r=t).rules["person"] for t in (PERSON, written))
    assert one.sentence == other.sentence


def test_a_rule_has_a_new_version_when_what_it_shares_has_changed() -> None:
    def version(shared: str) -> str:
        return compiled(shared=shared, r=PERSON).rules["person"].version

    assert version(SHARED) == version(SHARED.replace("s1", "s9"))
    assert version(SHARED) != version(SHARED.replace('"diamond"', '"silver"')), "named by another"


def test_a_shared_set_is_read_by_rules() -> None:
    rules = compiled(shared=SHARED, r=RULE)
    for store, fires in (("s1", True), ("s3", False)):
        shop = Customer(rules, kind="store", node_id="Es1")
        shop.send("store.served", 0, {"store_id": store, "ticket_id": "t"})
        assert bool(shop.fired) is fires


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "hint"),
    [
        ("golden ||", "goldn ||", "E209", 6, "golden"),
        ("golden: profile", "golden: conditions.valuable && profile", "R142", 5, ""),
        ("near: [s1, s2]", "near: s1", "R105", 2, "such as"),
        ("near:", "tiers:", "R128", 2, "nothing overrides"),
        ("near:", "Near:", "R114", 2, "small_letters"),
        ("segments:", "segmnts:", "R101", 8, "segments"),
        ("daily: everybody", "daily: yes", "R111", 10, "one of"),
        ("  golden:", "  valuable: true\n  golden:", "R104", 7, ""),
        ("profile.tier", "event.value", "E201", 7, ""),
        ("look: ", "lok: ", "R141", 8, "lok"),
    ],
)
def test_a_mistake_in_what_is_shared_is_told(
    old: str, new: str, code: str, line: int, hint: str
) -> None:
    found = problems(shared=SHARED.replace(old, new, 1), r=PERSON)
    assert (code, line) in [(each.code, each.line) for each in found], found
    assert hint in next(each.hint for each in found if each.code == code)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("golden: profile", "golden: conditions.valuable && profile", "R142"),  # in a circle
        ("profile.tier", "profile.teir", "E204"),
    ],
)
def test_a_mistake_in_what_many_name_is_told_once(old: str, new: str, code: str) -> None:
    segment = ENTERED.replace("rule: r", "rule: s")
    found = problems(shared=SHARED.replace(old, new, 1), r=PERSON, s=segment)
    assert [each.code for each in found] == [code], found


def test_without_a_catalogue_any_name_may_be_done() -> None:
    assert compiled(r=PERSON.replace("conditions.valuable", "true")).rules


ENTERED = f"{HEAD}rule: r\nwhen: [{{entered: high_value}}]\ndo: [{{case: look}}]\n"


def played(text: str, case: str) -> list[str]:
    """Return what differs in the one test of a rule, on the whole fold."""
    rules = compiled(shared=SHARED, r=text + f"tests: [{{name: a, {case}}}]\n")
    rule = rules.rules["r"]
    return run_case(rule, rule.cases[0], rules)


@pytest.mark.parametrize(
    ("events", "expect"),
    [
        ("{at: 0m, order.placed: {value: 1500.0}}", ""),
        (
            "{at: 0m, order.placed: {value: 1500.0}}, {at: 5m, order.placed: {value: 600.0}},"
            " {at: 9m, order.placed: {value: 600.0}}",
            "{at: 5m, case: look}",
        ),
        ("{at: 0m, order.placed: {value: 2500.0}}", "{at: 0m, case: look}"),  # new, and at once
    ],
)
def test_who_enters_a_segment_does_so_once(events: str, expect: str) -> None:
    assert played(ENTERED, f"events: [{events}], expect: [{expect}]") == []


def test_who_was_in_it_before_anybody_asked_does_not_enter() -> None:
    customer = Customer(compiled(shared=SHARED, r=ENTERED))
    customer.actor.trade.total_minor = 300_000
    assert customer.actor.segments == {}
    turn = customer._turn()
    event_type = "web.page_viewed"
    for _ in range(2):
        customer.actor.touches.setdefault("web", Touch()).count += 1
    segments.on_event(customer.rules, turn, _event(event_type))
    assert turn.derived == ()
    assert customer.actor.segments["high_value"] > 0


def _event(type: str) -> Event:
    return Event(
        id="0" * 32,
        tenant="t",
        source="s",
        type=type,
        at=NOON,
        original_at=NOON,
        received_at=NOON,
    )


def test_a_segment_that_time_changes_is_looked_at_every_day() -> None:
    text = ENTERED.replace("high_value", "dormant")
    events = "{at: 0m, order.placed: {value: 10.0}}"
    case = f"events: [{events}], expect: [{{at: 60d23h, case: look}}]"
    assert played(text, "given: {start: '2026-03-04T10:00:00+08:00'}, " + case) == []
    left = text.replace("entered", "left") + "fresh: 2h\n"
    events += ", {at: 70d, order.placed: {value: 10.0}}"
    assert played(left, f"events: [{events}], expect: [{{at: 70d, case: look}}]") == []


def test_segments_that_no_rule_waits_for_are_not_looked_at() -> None:
    assert compiled(shared=SHARED, r=PERSON).segments == ()
    assert [each.name for each in compiled(shared=SHARED, r=ENTERED).segments] == ["high_value"]
    assert not compiled(shared=SHARED, r=ENTERED).looks_daily
    found = problems(shared=SHARED, r=ENTERED.replace("high_value", "high_valu"))
    assert [(each.code, each.hint) for each in found] == [("R145", 'did you mean "high_value"?')]


TABLE = """rule: r
owner: a@shop.example
status: live
when: [{event: cart.updated}]
table:
  value: {high: conditions.valuable, low: otherwise}
  risk: {critical: features.churn_risk >= 0.8, raised: features.churn_risk >= 0.5}
do:
  high:
    critical: [{case: look}, {suppress: promo, for: 1d}]
    raised: {offer: cart-10-off, channels: [email]}
  low:
    critical: [{offer: cart-10-off, channels: [sms]}]
    raised: []
limits: [1 per 1d]
holdout: 0%
"""


@pytest.mark.parametrize(
    ("tier", "risk", "expect"),
    [
        ("gold", 0.9, "{case: look}, {suppress: promo}"),
        ("gold", 0.6, "{offer: cart-10-off, channels: [email]}"),
        ("silver", 0.9, "{offer: cart-10-off, channels: [sms]}"),
        ("silver", 0.6, ""),
        ("gold", 0.1, ""),  # no grade of risk holds
    ],
)
def test_a_table_answers_by_grade(tier: str, risk: float, expect: str) -> None:
    profile = f"{{tier: {tier}, consent: {{email: true, sms: true}}}}"
    given = f"given: {{profile: {profile}, features: {{churn_risk: {risk}}}}}"
    events = "[{at: 0m, cart.updated: {value: 1.0, cart_id: a}}]"
    assert played(TABLE, f"{given}, events: {events}, expect: [{expect}]") == []


def test_a_trigger_says_which_grades_it_is_of() -> None:
    customer = Customer(compiled(shared=SHARED, r=TABLE)).knows(tier="gold")
    customer.actor.scores["churn_risk"] = 0.9
    customer.send("cart.updated", 0, {"value": 100})
    assert customer.triggers[0].inputs == {"value": "high", "risk": "critical"}
    assert "value = high" in customer.triggers[0].reason["en"]


@pytest.mark.parametrize(
    ("old", "new", "code", "hint"),
    [
        ("    raised: []\n", "", "R144", "raised: []"),
        ("  low:\n", "  lw:\n", "R101", "low"),
        ("low: otherwise", "low: otherwis", "E201", ""),
        ("high: conditions.valuable, low: otherwise", "low: otherwise, high: true", "R143", ""),
        ("value: {high: conditions.valuable, low: otherwise}", "value: high", "R143", "such as"),
        ("case: look", "case: lok", "R141", "look"),
    ],
)
def test_a_mistake_in_a_table_is_told(old: str, new: str, code: str, hint: str) -> None:
    found = problems(shared=SHARED, r=TABLE.replace(old, new, 1))
    assert code in [each.code for each in found], found
    assert hint in next(each.hint for each in found if each.code == code)


def test_of_a_segment_that_time_takes_people_out_of_only_members_are_looked_at_daily() -> None:
    shared = SHARED.replace("daily: everybody", "daily: members")
    rules = compiled(shared=shared, r=ENTERED.replace("high_value", "dormant"))
    assert rules.leaving == ("dormant",) and not rules.looks_daily
