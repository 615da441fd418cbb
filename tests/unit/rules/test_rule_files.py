"""Rule files: every mistake of every file at its place, and what a good file becomes."""

import pytest

from engine.errors import RulesError
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.text.problems import Problem
from tests.turns import HEAD, contracts

GOOD = """rule: good
owner: a@shop.example
when:
  - event: cart.updated
    where: event.value > 100.0
do:
  - case: look
"""
# The file that RULES.md section 2 describes, and what it says that this should print.
BROKEN = """rule: broken
title: A broken rule
owner: a@shop.example
status: live
when:
  - event: cart.updatd
    as: cart
    times: 1
    where: event.valu > "100"
  - not: order.placed
    within: 30 minutes
if: >-
  features.churn_risk > 0.4
  && count("web.page_viewed", 1h) >= 2
  and profile.consent.email
limit: 1 per 7d
"""
PRINTED = """\
bad.yaml:1:1: error R102: 'do' is missing
     1 | rule: broken
       | ^
bad.yaml:6:12: error E231: unknown event type 'cart.updatd'
     6 |   - event: cart.updatd
       |            ^^^^^^^^^^^
       = did you mean "cart.updated"?
bad.yaml:9:18: error E203: event 'cart.updated' has no field 'valu'
     9 |     where: event.valu > "100"
       |                  ^^^^
       = did you mean "value"?
bad.yaml:11:13: error R110: '30 minutes' is not a length of time
    11 |     within: 30 minutes
       |             ^^^^^^^^^^
       = write 30s, 30m, 2h, 7d or 1h30m
bad.yaml:15:3: error E111: unexpected 'and' after a complete expression
    15 |   and profile.consent.email
       |   ^^^
       = write && for and
bad.yaml:16:1: error R101: unknown key 'limit'
    16 | limit: 1 per 7d
       | ^^^^^
       = did you mean "limits"?"""


def compiled(*texts: str) -> RuleSet:
    files = {f"r{n}.yaml": text for n, text in enumerate(texts)}
    return compile_rules(files, contracts(), version="v1")


def problems(*texts: str) -> list[Problem]:
    """Return the mistakes of some files."""
    with pytest.raises(RulesError) as caught:
        compiled(*texts)
    return [found for found in caught.value.problems if isinstance(found, Problem)]


def test_all_mistakes_of_a_file_are_printed_as_rules_md_has_them() -> None:
    with pytest.raises(RulesError) as caught:
        compile_rules({"bad.yaml": BROKEN}, contracts(), version="v1")
    assert caught.value.message == PRINTED


def test_the_mistakes_of_all_files_come_at_once() -> None:
    found = problems(BROKEN, GOOD.replace("case", "csae"))
    assert {problem.path for problem in found} == {"r0.yaml", "r1.yaml"}


# old text of GOOD, new text, code, (line, column), part of the hint
MISTAKES = [
    ("event: cart", "on: x\n    event: cart", "R101", (4, 5), ""),
    ("  - event", "  - event: order.placed\n    event", "R104", (5, 5), ""),
    ("event.value > 100.0", "!has(event.coupon)", "R103", (5, 12), "after |"),
    ("event.value > 100.0", '"food" == event.category', "R100", (5, 19), "after |"),
    ("event.value > 100.0", 'event.cart_id == "a: b"', "R100", (5, 31), "after |"),
    ("event.value > 100.0", "event.category == “food”", "E115", (5, 30), '"'),
    ("event.value > 100.0", 'event.category == "食" && event.valu > 1', "E203", (5, 43), "value"),
    ("event.value > 100.0", "event.value > 1 # a\n      && event.items > 2", "R100", (6, 8), "|"),
    ("    where", "   where", "R100", (5, 4), "alike"),
    ("rule: good", "rule: Good Rule", "R114", (1, 7), "small-letters"),
    ("rule: good", f"rule: {'a' * 101}", "R114", (1, 7), "at most 100"),
    ("rule: good", "rule:", "R102", (1, 1), ""),
    ("a@shop.example", "''", "R102", (2, 1), ""),
    ("100.0", "1\udcba\udcc3", "R107", (5, 27), "UTF-8"),
    ("100.0", "1\x07", "R100", (5, 27), "delete"),
    ("do:", "status: no\ndo:", "R111", (6, 9), "draft"),
    ("do:", "key: shop\ndo:", "R115", (6, 6), ""),
    ("do:", "per: cart_idd\ndo:", "E203", (6, 6), "cart_id"),
    ("do:", "limits: [65 per 1d]\ndo:", "R123", (6, 10), "at most 64"),
    ("do:", "limits: [1 per week]\ndo:", "R123", (6, 10), "1 per 7d"),
    ("do:", "holdout: 40\ndo:", "R113", (6, 10), "10%"),
    ("do:", "scope: {tier: [gold, dimond]}\ndo:", "E213", (6, 22), "diamond"),
    ("do:", "scope: {city: [杭州], share: 150%}\ndo:", "R113", (6, 28), "10%"),
    ("do:", "quiet_hours: 21-22\ndo:", "R113", (6, 14), "22:00-08:00"),
    ("event: cart.updated", "event: 更新购物车", "E231", (4, 12), "cart.updated"),
    ("do:", "goal: {event: Order placed, within: 1d}\ndo:", "E231", (6, 15), "order.placed"),
    ("do:", "goal: {event: order.place, within: 1d}\ndo:", "E231", (6, 15), "order.placed"),
    ("do:", "fresh: 99999999d\ndo:", "R110", (6, 8), "30m"),
    ("- case: look", "- offer: x", "R102", (7, 5), "channels"),
    ("- case: look", "- offer: x\n    channels: [emial]", "R125", (8, 16), "email"),
    ("- case: look", "- suppress: promo", "R119", (7, 5), "for: 3d"),
    ("- case: look", "- case: x\n    for: 3d", "R101", (8, 5), "deadline"),
    ("- case: look", "- case: x\n    offer: y", "R124", (7, 5), "one of"),
    ("- case: look", '- case: x\n    fields: {a: "{{ event.valu }}"}', "E203", (8, 27), "value"),
    ("- case: look", '- case: x\n    fields: {a: "{{ event.value"}', "R136", (8, 18), ""),
    ("  - event: cart.updated", "  - not: cart.updated", "R118", (4, 5), "schedule"),
    ("  - event: cart.updated", "  - event: cart.updated\n    as: event", "R114", (5, 9), "word"),
    ("  - event: cart.updated", "  - event: cart.updated\n    times: 3", "R119", (5, 5), "within"),
    ("  - event: cart.updated", "  - event: store.served", "R134", (4, 12), "key: store"),
    ("when:\n", "when: []\nx:\n", "R102", (3, 1), "event"),
    ("do:", "title: {en: a, and b, zh: c}\ndo:", "R101", (6, 16), "in quotes"),
    ("- event:", "- event：", "R106", (4, 10), "write :"),
    ("owner:", "owner：", "R106", (2, 6), "write :"),
    ("do:", "limits: [1 per 7d，2 per 1d]\ndo:", "R123", (6, 10), "write , for ，"),
    ("do:", "status: live。\ndo:", "R111", (6, 9), "write . for 。"),
    ("do:", "fresh: 30ｍ\ndo:", "R110", (6, 8), "write m for ｍ"),
    ("- case: look", "- offer: x\n    channels: [email，sms]", "R125", (8, 16), "write , for ，"),
    ("do:", "  - unless: cart.viewed\ndo:", "R140", (6, 5), "quiet_hours"),
    ("do:", "  - {unless: cart.viewed, within: 1d}\ndo:", "R101", (6, 27), ""),
    ("event: cart.updated", "schedule: {date: profile.trade.orders}", "E211", (4, 22), "birth"),
    ("event: cart.updated", "schedule: {silence: 30d, of: order.place}", "E231", (4, 34), "order"),
]


@pytest.mark.parametrize(("old", "new", "code", "place", "hint"), MISTAKES)
def test_a_mistake_is_told_where_it_is(
    old: str, new: str, code: str, place: tuple[int, int], hint: str
) -> None:
    assert old in GOOD
    found = [p for p in problems(GOOD.replace(old, new, 1)) if p.code == code]
    assert [(p.line, p.column) for p in found] == [place], found
    assert hint in found[0].hint


@pytest.mark.parametrize("text", ["when: " + "[" * 3000, "when: &a [*a]", "\x00", "- a", "", "a"])
def test_a_text_that_is_no_rule_is_a_mistake_not_a_crash(text: str) -> None:
    assert problems(text)


def test_a_score_is_of_people_and_not_of_things() -> None:
    text = GOOD.replace("event: cart.updated", "event: store.served").replace(
        "event.value > 100.0", "features.churn_risk > 0.5"
    )
    assert [p.code for p in problems(f"key: store\n{text}")] == ["E205"]


def test_two_rules_of_one_name_are_told_apart() -> None:
    assert [p.code for p in problems(GOOD, GOOD)] == ["R128"]


# old text of GOOD, new text, code of the warning
WARNINGS = [
    ("", "", "R130"),  # no limits
    ("do:", "status: live\ndo:", "R131"),  # no tests
    ("- case: look", "- offer: x\n    channels: [email]", "R133"),  # no holdout
    ("do:", "group: promo\ndo:", "R133"),  # a rule of cases only is a service
    ("do:", "limits: [1 per day in group promo]\ndo:", "R133"),
    ("- case: look", "- suppress: promo\n    for: 3d", "R132"),  # a group of nobody
    ("do:", "  - event: order.placed\ndo:", "R135"),  # waits for ever
]


@pytest.mark.parametrize(("old", "new", "code"), WARNINGS)
def test_what_is_legal_but_unwise_is_a_warning(old: str, new: str, code: str) -> None:
    rules = compiled(GOOD.replace(old, new, 1) if old else GOOD)
    assert code in [problem.code for problem in rules.warnings]
    assert "good" in rules.rules


def test_a_test_that_expects_what_the_rule_never_does_is_a_mistake() -> None:
    text = GOOD + "tests: [{name: a, events: [], expect: [{at: 0m, case: lok}]}]\n"
    assert [(p.code, p.hint) for p in problems(text)] == [("R137", 'did you mean "look"?')]


@pytest.mark.parametrize(
    ("given", "event", "code"),
    [
        ("features: {churn_rsk: 0.7}", "order.placed: {value: 1.0}", "R101"),
        ("features: {churn_risk: high}", "order.placed: {value: 1.0}", "R113"),
        ("profile: {teir: gold}", "order.placed: {value: 1.0}", "E204"),
        ("profile: {trade: {orders: 3}}", "order.placed: {value: 1.0}", "R139"),
        ("features: {churn_risk: 7}", "order.placed: {value: 1.0}", "E214"),
        ("profile: {tier: golden}", "order.placed: {value: 1.0}", "E213"),
        ("profile: {consent: {email: yes}}", "order.placed: {value: 1.0}", "R138"),
        ("profile: {city: 3}", "order.placed: {value: 1.0}", "R138"),
        ("profile: {tier: gold}", "cart.updatd: {}", "E231"),
        ("profile: {tier: gold}", "order.placed: {value: many}", "R138"),
    ],
)
def test_what_a_test_gives_is_checked_like_the_rule(given: str, event: str, code: str) -> None:
    case = f"{{name: a, given: {{{given}}}, events: [{{at: 0m, {event}}}], expect: []}}"
    text = f"{GOOD}tests: [{case}]\n"
    assert [p.code for p in problems(text)] == [code]


def test_the_columns_of_all_conditions_are_kept() -> None:
    text = GOOD.replace("event.value > 100.0", 'sum("order.placed", it.value, 7d) > 5.0')
    other = GOOD.replace("good", "other").replace(
        "event.value > 100.0", 'count("order.placed", 1h, it.category == "food") > 2'
    )
    head = HEAD.split("\n")[1] + "\n"
    columns = compiled(head + text, head + other).columns["order.placed"]
    assert (columns.numbers, columns.words) == (("value",), ("category",))


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("case: look", "case: look # at it", True),
        ("event.value > 100.0", "'event.value > 100.0'", False),  # a quoted text may be other data
        ("owner: a@shop.example\n", "owner: b@shop.example\ntitle: Look\nwhy: To see.\n", True),
        ("do:", "tests: [{name: a, events: [], expect: []}]\ndo:", True),
        ("rule: good\nowner: a@shop.example\n", "owner: a@shop.example\nrule: good\n", True),
        ("owner:", "status: paused\nowner:", True),
        ("100.0", "101.0", False),
        ("case: look", "case: see", False),
        ("do:", "limits: [1 per 7d]\ndo:", False),
    ],
)
def test_the_version_of_a_rule_follows_what_it_does_and_not_its_words(
    old: str, new: str, is_same: bool
) -> None:
    first, second = (compiled(text).rules["good"] for text in (GOOD, GOOD.replace(old, new, 1)))
    assert GOOD.replace(old, new, 1) != GOOD
    assert (first.version == second.version) == is_same
