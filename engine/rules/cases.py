"""Tests inside rule files: what is given, what happens to whom and when, what is expected."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from engine.clock import iso, parse_iso
from engine.errors import ContractError
from engine.events.contract import Contracts
from engine.profile.schema import FEATURES
from engine.rules.expression.types import field_type
from engine.rules.model import ACTIONS, Case
from engine.rules.scopes import profile_of
from engine.rules.text.reader import Reader, nearest
from engine.rules.text.source import Node
from engine.rules.text.values import LENGTH_HINT, length_ms

START = "2026-03-04T10:00:00+08:00"  # a Wednesday morning in Shanghai: no quiet hours
CASE = ("name", "given", "events", "expect")
GIVEN = ("features", "profile", "start", "held_out")
EXPECT = ("at", "who", *ACTIONS, "held_out", "channels", "instance")
INCIDENT = "incident"  # who raises the case of a guard
WHO_MAX = 200  # customers of one test
WHO_HINT = "write a name such as ann, or a range such as 1-20"
_WHO = re.compile(r"[a-z][a-z0-9_]*|[1-9][0-9]{0,3}")
_RANGE = re.compile(r"([1-9][0-9]{0,3})\s*-\s*([1-9][0-9]{0,3})")
_Event = tuple[int, int, str, Mapping[str, Any], str]


def parse_cases(reader: Reader, root: Node, contracts: Contracts) -> tuple[Case, ...]:
    """Return the tests of a file; their mistakes go to the reader."""
    return tuple(
        _case(reader, node, contracts)
        for node in reader.items(root, "tests")
        if reader.keys(node, CASE, ("name", "events", "expect"))
    )


def _case(reader: Reader, node: Node, contracts: Contracts) -> Case:
    given = reader.child(node, "given") or Node("map", node.line, node.column)
    reader.keys(given, GIVEN)
    start = reader.text(given, "start", START)
    try:
        start_at = parse_iso(start)
    except ValueError:
        start_at = parse_iso(START)
        reader.add(given.pairs["start"][1], "R126", f"'{start}' is no instant", f"write {START}")
    events = [_event(reader, item, contracts) for item in reader.items(node, "events")]
    people = {who for found in events for *_, who in found}
    if len(people) > WHO_MAX:
        reader.add(node, "R148", f"a test has at most {WHO_MAX} customers")
    expect = [_expect(reader, item, people) for item in reader.items(node, "expect")]
    return Case(
        name=reader.text(node, "name"),
        line=node.line,
        start=start_at,
        held_out=reader.choice(given, "held_out", ("true", "false"), "false") == "true",
        features=_features(reader, given, contracts),
        profile=_profile(reader, given, contracts),
        events=tuple(each for found in events for each in found),
        expect=tuple(item for item in expect if item is not None),
    )


def _features(reader: Reader, given: Node, contracts: Contracts) -> dict[str, float]:
    node = reader.child(given, "features")
    if node is None or not reader.keys(node, FEATURES):
        return {}
    found = {}
    for name, (_, value) in node.pairs.items():
        number = reader.data(value)
        if isinstance(number, int | float) and not isinstance(number, bool):
            found[name] = float(number)
            _fits(reader, value, name, FEATURES.get(name), contracts)
        else:
            reader.add(value, "R113", f"'{value.text}' is no number", "such as 0.7")
    return found


def _profile(reader: Reader, given: Node, contracts: Contracts) -> dict[str, Any]:
    node = reader.child(given, "profile")
    if node is None or node.kind != "map":
        return {}
    facts, found = profile_of(contracts), {}
    for name, key, value in _flat(node):
        fact = facts.get(name)
        if fact is None:
            reader.add(key, "E204", f"the profile has no '{name}'", nearest(name, facts))
        elif getattr(fact, "read", None) is not None:
            hint = "let events lead to it"
            reader.add(key, "R139", f"'{name}' is worked out, so it cannot be given", hint)
        else:
            found[name] = reader.data(value)
            _fits(reader, value, name, fact, contracts)
    return found


def _fits(reader: Reader, node: Node, name: str, fact: Any, contracts: Contracts) -> None:
    """Tell a given fact or score that can be no such thing; null is what is not known."""
    value = reader.data(node)
    if fact is None or value is None:
        return
    type, between = field_type(fact), getattr(fact, "between", None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    choices = () if type.choices in contracts.open_sets else contracts.sets.get(type.choices or "")
    if type.base in ("int", "double", "money") and not is_number:
        reader.add(node, "R138", f"{name}: want number, got '{node.text}'")
    elif between is not None and is_number and not between[0] <= value <= between[1]:
        reader.add(node, "E214", f"{value:g} is outside of {between[0]:g} to {between[1]:g}")
    elif type.base == "bool" and not isinstance(value, bool):
        reader.add(node, "R138", f"{name}: want true or false, got '{node.text}'")
    elif type.base == "string" and not isinstance(value, str):
        reader.add(node, "R138", f"{name}: want text, got '{node.text}'", "write it in quotes")
    elif choices and value not in choices:
        hint = nearest(str(value), choices) or "one of " + ", ".join(choices)
        reader.add(node, "E213", f'"{value}" is not one of {type.choices}', hint)


def _flat(node: Node, prefix: str = "") -> Iterator[tuple[str, Node, Node]]:
    """Yield (dotted name, its key, its value) of each fact."""
    for name, (key, value) in node.pairs.items():
        if value.kind == "map":
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, key, value


def _event(reader: Reader, node: Node, contracts: Contracts) -> list[_Event]:
    """Return an event of a test, once for each customer that it happens to."""
    names = [n for n in node.pairs if n not in ("at", "arrives", "who")]
    at = _at(reader, node, "at", 0)
    arrives = _at(reader, node, "arrives", at)
    if len(names) != 1:
        reader.add(node, "R127", "an event of a test has a time and one name", "{at: 2m, NAME: {}}")
        return []
    key, value = node.pairs[names[0]]
    contract = contracts.get(names[0])
    if contract is None:
        hint = nearest(names[0], contracts.by_name)
        reader.add(key, "E231", f"unknown event type '{names[0]}'", hint)
        return []
    data = reader.data(value) if value.kind == "map" else {}
    for name in data.keys() - contract.fields.keys():
        hint = nearest(name, contract.fields)
        place = value.pairs[name][0]
        message = f"event '{contract.name}' has no field '{name}'"
        reader.add(place, "E203", message, hint, level="warning")
    try:
        contracts.check(contract, data)
    except ContractError as error:
        reader.add(value if value.pairs else key, "R138", error.message)
    return [(at, arrives, names[0], data, who) for who in _who(reader, node)]


def _who(reader: Reader, node: Node) -> list[str]:
    """Return whom an event happens to: the test's own customer, one by name, or a range of them."""
    text = reader.text(node, "who")
    if found := _RANGE.fullmatch(text):
        first, last = int(found[1]), int(found[2])
        if first <= last < first + WHO_MAX:
            return [str(number) for number in range(first, last + 1)]
    elif not text or (_WHO.fullmatch(text) and text != INCIDENT):
        return [text]
    reader.add(node.pairs["who"][1], "R148", f"'{text}' is no customer of a test", WHO_HINT)
    return []


def _expect(reader: Reader, node: Node, people: Collection[str]) -> Mapping[str, Any] | None:
    if not reader.keys(node, EXPECT):
        return None
    found = {n: reader.data(v) for n, (_, v) in node.pairs.items() if n not in ("at", "who")}
    found["who"] = who = reader.text(node, "who")
    if who not in people and who not in ("", INCIDENT):
        hint = nearest(who, people) or "name one of the events"
        reader.add(node.pairs["who"][1], "R148", f"nothing happens to '{who}' in this test", hint)
    if "at" in node.pairs:
        found["at"] = _at(reader, node, "at", 0)
    return found


def _at(reader: Reader, node: Node, name: str, default: int) -> int:
    value = reader.child(node, name)
    if value is None:
        return default
    text = value.text.strip()
    found = length_ms(text.removeprefix("-"))
    if found is None:
        reader.add(value, "R110", f"'{text}' is not a length of time", LENGTH_HINT)
        return default
    return -found if text.startswith("-") else found


def compare(case: Case, got: Sequence[Mapping[str, Any]], lang: str = "en") -> list[str]:
    """Return what differs between the expected and the real decisions, in words of `lang`.

    `got`: {at: UTC ms, who, type, name, held_out, channels} each, in the order of decision.
    """
    differences = []
    left = list(got)
    for wanted in case.expect:
        match = next((item for item in left if _matches(case, wanted, item)), None)
        if match is None:
            differences.append(_MISSING[lang].format(_words(wanted, lang)))
        else:
            left.remove(match)
    differences += [_SURPLUS[lang].format(_seen(case, item, lang)) for item in left]
    return differences


_MISSING = {"en": "expected {}, which did not happen", "zh": "应有{}，但没有发生"}
_SURPLUS = {"en": "nobody expected {}", "zh": "出现了未预期的{}"}
_AT = {"en": " at {}", "zh": "，时间{}"}
_FOR = {"en": " for {}", "zh": "，客户{}"}
_HELD = {"en": " (held out)", "zh": "（对照组）"}


def _matches(case: Case, wanted: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    for name, value in wanted.items():
        if name == "at":
            if item["at"] - case.start != value:
                return False
        elif name in ACTIONS:
            if (item["type"], item["name"]) != (name, value):
                return False
        elif item.get(name, "") != value:
            return False
    return bool(wanted.get("held_out", False)) == bool(item.get("held_out", False))


def _words(wanted: Mapping[str, Any], lang: str) -> str:
    at = _AT[lang].format(_length(wanted["at"])) if "at" in wanted else ""
    rest = (f"{n} {value}" for n, value in wanted.items() if n not in ("at", "who"))
    return ", ".join(rest) + _whose(wanted, lang) + at


def _seen(case: Case, item: Mapping[str, Any], lang: str) -> str:
    held = _HELD[lang] if item.get("held_out") else ""
    at = _AT[lang].format(_length(item["at"] - case.start))
    return f"{item['type']} {item['name']}{_whose(item, lang)}{at}{held} ({iso(item['at'])})"


def _whose(item: Mapping[str, Any], lang: str) -> str:
    return _FOR[lang].format(item["who"]) if item.get("who") else ""


def _length(ms: int) -> str:
    seconds, rest = divmod(abs(ms), 1000)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{rest}ms")
    return ("-" if ms < 0 else "") + ("".join(parts) or "0m")
