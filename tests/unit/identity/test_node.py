"""What a node remembers of refusals, and when it asks the registrar again."""

import pytest

from engine.identity.node import (
    CLAIMED,
    MINE,
    PROVED,
    RETRY_MS,
    TRUSTED,
    Links,
    refuse,
    wants_claim,
)

X = "1pAAAA"
NOW = 655 * RETRY_MS + 1


def refused(seen: int, *, hard: bool = False, ev: int = 0) -> Links:
    """Return the links of a node that hears a refusal of X."""
    links = Links(seen={X: seen})
    refuse(links, X, hard=hard, ev=ev, now=NOW)
    return links


@pytest.mark.parametrize(
    ("seen", "hard", "ev", "after"),
    [
        (CLAIMED, False, 0, -655),
        (TRUSTED, False, 0, TRUSTED),  # the weak claim before it was refused; its own is under way
        (TRUSTED, True, 0, -655),
        (TRUSTED, False, 1, -655 - PROVED),  # parted by staff
        (TRUSTED, True, 1, -655 - PROVED),
        (MINE, True, 1, MINE),
        (-655, True, 1, -655 - PROVED),  # both claims were under way
        (-655 - PROVED, False, 0, -655 - PROVED),
        (-654, False, 0, -655),
    ],
)
def test_what_a_refusal_changes(seen: int, hard: bool, ev: int, after: int) -> None:
    assert refused(seen, hard=hard, ev=ev).seen == {X: after}


@pytest.mark.parametrize("ev", [0, 1])
def test_a_refused_identifier_is_asked_for_once_a_period(ev: int) -> None:
    links = refused(TRUSTED if ev else CLAIMED, ev=ev)
    for at, asks in ((NOW, False), (656 * RETRY_MS - 1, False), (656 * RETRY_MS, True)):
        assert wants_claim(links, X, at=at, trusted=bool(ev)) is asks


def test_trust_asks_once_where_a_weak_claim_was_refused() -> None:
    links = refused(CLAIMED)
    assert wants_claim(links, X, at=NOW, trusted=True)
    links = refused(TRUSTED, ev=1)
    assert not wants_claim(links, X, at=NOW, trusted=True)


def test_what_was_refused_in_an_earlier_period_is_forgotten() -> None:
    links = Links(seen={X: CLAIMED, "1pB": -654, "1pC": -654 - PROVED, "1pD": -655, "1pE": MINE})
    refuse(links, X, hard=False, ev=0, now=NOW)
    assert links.seen == {X: -655, "1pD": -655, "1pE": MINE}


def test_a_refusal_of_what_nobody_has_claimed_changes_nothing() -> None:
    links = Links()
    refuse(links, X, hard=True, ev=1, now=NOW)
    assert links.seen == {}
