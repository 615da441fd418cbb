"""What a rule does: the list under `do`, with the templates of its fields."""

import re
from collections.abc import Sequence

from engine.rules.expression.compile import Value, compile_value
from engine.rules.model import ACTIONS, CHANNELS, Action, Template
from engine.rules.scopes import Scopes
from engine.rules.text.reader import Reader, nearest
from engine.rules.text.source import Node

_VALUE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
KEYS = {
    "offer": ("channels", "fields", "kind", "deadline"),
    "message": ("channels", "fields", "kind", "deadline"),
    "case": ("channels", "fields", "kind", "deadline"),
    "event": ("fields", "kind"),
    "suppress": ("for", "kind"),
}
_ALL = (*ACTIONS, "channels", "deadline", "fields", "for", "kind")


def parse_actions(
    reader: Reader, root: Node, nodes: Sequence[Node], scopes: Scopes, *, trigger: str
) -> tuple[Action, ...]:
    """Return the actions of a rule from their nodes; their mistakes go to the reader."""
    found = []
    if not nodes and (place := root.pairs.get("do")) is not None:
        reader.add(place[0], "R102", "'do' has no action", "such as - offer: cart-10-off")
    for node in nodes:
        if not reader.keys(node, _ALL):
            continue
        kinds = [kind for kind in ACTIONS if kind in node.pairs]
        if len(kinds) != 1:
            hint = "one of " + ", ".join(ACTIONS)
            reader.add(node, "R124", "an action does one thing", hint)
            continue
        kind = kinds[0]
        for name, (key, _) in node.pairs.items():
            if name in _ALL and name not in (kind, *KEYS[kind]):
                reader.add(key, "R101", f"'{kind}' has no '{name}'", "it has " + _known(kind))
        found.append(_action(reader, node, kind, scopes, trigger))
    return tuple(found)


def _known(kind: str) -> str:
    return ", ".join(name for name in KEYS[kind] if name != "kind")


def _action(reader: Reader, node: Node, kind: str, scopes: Scopes, trigger: str) -> Action:
    name = reader.text(node, kind)
    if not name:
        hint = f"such as {kind}: my-{kind}"
        reader.add(node.pairs[kind][0], "R113", f"'{kind}' has no name", hint)
    listed = scopes.shared.catalogue.get(f"{kind}s", ())
    if name and listed and name not in listed:
        hint = nearest(name, listed) or f"list it under {kind}s: in the shared file"
        reader.add(node.pairs[kind][1], "R141", f"there is no {kind} '{name}'", hint)
    channels = []
    for item in reader.items(node, "channels"):
        if item.text not in CHANNELS:
            hint = nearest(item.text, CHANNELS) or "one of " + ", ".join(CHANNELS)
            reader.add(item, "R125", f"no channel '{item.text}'", hint)
        channels.append(item.text)
    if kind in ("offer", "message") and not channels:
        hint = "such as channels: [push, email, sms]"
        reader.add(node.pairs[kind][0], "R102", "'channels' is missing", hint)
    length = reader.length(node, "for") or 0
    if kind == "suppress" and not length and "for" not in node.pairs:
        reader.add(node.pairs[kind][0], "R119", "'suppress' needs 'for'", "such as for: 3d")
    fields = reader.child(node, "fields")
    if fields is not None and fields.kind != "map":
        reader.add(fields, "R105", f"want keys with values, got a {fields.kind}")
        fields = None
    return Action(
        type=kind,
        name=name,
        channels=tuple(channels),
        deadline_ms=reader.length(node, "deadline") or 0,
        for_ms=length,
        fields={
            name: parse_template(reader, value, scopes, trigger=trigger)
            for name, (_, value) in (fields.pairs.items() if fields is not None else ())
        },
    )


def parse_template(reader: Reader, node: Node, scopes: Scopes, *, trigger: str) -> Template:
    """Return a text as its parts: plain ones, and the values between `{{` and `}}`."""
    if node.kind != "text":
        reader.add(node, "R105", f"want a text, got a {node.kind}")
        return ()
    parts: list[str | Value] = []
    at = 0
    scope = scopes.scope()
    for found in _VALUE.finditer(node.text):
        parts.append(node.text[at : found.start()])
        line, column = node.place(found.start(1))
        inner = Node("text", line, column, found[1], "", found[1])
        value = reader.expression(inner, lambda text: compile_value(text, scope, trigger=trigger))
        if value is not None:
            parts.append(value)
        at = found.end()
    rest = node.text[at:]
    if "{{" in rest:
        line, column = node.place(at + rest.index("{{"))
        reader.add(Node("text", line, column, "{{"), "R136", "'{{' without '}}'")
    parts.append(rest)
    return tuple(part for part in parts if part != "")
