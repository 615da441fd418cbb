"""What offers and messages cost: read from one file, every mistake of it told."""

import pytest

from engine.adapters.files import read_offers, read_rules
from engine.errors import RulesError
from engine.rules.compile import compile_rules
from engine.rules.offers import Offers, parse_offers
from tests.turns import ROOT, contracts

GOOD = """
currency: CNY
offers:
  ten-off: {title: {en: Ten off, zh: 减十元}, cost: 10.5}
  plain: 3
channels: {sms: 0.045}
"""


def test_costs_are_minor_units_inside() -> None:
    found = parse_offers(GOOD, where="offers.yaml")
    assert found.currency == "CNY"
    assert found.offers["ten-off"].cost_minor == 1050
    assert found.offers["plain"].cost_minor == 300
    assert found.channels["sms"] == pytest.approx(4.5), "a message may cost less than a minor unit"


def test_every_mistake_is_told_at_once() -> None:
    text = "offer: {}\noffers: {a: {cost: -1}, b: {}}\nchannels: {pigeon: 1, sms: true}\n"
    with pytest.raises(RulesError) as caught:
        parse_offers(text, where="offers.yaml")
    for part in ("unknown key `offer`", "offers.a", "offers.b", "channels.pigeon", "channels.sms"):
        assert part in str(caught.value)


def test_a_folder_without_the_file_has_no_offers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert read_offers(tmp_path) == Offers()


def test_every_offer_of_our_rules_has_a_cost() -> None:
    rules = compile_rules(read_rules(ROOT / "rules"), contracts(), version="t").rules.values()
    named = {a.name for rule in rules for a in rule.actions if a.type == "offer"}
    assert named <= read_offers(ROOT / "rules").offers.keys()
