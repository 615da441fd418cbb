"""The JSON Schema of rule files, for editors: completion and red lines while one types.

It says less than the checker (no expression is looked into), but never another thing: its keys and
choices are the parser's own constants.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.events.contract import Contracts
from engine.events.ids import ENTITIES
from engine.rules.cases import CASE, EXPECT, GIVEN
from engine.rules.model import ACTIONS, CHANNELS, CONTEXTS, KINDS, REPEATS, STATUSES
from engine.rules.parse import CUSTOMERS_MAX, GUARD, ID_LENGTH_MAX, REQUIRED, TOP
from engine.rules.parts import shared
from engine.rules.parts.actions import KEYS as ACTION_KEYS
from engine.rules.parts.when import DATE, DAYS, EVERY, SILENCE, STEPS, WEEKLY
from engine.rules.scopes import RESERVED

DIALECT = "http://json-schema.org/draft-07/schema#"  # what the YAML plug-ins of editors know
TEXT = {"type": "string"}
LENGTH = {"type": "string", "pattern": r"^(\d{1,7}(\.\d+)?[smhdw])+$", "examples": ["30m", "7d"]}
CONDITION = {"type": ["string", "boolean"], "examples": ["event.value > 100.0"]}
COMPUTED = {"type": "string", "pattern": r"^\s*\{\{.*\}\}\s*$"}
CLOCK = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "examples": ["09:00"]}
SHARE = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*(\d{1,2}(\.\d+)?|100)%\s*$", "examples": ["10%"]},
        {"type": "number", "minimum": 0, "maximum": 1},
    ]
}
AT = {"type": "string", "pattern": r"^-?(\d+(\.\d+)?[smhdw])+$"}
WHO = {"type": ["string", "integer"], "examples": ["ann", "1-20", "incident"]}
LIMIT = {
    "type": "string",
    # 1 to 64: as many decisions as a customer's state remembers.
    "pattern": r"^\s*([1-9]|[1-5]\d|6[0-4])\s+per\s+(day|(\d{1,7}(\.\d+)?[smhdw])+)"
    r"(\s+in\s+group\s+\S+)?\s*$",
    "examples": ["1 per 7d", "3 per day in group promo"],
}
TITLE = {
    "anyOf": [TEXT, {"type": "object", "additionalProperties": TEXT, "properties": {"en": TEXT}}]
}


def schema(contracts: Contracts) -> dict[str, Any]:
    """Return the schema for rule files and shared files; event types are those of the contracts."""
    events = {"enum": sorted(contracts.by_name)}
    return {
        "$schema": DIALECT,
        "title": "Touchpoint rule",
        "if": {"required": ["rule"]},
        "then": _rule(events, contracts),
        "else": _shared(),
    }


def _object(
    keys: Iterable[str], shapes: Mapping[str, Any], required: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the shape of a map with exactly these keys; each must have a shape."""
    found: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: shapes[key] for key in keys},
    }
    if required:
        found["required"] = list(required)
    return found


def _one_or_more(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [shape, {"type": "array", "items": shape}]}


def _rule(events: Mapping[str, Any], contracts: Contracts) -> dict[str, Any]:
    action = {"anyOf": [_action(kind) for kind in ACTIONS]}
    cell = {"anyOf": [action, {"type": "array", "items": action}]}
    cells = {"type": "object", "additionalProperties": cell}
    grades = {"type": "object", "additionalProperties": CONDITION, "maxProperties": 6}
    shapes = {
        "rule": {
            "type": "string",
            "pattern": r"^[a-z0-9]+([-_.][a-z0-9]+)*$",
            "maxLength": ID_LENGTH_MAX,
        },
        "title": TITLE,
        "owner": {"type": "string", "minLength": 1},
        "why": TEXT,
        "status": {"enum": list(STATUSES)},
        "priority": {"type": "integer", "minimum": -1000, "maximum": 1000},
        "kind": {"enum": list(KINDS)},
        "key": {"enum": ["person", *ENTITIES]},
        "per": {"enum": sorted({name for c in contracts.by_name.values() for name in c.fields})},
        "when": _when(events),
        "if": CONDITION,
        "table": {"type": "object", "additionalProperties": grades, "maxProperties": 2},
        "repeat": {"enum": list(REPEATS)},
        "do": {
            "anyOf": [
                *_one_or_more(action)["anyOf"],
                cells,
                {"type": "object", "additionalProperties": cells},
            ]
        },
        "limits": _one_or_more(LIMIT),
        "group": TEXT,
        "quiet_hours": {"type": "string", "pattern": r"^\s*\d\d:\d\d\s*-\s*\d\d:\d\d\s*$"},
        "holdout": SHARE,
        "goal": _object(("event", "within"), {"event": events, "within": LENGTH}, ("event",)),
        "fresh": LENGTH,
        "guard": _object(
            GUARD,
            {
                "same": TEXT,
                "more_than": {"type": "integer", "minimum": 1, "maximum": CUSTOMERS_MAX},
                "within": LENGTH,
                "wait": LENGTH,
                "raise": TEXT,
            },
            ("same", "more_than", "within", "raise"),
        ),
        "context": {"enum": list(CONTEXTS)},
        "scope": {
            "type": "object",
            "properties": {"share": SHARE},
            "additionalProperties": _one_or_more(TEXT),
        },
        "tests": {"type": "array", "items": _test(contracts)},
    }
    return _object(TOP, shapes, REQUIRED)


def _when(events: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of steps: one at least that happens, or is a date."""
    step = _step(events)
    begins = {"anyOf": [{"required": [kind]} for kind in STEPS if kind not in ("not", "unless")]}
    several = {"type": "array", "items": step, "contains": begins}
    return {"anyOf": [{"allOf": [step, begins]}, several]}


def _step(events: Mapping[str, Any]) -> dict[str, Any]:
    date = {"date": TEXT, "before": LENGTH, "at": CLOCK, "every": {"enum": list(EVERY)}}
    weekly = {"every": _one_or_more({"enum": list(DAYS)}), "at": CLOCK}
    silence = {"silence": LENGTH, "of": events, "at": CLOCK}
    shapes = {
        "event": events,
        "not": events,
        "unless": events,
        "entered": TEXT,
        "left": TEXT,
        "as": {
            "type": "string",
            "pattern": r"^[a-z][a-z0-9_]*$",
            "not": {"enum": list(RESERVED)},
        },
        "where": CONDITION,
        "times": {"type": "integer", "minimum": 1, "maximum": 100},
        "within": {"anyOf": [LENGTH, COMPUTED]},
        "schedule": {
            "anyOf": [
                _object(DATE, date, ("date",)),
                _object(SILENCE, silence, ("silence",)),
                _object(WEEKLY, weekly, ("every",)),
            ]
        },
    }
    found = {kind: _object(keys, shapes, (kind,)) for kind, keys in STEPS.items()}
    found["not"]["required"].append("within")
    several = {"properties": {"times": {"minimum": 2}}, "required": ["times"]}
    found["event"] |= {"if": several, "then": {"required": ["within"]}}
    return {"anyOf": list(found.values())}


def _action(kind: str) -> dict[str, Any]:
    scalar = {"type": ["string", "number", "boolean"]}
    shapes = {
        kind: TEXT,
        "channels": {
            "anyOf": [
                {"enum": list(CHANNELS)},
                {"type": "array", "items": {"enum": list(CHANNELS)}, "minItems": 1},
            ]
        },
        "fields": {"type": "object", "additionalProperties": scalar},
        "kind": {"enum": list(KINDS)},
        "deadline": LENGTH,
        "for": LENGTH,
    }
    needed = {"offer": ("channels",), "message": ("channels",), "suppress": ("for",)}
    return _object((kind, *ACTION_KEYS[kind]), shapes, (kind, *needed.get(kind, ())))


def _test(contracts: Contracts) -> dict[str, Any]:
    anything = {"type": "object"}
    event = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "at": AT,
            "arrives": AT,
            "who": WHO,
            **dict.fromkeys(sorted(contracts.by_name), anything),
        },
        "maxProperties": 4,
    }
    bool_ = {"type": "boolean"}
    expect = {
        "at": AT,
        "who": WHO,
        **dict.fromkeys(ACTIONS, TEXT),
        "held_out": bool_,
        "channels": {"type": "array", "items": {"enum": list(CHANNELS)}},
        "instance": TEXT,
    }
    given = {"features": anything, "profile": anything, "start": TEXT, "held_out": bool_}
    shapes = {
        "name": TEXT,
        "given": _object(GIVEN, given),
        "events": {"type": "array", "items": event},
        "expect": {"type": "array", "items": _object(EXPECT, expect)},
    }
    return _object(CASE, shapes, ("name", "events", "expect"))


def _shared() -> dict[str, Any]:
    named = {"anyOf": [CONDITION, _object(shared.CONDITION, {"if": CONDITION, "title": TITLE})]}
    segment = {
        "anyOf": [
            CONDITION,
            _object(
                shared.SEGMENT,
                {"if": CONDITION, "title": TITLE, "daily": {"enum": list(shared.DAILY)}},
            ),
        ]
    }
    listed = {"anyOf": [{"type": "array", "items": TEXT}, {"type": "object"}]}
    shapes = {
        "sets": {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}},
        "conditions": {"type": "object", "additionalProperties": named},
        "segments": {"type": "object", "additionalProperties": segment},
        **dict.fromkeys(shared.CATALOGUE, listed),
        "currency": TEXT,
        "channels": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
    }
    return _object((*shared.KEYS, *shared.COSTS), shapes)
