"""Every contract that ships: its examples hold, and it says what rules and screens need."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ContractError
from engine.events.contract import parse_contracts

TOPICS = Path(__file__).parents[3] / "topics"
CONTRACTS = parse_contracts(
    {
        str(path.relative_to(TOPICS)): path.read_text(encoding="utf-8")
        for path in [*sorted(TOPICS.glob("events/*.yaml")), TOPICS / "sets.yaml"]
    }
)
ALL = sorted(CONTRACTS.by_name)
GOOD = [(name, data) for name in ALL for data in CONTRACTS.by_name[name].good]
BAD = [(name, bad) for name in ALL for bad in CONTRACTS.by_name[name].bad]


@pytest.mark.parametrize(("name", "data"), GOOD, ids=[name for name, _ in GOOD])
def test_a_good_example_is_accepted(name: str, data: dict[str, Any]) -> None:
    CONTRACTS.check(CONTRACTS.by_name[name], data)


@pytest.mark.parametrize(("name", "bad"), BAD, ids=[name for name, _ in BAD])
def test_a_bad_example_is_refused_for_its_reason(name: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ContractError) as caught:
        CONTRACTS.check(CONTRACTS.by_name[name], bad["event"])
    assert caught.value.code == bad["code"]


@pytest.mark.parametrize("name", ALL)
def test_a_contract_is_complete(name: str) -> None:
    contract = CONTRACTS.by_name[name]
    assert contract.title.keys() >= {"en", "zh"}
    assert contract.good
    assert contract.bad
    assert contract.touchpoint
    assert contract.touchpoint_class


@pytest.mark.parametrize("path", sorted(TOPICS.glob("events/*.yaml")), ids=lambda path: path.stem)
def test_a_file_is_named_after_its_event(path: Path) -> None:
    assert path.stem in CONTRACTS.by_name


# RULES.md, section 2: rule files name exactly these.
RULES_NAME = {
    "cart.updated": "value:money cart_id:string category:string coupon:string items:int",
    "order.placed": "value:money cart_id:string category:string",
    "payment.failed": "value:money method:string code:string",
    "payment.succeeded": "value:money method:string",
    "review.posted": "sentiment:double stars:int product_id:string order_id:string",
    "web.page_viewed": "page:string category:string",
}


@pytest.mark.parametrize("name", sorted(RULES_NAME))
def test_fields_that_rule_files_name_are_there(name: str) -> None:
    fields = CONTRACTS.by_name[name].fields
    for wanted in RULES_NAME[name].split():
        field, base = wanted.split(":")
        assert fields[field].type.base == base


CHANNELS = "web app social email sms call ivr store mail community iot"
SUBJECTS = "cart order payment review complaint enquiry promise consent ad touchpoint survey agent"


@pytest.mark.parametrize("prefix", [*CHANNELS.split(), *SUBJECTS.split(), "competitor", "message"])
def test_every_channel_of_the_founding_documents_has_events(prefix: str) -> None:
    assert any(name.startswith(f"{prefix}.") for name in ALL)


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("Order Completed", "order.placed"),
        ("Order Refunded", "order.returned"),
        ("Order Cancelled", "order.cancelled"),
        ("Product Viewed", "web.product_viewed"),
        ("Products Searched", "web.searched"),
        ("Product Added", "cart.product_added"),
        ("Product Reviewed", "review.posted"),
        ("Application Opened", "app.opened"),
        ("Application Installed", "app.installed"),
        ("Application Uninstalled", "app.uninstalled"),
        ("Email Opened", "email.opened"),
        ("Email Link Clicked", "email.clicked"),
        ("Email Bounced", "email.bounced"),
        ("Unsubscribed", "email.unsubscribed"),
        ("Push Notification Tapped", "push.tapped"),
    ],
)
def test_a_name_of_the_segment_spec_means_our_event(segment: str, name: str) -> None:
    contract = CONTRACTS.by_segment_name(segment)
    assert contract is not None
    assert contract.name == name
