"""The published JSON Schema: it is the parser's, and takes what the parser takes."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from jsonschema import Draft7Validator

from engine.adapters.files import read_rules
from engine.errors import RulesError
from engine.events.contract import load_yaml
from engine.rules.compile import compile_rules
from engine.rules.text.schema import schema
from tests.turns import ROOT, contracts
from tests.unit.rules.test_rule_files import GOOD, MISTAKES

COMMITTED = Path(ROOT) / "rules" / "rule.schema.json"
FILES = read_rules(ROOT / "rules")
CHECK = Draft7Validator(schema(contracts()))
# What only the checker can know: names inside of expressions, and what belongs together.
MEANING = {"E203", "E211", "E213", "R134", "R136", "R140", "E115", "R103", "R104"}


def read(text: str) -> Any:
    """Return a rule file as an editor sees it."""
    return load_yaml(text, "r.yaml")


def test_the_committed_schema_is_the_one_that_the_parser_makes() -> None:
    hint = "run: engine rules schema > rules/rule.schema.json"
    assert orjson.loads(COMMITTED.read_bytes()) == schema(contracts()), hint


@pytest.mark.parametrize("path", FILES, ids=lambda path: Path(path).stem)
def test_every_rule_that_we_ship_is_valid(path: str) -> None:
    found = [(list(e.path), e.message[:80]) for e in CHECK.iter_errors(read(FILES[path]))]
    assert found == []


@pytest.mark.parametrize(("old", "new", "code", "place", "hint"), MISTAKES)
def test_a_mistake_of_shape_is_one_for_the_schema_too(
    old: str, new: str, code: str, place: object, hint: str
) -> None:
    try:
        body = yaml.safe_load(GOOD.replace(old, new, 1))
    except yaml.YAMLError:
        return  # an editor says so by itself
    if code not in MEANING or new.startswith("per:"):
        assert not CHECK.is_valid(body)


@pytest.mark.parametrize(
    ("old", "new", "is_right"),
    [
        ("- case: look", "- message: x\n    channels: []", False),
        ("- case: look", "- message: x\n    channels: email", True),
        ("  - event: cart.updated", "  - event: cart.updated\n    times: 1", True),
        ("do:", "  - not: order.placed\ndo:", False),
        ("do:", "  - not: order.placed\n    within: 1h\ndo:", True),
        ("do:", "limits: [64 per 1h30m, 1 per day in group promo]\ndo:", True),
        ("do:", "limits: [0 per 1d]\ndo:", False),
        ("do:", "per: cart_id\ndo:", True),
        ("do:", "owner:\ndo:", False),
    ],
)
def test_schema_and_checker_agree(old: str, new: str, is_right: bool) -> None:
    text = GOOD.replace(old, new, 1)
    if "owner" in new:
        text = text.replace("owner: a@shop.example\n", "", 1)
    assert CHECK.is_valid(yaml.safe_load(text)) is is_right
    try:
        compile_rules({"r.yaml": text}, contracts(), version="v")
    except RulesError:
        assert not is_right
    else:
        assert is_right


def test_what_the_schema_takes_in_shape_the_parser_takes() -> None:
    text = GOOD.replace("do:", "repeat: each\nholdout: 0%\nfresh: 1h30m\nlimits: 1 per 7d\ndo:")
    assert CHECK.is_valid(read(text))
    try:
        compile_rules({"r.yaml": text}, contracts(), version="v")
    except RulesError as error:
        pytest.fail(str(error))
