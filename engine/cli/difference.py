"""What differs between two rule sets, and what of an old one does not fit today's contracts."""

from collections.abc import Mapping
from difflib import unified_diff
from typing import Any

from engine.adapters.files import read_contracts
from engine.errors import ConfigError, ContractError, RulesError
from engine.events.contract import parse_contracts
from engine.rules.compile import compile_rules
from engine.rules.model import Rule
from engine.rules.text.problems import Problem, report


def difference(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> dict[str, list[Any]]:
    """Return rules by what happens to them; those of `changed` begin anew, the others go on."""
    both = sorted(old.keys() & new.keys())
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": [name for name in both if old[name].version != new[name].version],
        "status": [
            {"rule": name, "from": old[name].status, "to": new[name].status}
            for name in both
            if old[name].status != new[name].status
        ],
        "scope": [name for name in both if old[name].scope != new[name].scope],
        "unchanged": [name for name in both if old[name].version == new[name].version],
    }


def text_diff(
    live: Mapping[str, str],
    texts: Mapping[str, str],
    old: Mapping[str, Rule],
    new: Mapping[str, Rule],
) -> str:
    """Return the changes as `diff -u` writes them, a file a rule."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before = live[old[name].path] if name in old else ""
        after = texts[new[name].path] if name in new else ""
        lines += unified_diff(
            before.splitlines(), after.splitlines(), f"live/{name}", f"new/{name}", lineterm=""
        )
    return "\n".join(lines)


def refused_today(texts: Mapping[str, str], topics_dir: str, lang: str) -> list[str]:
    """Return what in rule files, by path, does not fit the contracts of a folder; a text each.

    Rules that went live before run under the contracts of then; but no event has a field any more
    that nobody sends. Empty where the folder has no contracts that can be read: who goes back in
    a hurry may be anywhere.
    """
    try:
        contracts = parse_contracts(read_contracts(topics_dir))
    except (ConfigError, ContractError):
        return []
    try:
        compile_rules(texts, contracts, version="today")
    except RulesError as error:
        found = [problem for problem in error.problems if isinstance(problem, Problem)]
        return [report([problem], dict(error.texts), lang) for problem in found]
    return []
