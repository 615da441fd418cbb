"""The tree of an expression gets its meaning: names resolved, types checked, money scaled."""

from collections.abc import Mapping
from typing import Any

from engine.clock import SECOND_MS
from engine.profile.calendar import PERIODS
from engine.profile.things.tally import CUSTOMER
from engine.rules.expression import operators
from engine.rules.expression.meaning import (
    MISTAKEN,
    All,
    Arithmetic,
    Choice,
    Const,
    Convert,
    Either,
    Given,
    ListOf,
    Meaning,
    Member,
    Not,
    Read,
    Report,
    Size,
    TextTest,
    say,
)
from engine.rules.expression.tree import (
    Call,
    Infix,
    Items,
    Literal,
    Logic,
    Name,
    Node,
    Path,
    Prefix,
    Ternary,
)
from engine.rules.expression.types import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    NULL,
    STRING,
    WRONG,
    FieldType,
    Problem,
    Scope,
    did_you_mean,
    field_type,
)

_LITERALS = {
    "int": INT,
    "double": DOUBLE,
    "string": STRING,
    "bool": BOOL,
    "null": NULL,
    "duration": DURATION,
}
_METHODS = ("startsWith", "endsWith", "contains")
_MADE = {"int": INT, "double": DOUBLE, "string": STRING}
_MADE_OF = {
    "int": ("int", "double", "string", "time"),
    "double": ("int", "double", "string"),
    "string": ("string", "int", "double", "bool"),
}
_WRITTEN = ("timestamp", "duration")  # of a text that stands there
_FUNCTIONS = (*operators.AGGREGATES, "has", "size", *_METHODS, *_MADE, *_WRITTEN)


class Checker(Report):
    """Walks one tree once; every mistake is told, and its part becomes `MISTAKEN`."""

    def __init__(self, scope: Scope, trigger: str, text: str, problems: list[Problem]) -> None:
        super().__init__(scope, text, problems)
        self.trigger = trigger
        self.it: Mapping[str, Any] = {}  # fields of the event that an aggregate is over
        self.it_event = ""

    def condition(self, node: Node) -> Meaning:
        """Return the meaning of what must be true or false."""
        found = self.meaning(node)
        if found.type.base in ("bool", "wrong"):
            return found
        message = f"{say(found.type)} where true or false was expected"
        hint = f"compare it, as in {self.written(node)[:40]} == ..."
        return self.tell(node, "E212", message, hint)

    def meaning(self, node: Node) -> Meaning:
        match node:
            case Literal(kind=kind, value=value):
                return Const(_LITERALS[kind], value)
            case Path():
                return self.path(node)
            case Items(items=items):
                return self.items(items)
            case Logic(operator=operator, operands=operands):
                found = tuple(self.condition(operand) for operand in operands)
                return All(found) if operator == "&&" else Either(found)
            case Prefix(operator="!", operand=operand):
                return Not(self.condition(operand))
            case Prefix(operand=operand):
                return operators.negative(self, node, self.meaning(operand))
            case Ternary():
                return self.choice(node)
            case Infix(operator="in"):
                return self.member(node)
            case Infix():
                left, right = self.meaning(node.left), self.meaning(node.right)
                if WRONG in (left.type, right.type):
                    return MISTAKEN
                if node.operator in operators.COMPARISONS:
                    return operators.comparison(self, node, left, right)
                return operators.arithmetic(self, node, left, right)
            case Call():
                return self.call(node)

    def items(self, nodes: tuple[Node, ...]) -> Meaning:
        found = tuple(self.meaning(node) for node in nodes)
        for node, item in zip(nodes, found, strict=True):
            if item.type.base in ("list", "null"):
                return self.tell(node, "E210", f"{say(item.type)} inside a list")
        return MISTAKEN if MISTAKEN in found else ListOf(found)

    def choice(self, node: Ternary) -> Meaning:
        condition = self.condition(node.condition)
        yes, no = self.meaning(node.yes), self.meaning(node.no)
        if WRONG in (yes.type, no.type, condition.type):
            return MISTAKEN
        pair = operators.unified(self, node, yes, no)
        if pair is None:
            message = f"{say(yes.type)} before the : and {say(no.type)} after it"
            return self.tell(node, "E210", message, "both must be of one kind")
        bases = {part.type.base for part in pair}
        kind = DOUBLE if bases == {"int", "double"} else FieldType(pair[0].type.base)
        return Choice(kind, condition, *pair)

    def member(self, node: Infix) -> Meaning:
        item, container = self.meaning(node.left), self.meaning(node.right)
        if WRONG in (item.type, container.type):
            return MISTAKEN
        if container.type.base != "list":
            text = container.type.base == "string" and item.type.base == "string"
            hint = "write b.contains(a) to look inside a text" if text else 'write in ["a", "b"]'
            message = f"{say(container.type)} where a list was expected after in"
            return self.tell(node.right, "E211", message, hint)
        if item.type.base in ("list", "null"):
            return self.tell(node.left, "E211", f"{say(item.type)} cannot be in a list")
        if not isinstance(container, ListOf):
            return Member(item, container)
        places = node.right.items if isinstance(node.right, Items) else ()
        fitting: list[Meaning] = []
        for index, each in enumerate(container.items):
            place = places[index] if index < len(places) else node.right
            pair = operators.unified(self, place, item, each)
            if pair is None:
                message = f"{say(item.type)} cannot equal {say(each.type)}"
                fitting.append(self.tell(place, "E210", message, operators.unquoted(each, item)))
            else:
                item = pair[0]
                operators.check_choice(self, place, item, pair[1])
                operators.check_range(self, place, item, pair[1])
                fitting.append(pair[1])
        return MISTAKEN if MISTAKEN in fitting else Member(item, ListOf(tuple(fitting)))

    def call(self, node: Call) -> Meaning:
        name = node.name.text
        if node.target is not None:
            if name == "size" and not node.arguments:
                return self.size(node, node.target)
            if name in _METHODS:
                return self.text_test(node, node.target)
        elif name in operators.AGGREGATES:
            return self.aggregate(node)
        elif name == "has":
            return self.presence(node)
        elif name == "size" and len(node.arguments) == 1:
            return self.size(node, node.arguments[0])
        elif name in _MADE and len(node.arguments) == 1:
            return self.made(name, node.arguments[0])
        elif name in _WRITTEN and len(node.arguments) == 1:
            return self.written_out(name, node.arguments[0])
        if name == "matches":
            hint = "use startsWith, endsWith or contains"
            return self.tell(node.name, "E220", "there are no regular expressions", hint)
        if name in ("size", *_METHODS):
            hint = "write size(a)" if name == "size" else f'write a.{name}("b")'
            return self.tell(node.name, "E221", f"{name} is used otherwise", hint)
        hint = did_you_mean(name, _FUNCTIONS)
        return self.tell(node.name, "E220", f"there is no function '{name}'", hint)

    def aggregate(self, node: Call) -> Meaning:
        event = operators.aggregated_event(self, node)
        if event is None:
            return MISTAKEN
        fields = self.scope.aggregates(event)
        if fields is None:
            quoted = node.arguments[0]
            place = Name(event, quoted.start + 1, quoted.end - 1)
            hint = did_you_mean(event, self.scope.event_types)
            return self.tell(place, "E231", f"unknown event type '{event}'", hint)
        if self.scope.thing and CUSTOMER not in fields:
            fields = {**fields, CUSTOMER: STRING}
        self.it, self.it_event, self.inside_aggregate = fields, event, True
        found = operators.aggregate(self, node, event, self.meaning, self.condition)
        self.inside_aggregate = False
        return found

    def presence(self, node: Call) -> Meaning:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], Path):
            return self.tell(node, "E221", "has() asks for one field", "write has(event.coupon)")
        found = self.meaning(node.arguments[0])
        return Given(found) if isinstance(found, Read) else MISTAKEN

    def size(self, node: Call, of: Node) -> Meaning:
        found = self.meaning(of)
        if found.type.base in ("string", "list"):
            return Size(found)
        if found.type == WRONG:
            return MISTAKEN
        return self.tell(of, "E211", f"{say(found.type)} has no size")

    def made(self, name: str, of: Node) -> Meaning:
        found = self.meaning(of)
        if found.type == WRONG:
            return MISTAKEN
        if found.type.base not in _MADE_OF[name]:
            return self.tell(of, "E211", f"{name}() of {say(found.type)} has no meaning")
        if found.type.base == "time":  # CEL counts seconds, we milliseconds
            found = Arithmetic(DOUBLE, "/", found, Const(INT, SECOND_MS))
        return Convert(_MADE[name], found)

    def written_out(self, name: str, of: Node) -> Meaning:
        found = self.meaning(of)
        if not isinstance(found, Const) or found.type != STRING:
            return self.tell(of, "E211", f"{name} needs one text")
        if name == "timestamp":
            return operators.instant(self, of, found)
        length = operators.cel_duration_ms(found.value)
        if length is None:
            return self.tell(of, "E211", f"'{found.value[:40]}' is not a length of time")
        return Const(DURATION, length)

    def text_test(self, node: Call, target: Node) -> Meaning:
        name = node.name.text
        if len(node.arguments) != 1:
            return self.tell(node, "E221", f"{name} needs one text", f'write a.{name}("b")')
        both = self.meaning(target), self.meaning(node.arguments[0])
        for place, found in zip((target, node.arguments[0]), both, strict=True):
            if found.type == WRONG:
                return MISTAKEN
            if found.type.base != "string":
                hint = "write a in list" if found.type.base == "list" else ""
                return self.tell(place, "E211", f"{say(found.type)} where text was expected", hint)
        return TextTest(name, *both)

    def path(self, node: Path) -> Meaning:
        root, name = node.parts[0], ".".join(part.text for part in node.parts[1:])
        alias = self.trigger if root.text == "event" else root.text
        known: Mapping[str, Any]
        if root.text == "it":
            if not self.inside_aggregate:
                hint = "it is the event that count(), sum() and their like look at"
                return self.tell(node, "E206", "'it' stands outside of an aggregate", hint)
            source, known, code = "it", self.it, "E203"
            missing = f"event '{self.it_event}' has no field"
        elif alias in self.scope.events:
            source, known, code = "event", self.scope.events[alias], "E203"
            missing = f"event '{self.scope.types.get(alias, alias)}' has no field"
        elif root.text == "profile":
            source, known, code = "profile", self.scope.profile, "E204"
            missing = "the profile has no"
        elif root.text == "local":
            source, code, missing = "profile", "E208", "the customer's local time has no"
            start = "local."
            known = {
                fact.removeprefix(start): found
                for fact, found in self.scope.profile.items()
                if fact.startswith(start)
            }
        elif root.text == "features":
            source, known, code = "feature", self.scope.features, "E205"
            missing = "there is no feature"
        elif root.text == "conditions":
            source, known, code = "conditions", self.scope.conditions, "E209"
            missing = "there is no shared condition"
        elif root.text == "sets":
            source, known, code = "sets", self.scope.sets, "E207"
            missing = "there is no set"
        else:
            return self.unknown_root(node)
        if not name:
            near = next(iter(known), "name")
            message = f"'{root.text}' alone is no value"
            return self.tell(node, "E202", message, f"name a part of it, as in {root.text}.{near}")
        if (found := known.get(name)) is None:
            place = Path(node.parts[1:], node.parts[1].start, node.end)
            return self.tell(place, code, f"{missing} '{name}'", did_you_mean(name, list(known)))
        if source == "it" and field_type(found).base == "list":
            return self.tell(node, "E222", "a list cannot be looked at by an aggregate")
        if source == "conditions":
            meaning: Meaning = self.scope.conditions[name].meaning
            return meaning
        if source == "sets":
            return ListOf(tuple(Const(STRING, word) for word in found))
        reader = getattr(found, "read", None) if source == "profile" else None
        if root.text == "local" and source == "profile":
            name = f"local.{name}"
        return Read(field_type(found), source, alias, name, self.written(node), reader)

    def unknown_root(self, node: Path) -> Meaning:
        root = node.parts[0]
        roots = ["event", "profile", "features", "sets", "local", "conditions", *self.scope.events]
        if self.inside_aggregate:
            roots += PERIODS
        hint = did_you_mean(root.text, roots)
        if not hint and len(node.parts) == 1:
            fields = self.scope.events.get(self.trigger, {})
            if root.text in PERIODS:
                hint = f'write count("order.placed", {root.text})'
            elif root.text in fields:
                hint = f"write event.{root.text}"
            elif root.text in self.scope.profile:
                hint = f"write profile.{root.text}"
            elif root.text in self.scope.features:
                hint = f"write features.{root.text}"
            else:
                hint = f'write "{root.text}" if it is a text'
        return self.tell(root, "E201", f"there is no '{root.text}' here", hint)
