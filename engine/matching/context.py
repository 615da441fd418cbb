"""`context: city`: a match asks the customer's city what it is like there, then decides.

A city is a thing (D17) that hears of its weather and holidays by events; their traits are what it
answers. Both live in partitions of their own, so the match waits for the answer as it waits for an
incident (guard.py). Without one in time, or where nobody knows the city, nothing is known of it.
"""

import msgspec

from engine.clock import DAY_MS, MINUTE_MS
from engine.decision.decide import decide
from engine.decision.match import Match
from engine.events.model import Event
from engine.matching.cancel import ASKING
from engine.profile import schema
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.model import CONTEXT, Rule

ASKED, TOLD = "context.asked", "context.told"
TYPES = frozenset((ASKED, TOLD))
WAIT_MS = MINUTE_MS
FRESH_MS = DAY_MS  # what is older is not known: yesterday's weather is no reason
_FACTS = schema.schema()


def ask(turn: Turn, rule: Rule, match: Match) -> None:
    """Ask the thing of a match's context; where its name is not known, decide without."""
    value = schema.read(_FACTS, rule.context, turn.actor, match.at)
    match.events = {**match.events, CONTEXT: {}}
    if value is None:
        decide(turn, rule, match)
        return
    at = max(match.at, turn.now)
    data = [rule.version, msgspec.to_builtins(match)]
    if turn.arm(f"{ASKING}:{rule.id}:{match.instance}", at + WAIT_MS, data=data):
        told = {"rule": rule.id, "instance": match.instance}
        asked = turn.event_for_another(ASKED, told, at=at)
        turn.parts += (((rule.context, str(value)), asked),)


def hear(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Take what a thing and the customers who ask it say to one another."""
    if event.type == ASKED:
        facts = {
            name: trait.value
            for name, trait in sorted(turn.actor.traits.items())
            if trait.at > event.at - FRESH_MS
        }
        told = turn.event_for_another(TOLD, {**event.data, CONTEXT: facts}, at=event.at)
        turn.parts += ((event.ids[1], told),)
        return
    rule = rules.rules.get(str(event.data.get("rule")))
    name = f"{ASKING}:{event.data.get('rule')}:{event.data.get('instance', '')}"
    timer = turn.actor.timers.get(name)
    if rule is None or timer is None or timer.data[0] != rule.version:
        return
    turn.cancel(name)
    match = msgspec.convert(timer.data[1], Match)
    match.events = {**match.events, CONTEXT: event.data.get(CONTEXT) or {}}
    if rule.status in ("live", "shadow"):
        decide(turn, rule, match)
