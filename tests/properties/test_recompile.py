"""A rule set made with the help of the one before it is the one that would be made afresh."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from engine.errors import ContractError, RulesError
from engine.events.contract import Contracts, parse_contracts
from engine.rules.compile import Read, RuleSet, compile_rules
from engine.rules.expression.compile import Condition
from engine.rules.parts.shared import is_shared

TOPICS = {str(path): path.read_text() for path in sorted(Path("topics/events").rglob("*.yaml"))}
FILES = {str(path): path.read_text() for path in sorted(Path("rules").rglob("*.yaml"))}
RULES = {path: text for path, text in FILES.items() if re.search("^rule:", text, re.MULTILINE)}
SHARED = {path: text for path, text in FILES.items() if is_shared(text)}
SEEDS = range(2)
EDITS = [  # each turns many rules into other good ones, or into bad ones
    ("status: live", "status: draft"),
    ("within: 30m", "within: 45m"),
    ("holdout: 10%", "holdout: 20%"),
    ("sets.", "sets.no_"),
    ("gold", "silver"),
    ("event: order.placed", "event: order.plced"),
    ("priority: ", "priority: 1"),
    ("1 per 7d", "1 per 8d"),
    (" >= ", " > "),
    ("- ", "-\t"),
]


def plain(value: Any) -> Any:
    """Return all that a set says, without the identity of its functions."""
    if isinstance(value, Condition):
        return "condition", value.text, repr(value.meaning), plain(value.reads)
    if isinstance(value, Contracts):
        return id(value)
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__qualname__", "")
    if isinstance(value, msgspec.Struct):
        names = type(value).__struct_fields__
        return type(value).__name__, [plain(getattr(value, name)) for name in names]
    if is_dataclass(value):
        return type(value).__name__, [plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, Mapping):
        return [(plain(key), plain(value[key])) for key in value]
    if isinstance(value, frozenset | set):
        return sorted(map(repr, value))
    return [plain(each) for each in value] if isinstance(value, tuple | list) else repr(value)


def made(files: dict[str, str], contracts: Contracts, before: RuleSet | None) -> Any:
    try:
        return compile_rules(files, contracts, version="v", before=before)
    except RulesError as error:
        return [str(error), error.problems]


def edited(files: dict[str, str], random: Random) -> dict[str, str]:
    """Return the files of the next version: changed, moved, gone, new, or what they share."""
    found = dict(files)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        path = random.choice(list(found))
        text, kind = found[path], random.randrange(7)
        if kind == 0:
            del found[path]
        elif kind == 1:
            found[path.replace(".yaml", "2.yaml")] = found.pop(path)
        elif kind == 2:
            found[path] = text.replace("\nrule: ", "\nrule: other-").replace(
                "rule: ", "rule: z-", 1
            )
        elif kind == 3 and random.random() < 0.5:
            shared = random.choice(list(SHARED))
            text = found.get(shared, SHARED[shared])
            found[shared] = text.replace(*random.choice((("1", "2"), (">", ">="), ("- ", "- x"))))
        elif kind == 4:
            path = random.choice(list(RULES))
            found[path] = RULES[path]
        else:
            old, new = random.choice(EDITS)
            found[path] = text.replace(old, new, random.choice((1, -1)))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_taken_over_is_what_would_be_read(seed: int) -> None:
    random = Random(seed)
    sets = {"sets.yaml": Path("topics/sets.yaml").read_text(encoding="utf-8")}
    contracts = parse_contracts(TOPICS | sets)
    good = {path: RULES[path] for path in random.sample(list(RULES), 6)} | SHARED
    before, taken, wrong = None, 0, 0
    for _ in range(20):
        files = edited(good, random)
        found, fresh = made(files, contracts, before), made(files, contracts, None)
        if not isinstance(fresh, RuleSet):
            assert found == fresh
            wrong += 1
            continue
        assert plain(found) == plain(fresh)
        if before is not None:
            olds: Mapping[str, Read] = before.files.rules
            taken += sum(found.files.rules[p] is olds.get(p) for p in found.files.rules)
        before, good = found, files
    assert taken, "some rules are taken over"
    assert wrong, "some edits are mistakes"


def test_other_contracts_make_every_rule_anew() -> None:
    path, event = next(p for p in TOPICS if p.endswith("cart.updated.yaml")), "cart.updated"
    sets = {"sets.yaml": Path("topics/sets.yaml").read_text(encoding="utf-8")}
    one = parse_contracts(TOPICS | sets)
    other = parse_contracts(TOPICS | sets | {path: TOPICS[path].replace("value:", "worth:")})
    text = f"rule: r\nowner: o\nwhen: [{{event: {event}, where: event.value > 1.0}}]\n"
    files = {"r.yaml": text + "do: [{case: c}]\n"}
    before = compile_rules(files, one, version="1")
    with pytest.raises((RulesError, ContractError), match="no field 'value'"):
        compile_rules(files, other, version="2", before=before)
