"""Who is left out, always the same: the comparison group, and who is outside of a pilot."""

from hashlib import sha256

from engine.profile import schema
from engine.profile.model import Actor
from engine.rules.model import Rule

SALT = "holdout-1"  # another salt draws other customers; changed between quarters
PILOT = "scope-1"  # of a pilot's share: both arms are inside of it
_FACTS = schema.schema()


def is_held_out(rule: Rule, customer: str) -> bool:
    """Tell whether a customer is in the comparison group of a rule; always the same answer."""
    if not rule.holdout or rule.kind == "service":
        return False
    return _place(SALT, rule, customer) < rule.holdout * 2**64


def is_inside(rule: Rule, actor: Actor, customer: str, at: int) -> bool:
    """Tell whether a rule may act on somebody at all."""
    return rule.scope is None or not outside(rule, actor, customer, at)[0]


def outside(rule: Rule, actor: Actor, customer: str, at: int) -> tuple[str, object]:
    """Return the fact that keeps somebody out, with its value; ('share', None) for the share.

    ('', None) for who is inside.
    """
    scope = rule.scope
    assert scope is not None
    for name, wanted in scope.facts.items():
        value = schema.read(_FACTS, name, actor, at)
        if value is None or str(value) not in wanted:
            return name, value
    return ("", None) if is_of_share(rule, customer) else ("share", None)


def is_of_share(rule: Rule, customer: str) -> bool:
    """Tell whether a customer is of the share of a rule's scope; always the same answer."""
    if rule.scope is None or rule.scope.share >= 1:
        return True
    return _place(PILOT, rule, customer) < rule.scope.share * 2**64


def _place(salt: str, rule: Rule, customer: str) -> int:
    name = f"{salt}\0{rule.id}\0{customer}".encode()
    return int.from_bytes(sha256(name).digest()[:8], "big")
