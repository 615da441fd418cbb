"""What an actor's card tells of decisions: the last ones, and what stopped the others."""

from typing import Any

from engine.decision.match import Match
from engine.outcome import Note
from engine.profile.model import TRIGGERS_MAX
from engine.profile.turn import Turn
from engine.rules.model import Rule


def stopped(turn: Turn, rule: Rule, match: Match, why: str) -> None:
    """Note that a match came to nothing, and why.

    Stops of one rule for one reason share an entry, so that a chatty rule leaves room for the rest.
    """
    passed_over(turn, rule, match, why)
    turn.outcome.count("suppressed")
    turn.outcome.count(f"stopped:{why}:{rule.id}")
    entries = turn.actor.triggers
    same = next((e for e in entries if e.get("rule") == rule.id and e.get("outcome") == why), None)
    times = 1 if same is None else int(same.get("times", 1)) + 1
    entry = {"rule": rule.id, "at": match.at, "outcome": why, "times": times}
    turn.actor.triggers = [*(e for e in entries if e is not same), entry][-TRIGGERS_MAX:]


def passed_over(turn: Turn, rule: Rule, match: Match, why: str) -> None:
    """Tell whoever watches that a match does not act now; the card has no room for these."""
    note = Note(rule.id, turn.tenant, turn.node_id, match.at, why, match=match)
    turn.outcome.notes.append(note)


def decided(turn: Turn, match: Match, entry: dict[str, Any]) -> None:
    """Note a decision about a match."""
    ways = tuple(entry.get("channels", ()))
    action = f"{entry['type']} {entry['name']}"
    place = (entry["rule"], turn.tenant, turn.node_id)
    note = Note(*place, entry["at"], entry["outcome"], action, ways, match)
    turn.outcome.notes.append(note)
    turn.actor.triggers = [*turn.actor.triggers, entry][-TRIGGERS_MAX:]
