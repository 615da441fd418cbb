"""Contracts of events: what each may carry, what it means, and what it is called elsewhere.

One YAML file an event under `topics/events/`, and `topics/sets.yaml`. Text comes in, not paths;
every mistake of every file is reported at once, with its line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import yaml

from engine.errors import ContractError
from engine.events.catalogue import Contract, Contracts
from engine.events.fields import BASES, Field, FieldType, parse_type
from engine.events.ids import ENTITIES, TYPES

STAGES = ("", "search", "site", "shopping", "satisfaction")  # 4S
SECTIONS = ("", "basic", "trade", "behaviour", "enquiry", "complaint")
ACTORS = ("", "us", "customer")
CLASSES = ("", "communication", "channel", "staff", "brand")
_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_HEAD = "event title channel touchpoint class stage section key writer by"
_KEYS = frozenset((*_HEAD.split(), "fields", "traits", "segment", "examples"))
_FIELD_KEYS = frozenset(("type", "personal", "identifier", "from", "unit", "about", "min", "max"))
# Every event may name its person by these, whatever its own file says of them.
_IDENTIFIERS = {
    name: Field(name, FieldType("string", None, True), True, name, aliases)
    for name, aliases in (
        ("user_id", ("userId",)),
        ("member_no", ("memberNo",)),
        ("id_number", ("idNumber", "id_card")),
        ("phone", ("mobile",)),
        ("email", ()),
        ("openid", ("openId",)),
        ("unionid", ("unionId",)),
        ("device_id", ("deviceId",)),
        ("anonymous_id", ("anonymousId",)),
    )
}


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
    open_sets: set[str] = set()
    for path, text in sorted(texts.items()):
        try:
            body = load_yaml(text, path)
        except ContractError as error:
            problems.append(str(error))
            continue
        page = _Page(path, body if isinstance(body, Placed) else Placed(), problems)
        if path.endswith("sets.yaml"):
            _sets(page, sets, open_sets)
        elif (contract := _contract(page)) is not None:
            if contract.name in by_name:
                page.problem(page.body, "event", f"`{contract.name}` has another file already")
            by_name[contract.name] = contract
            page.names(contract)
    _whole(by_name, sets, problems)
    if problems:
        raise ContractError("\n".join(problems), code="contract/file")
    return Contracts(by_name, sets, frozenset(open_sets))


class Placed(dict[str, Any]):
    """A mapping of a YAML file that knows the line of each of its keys (counted from 1)."""

    lines: dict[str, int]


def load_yaml(text: str, where: str) -> Any:
    """Return the plain value of a YAML text: only true/false, numbers, null and strings.

    Mappings are `Placed`.

    Raises
    ------
    ContractError
        contract/yaml, with line and column; a repeated key is a mistake.
    """
    if _QUICK is not None and not _ODD.search(text):
        try:
            return yaml.load(text, Loader=_QUICK)
        except yaml.YAMLError:
            return _slowly(text, where)  # it says what is wrong in the same words everywhere
    return _slowly(text, where)


def _slowly(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise ContractError(str(error.problem), where=line, code="contract/yaml") from None
    except yaml.YAMLError as error:
        raise ContractError(str(error), where=where, code="contract/yaml") from None


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Placed:
    found = Placed()
    found.lines = {}
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        if key in found:
            raise yaml.constructor.ConstructorError(
                None, None, f"key `{key}` stands here twice", key_node.start_mark
            )
        found[key] = loader.construct_object(value_node, deep=True)
        found.lines[key] = key_node.start_mark.line + 1
    return found


def _without_traps(parser: Any) -> Any:
    """Return a loader for which `on`, `no`, `21:00` and `1997-01-01` are strings."""

    class Loader(parser):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own interface

    for tag, pattern, first in (
        ("bool", r"^(?:true|false)$", "tf"),
        ("null", r"^(?:null|~|)$", ["n", "~", ""]),
        ("int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
        ("float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+(?:e-?[0-9]+)?$", "-0123456789"),
    ):
        kind = f"tag:yaml.org,2002:{tag}"
        Loader.add_implicit_resolver(kind, re.compile(pattern), list(first))
    Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
    return Loader


_Loader = _without_traps(yaml.SafeLoader)
# libyaml, which not every build of PyYAML has; and what it reads otherwise (rules/text/source.py).
_QUICK = _without_traps(yaml.CSafeLoader) if yaml.__with_libyaml__ else None
_ODD = re.compile("[\t\r\x85\u2028\u2029\ufeff?!&*]|[|>][-+0-9]*#")


@dataclass(slots=True)
class _Page:
    """One file being read, and where its problems go."""

    path: str
    body: Placed
    problems: list[str]

    def problem(self, inside: Any, key: str, text: str) -> None:
        """Note a mistake at the line of `key` inside a mapping."""
        line = getattr(inside, "lines", {}).get(key, 1)
        self.problems.append(f"{self.path}:{line}: {text}")

    def unknown(self, inside: Placed, known: frozenset[str]) -> None:
        """Note the keys that nobody knows."""
        for key in inside.keys() - known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            self.problem(inside, key, f"unknown key `{key}`{hint}")

    def names(self, contract: Contract) -> None:
        """Note traits of fields that are not there."""
        for name in contract.traits:
            if name not in contract.fields:
                self.problem(self.body.get("traits"), name, f"traits: no field `{name}`")


def _sets(page: _Page, sets: dict[str, tuple[str, ...]], open_sets: set[str]) -> None:
    """Read `name: [members]`, or `name: {open: true, members: [...]}`."""
    for name, spec in page.body.items():
        members = spec
        if isinstance(spec, Placed):
            page.unknown(spec, frozenset(("open", "members")))
            members = spec.get("members")
            if spec.get("open") is True:
                open_sets.add(name)
        if not isinstance(members, list) or not members:
            page.problem(page.body, name, f"set `{name}` has no members; such as [gold, silver]")
            continue
        sets[name] = tuple(map(str, members))


def _contract(page: _Page) -> Contract | None:
    body, before = page.body, len(page.problems)
    name = body.get("event")
    if not isinstance(name, str) or not _EVENT.fullmatch(name):
        page.problem(body, "event", "`event` is missing; it names the event, such as order.placed")
        return None
    page.unknown(body, _KEYS)
    listed = (("stage", STAGES), ("section", SECTIONS), ("class", CLASSES), ("by", ACTORS))
    for key, allowed in listed:
        if body.get(key, "") not in allowed:
            page.problem(body, key, f"{key} `{body[key]}` is none of {', '.join(allowed[1:])}")
    fields = _fields(page)
    key, entity, key_field = _key(page, fields)
    good, bad = _examples(page)
    if len(page.problems) > before:
        return None
    title = body.get("title") or name
    own = [spec for spec in fields.values() if spec.identifier]
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
        writer=body.get("writer", ""),
        by=body.get("by", "us" if body.get("writer") == "engine" else ""),
        fields=fields,
        traits=body.get("traits") or {},
        segment=tuple(body.get("segment") or ()),
        good=good,
        bad=bad,
        named_by=tuple((f.name, str(f.identifier)) for f in own if f.name != f.identifier),
        secret=tuple(f.name for f in own if f.identifier == "id_number"),
    )


def _fields(page: _Page) -> dict[str, Field]:
    """Return the declared fields, and the identifiers that any event may carry."""
    declared = page.body.get("fields") or Placed()
    found: dict[str, Field] = {}
    if not isinstance(declared, Placed):
        page.problem(page.body, "fields", "`fields` is no mapping; such as `value: money`")
        declared = Placed()
    for name, value in declared.items():
        spec = _field(page, declared, name, value)
        if spec is not None:
            found[name] = spec
    taken = {alias for spec in found.values() for alias in spec.aliases}
    for name, spec in _IDENTIFIERS.items():
        if name not in taken:
            found.setdefault(name, spec)
    return found


def _field(page: _Page, inside: Placed, name: str, value: Any) -> Field | None:
    spec = {"type": value} if isinstance(value, str) else value
    if not isinstance(spec, dict) or "type" not in spec:
        page.problem(inside, name, f"field `{name}` has no type; such as `{name}: string`")
        return None
    if isinstance(spec, Placed):
        page.unknown(spec, _FIELD_KEYS)
    identifier = spec.get("identifier", name if name in TYPES else None)
    if identifier is not None and identifier not in TYPES:
        page.problem(
            inside, name, f"field `{name}`: no identifier `{identifier}`; {', '.join(TYPES)}"
        )
    kind = parse_type(str(spec["type"]))
    if kind is None:
        known = ", ".join(BASES)
        page.problem(
            inside,
            name,
            f"field `{name}`: no type `{spec['type']}`; one of {known}, or `string in SET`,"
            " each also after `optional`",
        )
        return None
    return Field(
        name=name,
        type=kind,
        personal=bool(spec.get("personal", identifier is not None)),
        identifier=identifier,
        aliases=tuple(map(str, spec.get("from") or ())),
        unit=str(spec.get("unit", "")),
        least=spec.get("min"),
        most=spec.get("max"),
    )


def _key(page: _Page, fields: Mapping[str, Field]) -> tuple[str, str, str]:
    """Read `person`, `store(store_id)`, or `person, store(store_id)`: who owns it, who hears it."""
    text = str(page.body.get("key", "person"))
    key, entity, key_field = "person", "", ""
    for part in text.split(","):
        kind, _, rest = part.strip().partition("(")
        if kind == "person":
            continue
        entity, key_field = kind, rest.rstrip(")")
        if entity not in ENTITIES:
            page.problem(page.body, "key", f"no kind of thing `{entity}`; {', '.join(ENTITIES)}")
        elif key_field not in fields:
            page.problem(page.body, "key", f"no field `{key_field}`")
        elif "person" not in text:
            key = entity
            if fields[key_field].type.optional:
                page.problem(page.body, "key", f"`{key_field}` is the key, so not optional")
    return key, entity, key_field


def _examples(page: _Page) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    examples = page.body.get("examples") or Placed()
    if not isinstance(examples, Placed):
        page.problem(page.body, "examples", "`examples` has two lists: good and bad")
        return (), ()
    for example in examples.get("bad") or ():
        if not isinstance(example, Placed) or set(example) != {"event", "code"}:
            page.problem(examples, "bad", "a bad example is {event: {...}, code: contract/...}")
    return tuple(examples.get("good") or ()), tuple(examples.get("bad") or ())


def _whole(
    by_name: Mapping[str, Contract], sets: Mapping[str, tuple[str, ...]], problems: list[str]
) -> None:
    """Check what no file can know alone: sets that it names, names that two answer to."""
    owner: dict[str, str] = {}
    for contract in by_name.values():
        for spec in contract.fields.values():
            if spec.type.choices and spec.type.choices not in sets:
                problems.append(
                    f"{contract.name}: field `{spec.name}`: no set `{spec.type.choices}`"
                    f" in sets.yaml; {', '.join(sets)}"
                )
        for name in (contract.name, *contract.segment):
            if name in owner:
                problems.append(f"`{name}` means {owner[name]} and {contract.name}; one of them")
            owner[name] = contract.name


__all__ = ["Contract", "Contracts", "Field", "FieldType", "load_yaml", "parse_contracts"]
