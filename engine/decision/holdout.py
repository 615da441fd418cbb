"""Who is left out, so that a rule's effect can be measured: the same customers every time."""

from hashlib import sha256

from engine.rules.model import Rule

SALT = "holdout-1"  # another salt draws other customers; changed between quarters


def is_held_out(rule: Rule, customer: str) -> bool:
    """Tell whether a customer is in the comparison group of a rule; always the same answer."""
    if not rule.holdout or rule.kind == "service":
        return False
    name = f"{SALT}\0{rule.id}\0{customer}".encode()
    return int.from_bytes(sha256(name).digest()[:8], "big") < rule.holdout * 2**64
