"""The library of rules: every test inside every file, and what makes a rule worth copying.

CAPABILITIES.md rows by the rules that do them: 14 machine-needs-care, refill-in-time; 20 checkout-
stalled; 21 third-bad-touchpoint, shop-loses-points; 23 ad-people-come-back-to, ad-left-at-once; 25
queue-too-long, one-in-ten-waits-long; 29 weekly-review; 30 live-room-pilot; 27 search-without-
result, payment-trouble; 28 stayed-with-us; 34 promise-about-to-break, two-standards; 37 port-out;
40 high-value-entered, regular-left; 41 pace-halved, gone-quiet; 43, 89 systemic-complaints, crash-
apology; 69 cold-snap-jacket; 44 graded-by-value-and-risk; 50 neglected-valuable; 55 lead-stalled;
57 welcome-first-order; 60 tier-upgraded; 61 points-expiring; 62 nearly-gold; 64 referral-reward,
ask-a-promoter; 65 birthday, purchase-anniversary; 70, 72 answer-in-time; 71, 74 complaint-not-
acknowledged, complaint-reopened; 75, 102, 104 how-was-it, close-the-loop, low-score; 79 tried-not-
bought; 80 pickup-reminder; 84, 90 agent-needs-help; 86 bot-gave-up; 88 bad-mention; 92, 97
document-late; 94 document-on-demand; 98 second-channel; 105 no-show.
"""

import re
from pathlib import Path

import pytest

from engine.adapters.files import read_rules
from engine.decision.words import reasons
from engine.rules.compile import compile_rules, unfit
from engine.rules.model import Case, Rule
from engine.rules.vain import vain
from engine.simulation.cases import run_case
from tests.turns import ROOT, contracts

RULES = compile_rules(read_rules(ROOT / "rules"), contracts(), version="library")
CASES = [(rule, case) for rule in RULES.rules.values() for case in rule.cases]


@pytest.mark.parametrize(("rule", "case"), CASES, ids=lambda each: getattr(each, "name", None))
def test_what_the_file_says_is_what_the_engine_does(rule: Rule, case: Case) -> None:
    assert run_case(rule, case, RULES) == []


def test_there_is_something_to_copy_for_every_theme() -> None:
    assert len(RULES.rules) >= 25
    themes = {Path(rule.path).parent.name for rule in RULES.rules.values()}
    assert len(themes) >= 10


@pytest.mark.parametrize("rule", RULES.rules.values(), ids=lambda rule: str(rule.id))
def test_a_rule_of_the_library_says_all_that_a_reader_asks(rule: Rule) -> None:
    assert Path(rule.path).stem == rule.id
    assert rule.why and rule.owner and rule.goal is not None
    assert rule.title["zh"] != rule.title["en"]
    assert rule.limits
    assert any(case.expect for case in rule.cases), "a test that fires"
    assert any(not case.expect for case in rule.cases), "and one that does not"
    offers = any(action.type in ("offer", "message") for action in rule.actions)
    if offers and rule.kind == "marketing":
        text = Path(rule.path).read_text(encoding="utf-8")
        assert "holdout:" in text, "a comparison group, or 0% on purpose"


@pytest.mark.parametrize("rule", RULES.rules.values(), ids=lambda rule: str(rule.id))
def test_the_reason_of_a_trigger_is_chinese_with_full_width_marks(rule: Rule) -> None:
    text = reasons(rule, {"event.value": 12345.67, "profile.tier": "gold"})["zh"]
    assert not re.search(r"[\u4e00-\u9fff”）][,:;()]|[,:;()][\u4e00-\u9fff“（]", text), text
    assert text.endswith("（event.value = 12345.67，profile.tier = gold）。")


def test_nothing_in_the_library_is_unwise() -> None:
    warnings = [*RULES.warnings, *vain(RULES)]
    assert [(each.path, each.code, each.message) for each in warnings] == []
    assert unfit(RULES) == []


def test_the_catalogue_has_no_name_that_no_rule_uses() -> None:
    used = {(action.type, action.name) for r in RULES.rules.values() for action in r.actions}
    used |= {("case", r.guard.case) for r in RULES.rules.values() if r.guard is not None}
    for kind, names in RULES.shared.catalogue.items():
        assert names == {name for type, name in used if f"{type}s" == kind}
