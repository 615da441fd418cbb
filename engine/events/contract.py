"""Contracts of events: what each may carry, what it means, and what it is called elsewhere.

One YAML file an event under `topics/events/`. Text comes in, not paths; every mistake of every file
is reported at once, with its line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from engine.errors import ContractError
from engine.events.fields import Field, FieldType, checker_of, parse_type
from engine.events.ids import ENTITIES, TYPES

STAGES = ("", "search", "site", "shopping", "satisfaction")  # 4S
SECTIONS = ("", "basic", "trade", "behaviour", "enquiry", "complaint")
CLASSES = ("", "communication", "channel", "staff", "brand")
_KEYS = frozenset(
    "event title channel touchpoint class stage section key fields traits segment examples".split()
)
_FIELD_KEYS = frozenset("type personal identifier from unit about".split())


@dataclass(frozen=True, slots=True)
class Contract:
    """What one event type may carry.

    `key`: "person", or the kind of thing it belongs to; `key_field`: the field that names the
    thing ('' if it names none). `traits`: field -> fact about the person that it sets. `segment`:
    names that it answers to in the Segment spec. `good`, `bad`: examples, which are tests.
    """

    name: str
    title: Mapping[str, str]
    channel: str
    touchpoint: str = ""
    touchpoint_class: str = ""
    stage: str = ""
    section: str = ""
    key: str = "person"
    entity: str = ""
    key_field: str = ""
    fields: Mapping[str, Field] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)
    segment: tuple[str, ...] = ()
    good: tuple[Mapping[str, Any], ...] = ()
    bad: tuple[Mapping[str, Any], ...] = ()


class Contracts:
    """All contracts of a rule set, by canonical name and by Segment name."""

    def __init__(
        self, by_name: Mapping[str, Contract], sets: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.by_name = by_name
        self.sets = sets
        self._by_segment = {s: c for c in by_name.values() for s in c.segment}
        self._checks: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}

    def get(self, name: str) -> Contract | None:
        """Return the contract of a canonical event name."""
        return self.by_name.get(name)

    def by_segment_name(self, name: str) -> Contract | None:
        """Return the contract that a Segment event name, or a canonical one, means."""
        return self._by_segment.get(name) or self.by_name.get(name)

    def nearest(self, name: str) -> str | None:
        """Return the known name that a wrong one was probably meant to be."""
        near = get_close_matches(name, [*self.by_name, *self._by_segment], 1, 0.75)
        return near[0] if near else None

    def check(self, contract: Contract, data: dict[str, Any]) -> dict[str, Any]:
        """Return the data under canonical names, typed; money as int minor units with `currency`.

        Raises
        ------
        ContractError
            contract/type, contract/missing or contract/set, with path, wanted and got.
        """
        check = self._checks.get(contract.name)
        if check is None:
            check = self._checks[contract.name] = checker_of(contract.fields, self.sets)
        return check(data)


def load_yaml(text: str, where: str) -> Any:
    """Return the plain value of a YAML text: only true/false, numbers, null and strings.

    Raises
    ------
    ContractError
        contract/yaml, with line and column; a repeated key is a mistake.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise ContractError(str(error.problem), where=line, code="contract/yaml") from None


class _Loader(yaml.SafeLoader):
    """YAML without its traps: `on`, `no`, `21:00` and `1997-01-01` are strings."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", "tf"),
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("tag:yaml.org,2002:int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
    ("tag:yaml.org,2002:float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+(?:e-?[0-9]+)?$", "-0123456789"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
        if key in found:
            raise yaml.constructor.ConstructorError(
                None, None, f"key `{key}` stands here twice", key_node.start_mark
            )
        found[key] = loader.construct_object(value_node, deep=True)  # type: ignore[no-untyped-call]
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse_contracts(texts: Mapping[str, str]) -> Contracts:
    """Return the contracts of some files, by path; `sets.yaml` among them holds the sets.

    Raises
    ------
    ContractError
        With every mistake of every file, a line each.
    """
    problems: list[str] = []
    by_name: dict[str, Contract] = {}
    sets: dict[str, tuple[str, ...]] = {}
    for path, text in sorted(texts.items()):
        try:
            body = load_yaml(text, path)
        except ContractError as error:
            problems.append(str(error))
            continue
        if path.endswith("sets.yaml"):
            sets = {name: tuple(map(str, values)) for name, values in body.items()}
            continue
        contract = _contract(path, body, problems)
        if contract is not None:
            if contract.name in by_name:
                problems.append(f"{path}: event `{contract.name}` has another file already")
            by_name[contract.name] = contract
    for contract in by_name.values():
        for name, spec in contract.fields.items():
            if spec.type.choices and spec.type.choices not in sets:
                problems.append(
                    f"{contract.name}: field `{name}`: no set `{spec.type.choices}` in sets.yaml"
                )
    if problems:
        raise ContractError("\n".join(problems), code="contract/file")
    return Contracts(by_name, sets)


def _contract(path: str, body: Any, problems: list[str]) -> Contract | None:
    if not isinstance(body, dict) or not isinstance(body.get("event"), str):
        problems.append(f"{path}: `event` is missing; it names the event, such as order.placed")
        return None
    before = len(problems)
    for key in body.keys() - _KEYS:
        near = get_close_matches(key, _KEYS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        problems.append(f"{path}: unknown key `{key}`{hint}")
    for key, allowed in (("stage", STAGES), ("section", SECTIONS), ("class", CLASSES)):
        if body.get(key, "") not in allowed:
            problems.append(f"{path}: {key} `{body[key]}` is none of {', '.join(allowed[1:])}")
    fields = {
        name: spec
        for name, value in (body.get("fields") or {}).items()
        if (spec := _field(path, name, value, problems)) is not None
    }
    key, entity, key_field = _key(path, str(body.get("key", "person")), fields, problems)
    if len(problems) > before:
        return None
    name = body["event"]
    title = body.get("title") or {"en": name}
    examples = body.get("examples") or {}
    return Contract(
        name=name,
        title={"en": title} if isinstance(title, str) else title,
        channel=body.get("channel") or name.partition(".")[0],
        touchpoint=body.get("touchpoint", ""),
        touchpoint_class=body.get("class", ""),
        stage=body.get("stage", ""),
        section=body.get("section", ""),
        key=key,
        entity=entity,
        key_field=key_field,
        fields=fields,
        traits=body.get("traits") or {},
        segment=tuple(body.get("segment") or ()),
        good=tuple(examples.get("good") or ()),
        bad=tuple(examples.get("bad") or ()),
    )


def _field(path: str, name: str, value: Any, problems: list[str]) -> Field | None:
    spec = {"type": value} if isinstance(value, str) else value
    if not isinstance(spec, dict) or "type" not in spec:
        problems.append(f"{path}: field `{name}` has no type; such as `{name}: string`")
        return None
    for key in spec.keys() - _FIELD_KEYS:
        problems.append(f"{path}: field `{name}`: unknown key `{key}`")
    identifier = spec.get("identifier")
    if identifier is not None and identifier not in TYPES:
        problems.append(f"{path}: field `{name}`: no identifier type `{identifier}`")
    kind = parse_type(str(spec["type"]))
    if kind is None:
        problems.append(f"{path}: field `{name}`: no type `{spec['type']}`; such as optional string")
        return None
    return Field(
        name=name,
        type=kind,
        personal=bool(spec.get("personal", identifier is not None)),
        identifier=identifier,
        aliases=tuple(spec.get("from") or ()),
        unit=str(spec.get("unit", "")),
    )


def _key(
    path: str, text: str, fields: Mapping[str, Field], problems: list[str]
) -> tuple[str, str, str]:
    """`person`, `store(store_id)`, or `person, store(store_id)`: who it belongs to, who hears it."""
    key, entity, key_field = "person", "", ""
    for part in text.split(","):
        kind, _, rest = part.strip().partition("(")
        if kind == "person":
            continue
        entity, key_field = kind, rest.rstrip(")")
        if entity not in ENTITIES:
            problems.append(f"{path}: key: no kind of thing `{entity}`; {', '.join(ENTITIES)}")
        elif key_field not in fields:
            problems.append(f"{path}: key: no field `{key_field}`")
        if "person" not in text:
            key = entity
    return key, entity, key_field


__all__ = ["Contract", "Contracts", "Field", "FieldType", "load_yaml", "parse_contracts"]
