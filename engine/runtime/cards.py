"""The card of a person or thing in the words of the rules that it lives by."""

from typing import Any

from engine.matching.why.waiting import waiting
from engine.profile.card import card
from engine.profile.contacts import contacts
from engine.profile.model import Actor
from engine.rules.compile import RuleSet
from engine.runtime.lookup import Found


def worded(found: Found, rules: RuleSet | None, now: int, *, masked: bool) -> dict[str, Any]:
    """Return a card as of `now` (UTC ms): with waits in words and titles, where rules are known."""
    told = card(
        found.live.actor, customer=found.customer, aliases=found.aliases, now=now, masked=masked
    )
    return told if rules is None else {**told, **_words(rules, found.live.actor, now)}


def _words(rules: RuleSet, actor: Actor, now: int) -> dict[str, Any]:
    """Return waits in words, and titles of event types and of the rules that were decided."""
    contracts = rules.contracts.by_name
    seen = {name for touch in actor.touches.values() for _, name, _ in contacts(touch)}
    seen |= actor.tallies.keys()
    decided = {str(entry["rule"]) for entry in actor.triggers} & rules.rules.keys()
    return {
        "open_waits": waiting(rules, actor, now),
        "titles": {name: dict(contracts[name].title) for name in seen if name in contracts},
        "rule_titles": {name: dict(rules.rules[name].title) for name in decided},
    }
