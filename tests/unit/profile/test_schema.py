"""What rules may name of a profile, read from a state."""

from typing import Any

import pytest

from engine.clock import DAY_MS
from engine.profile import rfm, schema
from engine.profile.model import Actor, Care, Trade, Trait

NOW = 1_000 * DAY_MS
KNOWN = Actor(
    created_at=5,
    seen_at=7,
    traits={"tier": Trait("gold", "crm", 1), "consent.sms": Trait(False, "web", 1)},
    stage="site",
)
KNOWN.trade = Trade(
    orders=4, total_minor=80_000, returns=1, returned_minor=500, first_at=1, last_at=9
)
KNOWN.complaint = Care(count=3, last_at=8, open={"c1": 8})
EMPTY = Actor()


@pytest.mark.parametrize(
    ("name", "known", "empty"),
    [
        ("tier", "gold", None),
        ("consent.sms", False, None),
        ("city", None, None),
        ("trade.orders", 4, 0),
        ("trade.total", 80_000, 0),
        ("trade.average", 20_000, None),
        ("trade.returned", 500, 0),
        ("trade.first_at", 1, None),
        ("trade.last_at", 9, None),
        ("trade.age", NOW - 9, None),
        ("rfm.recency", 1, None),
        ("rfm.frequency", 3, None),
        ("rfm.monetary", 3, None),
        ("complaint.count", 3, 0),
        ("complaint.open", 1, 0),
        ("complaint.last_at", 8, None),
        ("enquiry.count", 0, 0),
        ("stage", "site", None),
        ("created_at", 5, None),
        ("churn.band", None, None),
        ("no.such", None, None),
    ],
)
def test_a_fact_is_read_and_a_missing_one_is_unknown(name: str, known: Any, empty: Any) -> None:
    facts = schema.schema()
    assert schema.read(facts, name, KNOWN, NOW) == known
    assert schema.read(facts, name, EMPTY, NOW) == empty


def test_rfm_is_cut_by_the_bins_that_the_schema_is_made_with() -> None:
    facts = schema.schema(rfm.Bins(orders=(1, 2, 3, 4)))
    assert schema.read(facts, "rfm.frequency", KNOWN, NOW) == 5


def test_every_fact_has_words_in_both_languages() -> None:
    facts = schema.schema()
    for name, words in schema.labels({**facts, **schema.FEATURES}).items():
        assert all(words.values()), name
