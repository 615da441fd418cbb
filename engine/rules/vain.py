"""Warnings about conditions that have one answer whatever happens: certain, or silent."""

from collections.abc import Iterator

from engine.rules.answers import clauses, conflicts, findings, is_count
from engine.rules.compile import RuleSet
from engine.rules.expression.compile import Condition
from engine.rules.expression.meaning import (
    Aggregate,
    All,
    Choice,
    Compare,
    Either,
    Meaning,
    Not,
    Read,
    walk,
)
from engine.rules.expression.parse import parse
from engine.rules.expression.tree import Call, Infix, Logic, Path, Prefix, Ternary
from engine.rules.expression.tree import Node as Tree
from engine.rules.model import Rule
from engine.rules.parts.shared import Shared
from engine.rules.text.problems import Problem, bounded
from engine.rules.text.reader import Reader
from engine.rules.text.source import Node, parse_source

ALWAYS, NEVER = "E226", "E227"
_CONDITIONS = (Logic, Infix, Prefix)  # what an aggregate's own condition with parts is written as


def vain(rules: RuleSet) -> list[Problem]:
    """Return warnings about the conditions of a set of files, which has no mistake.

    They are for who writes rules: a worker that takes a set over does not ask.
    """
    found: list[Problem] = []
    for path, text in rules.files.shared.items():
        reader = Reader(path)
        for node, condition in _shared(reader, parse_source(path, text)[0], rules.shared):
            _check(reader, node, condition)
        found += reader.problems
    for path, read in rules.files.rules.items():
        reader, rule = Reader(path), read.rule
        root, _ = parse_source(path, read.text)
        for place, asked in _conditions(reader, root, rule):
            if place is not None and asked is not None:
                _check(reader, place, asked)
        place = reader.child(root, "if")
        if place is not None and rule.condition is not None:
            _both(reader, place, rule, rule.condition)
        found += bounded(reader.problems)
    return found


def _shared(reader: Reader, root: Node, shared: Shared) -> Iterator[tuple[Node, Condition]]:
    known = {
        "conditions": shared.conditions,
        "segments": {name: each.condition for name, each in shared.segments.items()},
    }
    for section, conditions in known.items():
        node = reader.child(root, section)
        for name, (_, value) in () if node is None else node.pairs.items():
            yield reader.child(value, "if") or value, conditions[name]


def _conditions(
    reader: Reader, root: Node, rule: Rule
) -> Iterator[tuple[Node | None, Condition | None]]:
    """Yield (where it stands, a condition) of all conditions of a rule."""
    nodes = reader.items(root, "when")
    happens = [node for node in nodes if not node.pairs.keys() & {"not", "unless", "schedule"}]
    stops = [node for node in nodes if "unless" in node.pairs]
    steps = [*zip(happens, rule.steps, strict=True), *zip(stops, rule.cancels, strict=True)]
    if rule.absent is not None:
        steps += [(node, rule.absent) for node in nodes if "not" in node.pairs]
    for node, step in steps:
        yield reader.child(node, "where"), step.where
    yield reader.child(root, "if"), rule.condition
    table = reader.child(root, "table") or root
    for axis in () if rule.table is None else rule.table.axes:
        for name, condition in axis.grades:
            yield reader.child(table.pairs[axis.name][1], name), condition


def _check(reader: Reader, node: Node, condition: Condition) -> None:
    """Warn of each part of a condition that has one answer; `node` has its text."""
    found = list(findings(condition.meaning))
    tree = parse(node.text, []) if found else None
    for part, always, other in found:
        place = None if tree is None else _place(tree, condition.meaning, part)
        if tree is None or place is None:
            continue
        if other is not None:
            _together(reader, node, (_place(tree, condition.meaning, other), place))
        elif not isinstance(place, Path) or isinstance(part, Read):  # shared ones: where they stand
            hint = _why(part)
            if always:
                message = f"'{_written(node, place)}' is always true"
                _warn(reader, node, place, ALWAYS, message, hint)
            else:
                message = f"'{_written(node, place)}' is never true"
                _warn(reader, node, place, NEVER, message, hint)


def _together(reader: Reader, node: Node, places: tuple[Tree | None, Tree]) -> None:
    one, other = places
    if one is not None and one is not other:
        written = _written(node, one), _written(node, other)
        message = f"'{written[0]}' and '{written[1]}' are never true together"
        _warn(reader, node, other, NEVER, message, "write || where one of them is enough")


def _both(reader: Reader, node: Node, rule: Rule, condition: Condition) -> None:
    """Warn of an `if` that is never true of an event that a `where` has let in."""
    wheres = [step.where.meaning for step in rule.steps if step.where is not None]
    # What is known of the customer may have changed by then; the event has not.
    let_in = [c for where in wheres for c in clauses(where) if _is_of_event(c.part)]
    own = list(clauses(condition.meaning))
    of_event = {id(clause.part) for clause in let_in}
    for one, other in conflicts([*let_in, *own]):
        tree = parse(node.text, []) if id(one) in of_event else None
        place = None if tree is None else _place(tree, condition.meaning, other)
        if place is not None:
            message = f"'where' lets no event in of which '{_written(node, place)}' is true"
            _warn(reader, node, place, NEVER, message)


def _is_of_event(part: Meaning) -> bool:
    reads = [each for each in walk(part) if isinstance(each, Read | Aggregate)]
    return all(isinstance(each, Read) and each.source == "event" for each in reads)


def _why(part: Meaning) -> str:
    """Return why a part has one answer: it asks nothing, or its value never goes there."""
    if not any(isinstance(each, Read | Aggregate) for each in walk(part)):
        return "it asks nothing: name a field, such as event.value"
    return "it is 0 or more" if any(is_count(each) for each in part.parts()) else ""


def _place(tree: Tree, meaning: Meaning, part: Meaning) -> Tree | None:
    """Return where a part of a meaning was written: itself, or the least that has it in it."""
    if meaning is part:
        return tree
    below: list[tuple[Tree, Meaning]] = []
    match tree, meaning:
        case Logic(operands=trees), (All(operands=parts) | Either(operands=parts)):
            below = list(zip(trees, parts, strict=True))
        case Prefix(operand=operand), Not(operand=inner):
            below = [(operand, inner)]
        case Ternary(condition=operand), Choice(condition=inner):
            below = [(operand, inner)]
        case Infix(left=left, right=right), Compare(left=one, right=other):
            below = [(left, one), (right, other)]
        case Call(arguments=arguments), Aggregate(where=where) if where is not None:
            below = [(each, where) for each in arguments if isinstance(each, _CONDITIONS)]
    for inside, each in below:
        if (found := _place(inside, each, part)) is not None:
            return found
    return tree if any(each is part for each in walk(meaning)) else None


def _written(node: Node, place: Tree) -> str:
    return " ".join(node.text[place.start : place.end].split())


def _warn(reader: Reader, node: Node, place: Tree, code: str, message: str, hint: str = "") -> None:
    line, column = node.place(place.start)
    text = node.text[place.start : place.end]
    reader.add(Node("text", line, column, text), code, message, hint, level="warning")
