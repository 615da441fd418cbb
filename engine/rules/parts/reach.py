"""What comes to the customers or things that a rule is about; for all else it waits for ever."""

from engine.events.contract import Contracts
from engine.rules.model import Rule
from engine.rules.parts.when import TRANSITIONS
from engine.rules.text.reader import Reader
from engine.rules.text.source import Node


def check_reach(reader: Reader, root: Node, rule: Rule, contracts: Contracts) -> None:
    """An event that never reaches this kind of actor would wait for ever."""
    for place, event in _events(reader, root):
        contract = contracts.get(event)
        if contract is None:
            continue
        if rule.key == "person" and contract.key != "person":
            message = f"'{event}' happens to a {contract.key}, not to a customer"
            reader.add(place, "R134", message, f"write key: {contract.key}")
        elif rule.key not in ("person", contract.entity):
            message = f"'{event}' does not name a {rule.key}"
            reader.add(place, "R134", message, _bearers(contracts, rule.key))


def _bearers(contracts: Contracts, kind: str) -> str:
    names = [c.name for c in contracts.by_name.values() if c.entity == kind]
    return "these do: " + ", ".join(sorted(names)[:4]) if names else ""


def _events(reader: Reader, root: Node) -> list[tuple[Node, str]]:
    found = []
    for node in reader.items(root, "when"):
        for key in ("event", "not", "unless", *TRANSITIONS):
            value = reader.child(node, key)
            if value is not None:
                found.append((value, TRANSITIONS.get(key, value.text)))
    return found
