"""Graded answers: `table:` names one or two scales, `do:` has what to do in each of their cells."""

from collections.abc import Sequence

from engine.rules.expression.compile import Condition
from engine.rules.model import Axis, Table
from engine.rules.parts.when import parse_condition
from engine.rules.scopes import Scopes
from engine.rules.text.reader import Reader
from engine.rules.text.source import Node

AXES_MAX = 2
GRADES_MAX = 6
OTHERWISE = "otherwise"


def parse_table(
    reader: Reader, root: Node, scopes: Scopes, *, trigger: str
) -> tuple[Table | None, Sequence[Node]]:
    """Return (the table, the nodes of all its actions in order); None and the plain list without.

    Each scale lists its grades from the strongest on; the first that definitely holds counts, and
    `otherwise` is the last one. Every cell has its actions, `[]` where nothing is to be done.
    """
    node = reader.child(root, "table")
    if node is None:
        return None, reader.items(root, "do")
    if node.kind != "map" or not 0 < len(node.pairs) <= AXES_MAX:
        reader.add(node, "R143", f"a table has one or {AXES_MAX} scales", _SUCH_AS)
        return None, []
    axes = tuple(
        Axis(name, _grades(reader, value, scopes, trigger))
        for name, (_, value) in node.pairs.items()
    )
    cells: dict[tuple[str, ...], tuple[int, ...]] = {}
    nodes: list[Node] = []
    _cells(reader, reader.child(root, "do") or root, axes, (), cells, nodes)
    return Table(axes, cells), nodes


_SUCH_AS = "such as value: {high: profile.trade.total >= 5000.0, low: otherwise}"


def _grades(
    reader: Reader, node: Node, scopes: Scopes, trigger: str
) -> tuple[tuple[str, Condition | None], ...]:
    if node.kind != "map" or not 0 < len(node.pairs) <= GRADES_MAX:
        reader.add(node, "R143", f"a scale has 1 to {GRADES_MAX} grades", _SUCH_AS)
        return ()
    found: list[tuple[str, Condition | None]] = []
    for index, (name, (key, value)) in enumerate(node.pairs.items()):
        if value.text.strip() == OTHERWISE:
            if index < len(node.pairs) - 1:
                reader.add(key, "R143", "'otherwise' is the last grade of a scale")
            found.append((name, None))
            continue
        condition = parse_condition(reader, node, name, scopes, trigger=trigger)
        found.append((name, condition))
    return tuple(found)


def _cells(
    reader: Reader,
    node: Node,
    axes: tuple[Axis, ...],
    grades: tuple[str, ...],
    cells: dict[tuple[str, ...], tuple[int, ...]],
    nodes: list[Node],
) -> None:
    """Go through the cells below a node, one scale deeper with each call."""
    if not axes:
        items = node.items if node.kind == "list" else [node]
        cells[grades] = tuple(range(len(nodes), len(nodes) + len(items)))
        nodes.extend(items)
        return
    names = [name for name, _ in axes[0].grades]
    if reader.keys(node, names):
        for name in names:
            below = reader.child(node, name)
            if below is None:
                where = " x ".join([*grades, name])
                reader.add(node, "R144", f"no answer for {where}", f"add {name}: [] to do nothing")
            else:
                _cells(reader, below, axes[1:], (*grades, name), cells, nodes)
