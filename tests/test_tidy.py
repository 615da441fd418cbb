"""The shape of the code: one way of imports, a pure core, small files, confined libraries.

Each rule is a function from a module's source to findings, and each is tried on a bad text first.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

import engine
from engine.events import topics

ROOT = Path(engine.__file__).parent
PURE_FORBIDDEN = frozenset(
    "asyncio time random os sys logging socket threading subprocess pathlib aiohttp redis".split()
)
PURE_ALLOWED = {
    ("profile/logs/exact.py", "sys"),  # columns are little-endian: asserted once
    ("delivery/retry.py", "random"),  # the type of a seeded Random that is passed in
}
CONFINED = {
    "faust": ("adapters/kafka/shell.py",),
    "mode": ("adapters/kafka/shell.py",),
    "redis": ("adapters/redis/wire.py", "adapters/redis/slots.py", "adapters/redis/check.py"),
    "hiredis": ("adapters/redis/wire.py", "adapters/redis/pipe.py"),
    "prometheus_client": ("runtime/observe.py",),
    "yaml": ("events/contract.py", "rules/text/source.py"),
    "river": ("churn/train.py",),
    "datasketches": ("profile/things/tally.py",),
    "confluent_kafka": (
        "adapters/kafka/producer.py",
        "adapters/kafka/topics.py",
        "adapters/kafka/transactions.py",
    ),
    "pyarrow": ("adapters/rows.py",),
    "uvicorn": ("api/serve.py",),
}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
MODULES_MAX = 12
WIDE_FOLDERS = frozenset({"cli", "delivery/channels"})  # plug-ins
NO_NAMES = frozenset({"utils", "helpers", "common", "misc", "base"})


@dataclass(frozen=True)
class Module:
    """A module of the engine: its path below `engine/` and its source."""

    path: str
    text: str

    @property
    def part(self) -> str:
        """Its part of FLOW."""
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return _parsed(self.text)

    def imports(self) -> Iterator[str]:
        """Yield the dotted names that it imports."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache  # every rule reads every module
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def modules() -> list[Module]:
    """Return all modules of the engine."""
    return [
        Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
        if path != ROOT / "__init__.py"
    ]


def against_the_flow(module: Module) -> list[str]:
    """A part imports what stands before it in FLOW, or itself."""
    order = {part: place for place, part in enumerate(engine.FLOW)}
    if module.part not in order:
        return [f"{module.part} is no part of FLOW"]
    parts = {name.split(".")[1] for name in module.imports() if name.startswith("engine.")}
    return [
        f"imports {part}, which stands behind it"
        for part in sorted(parts)
        if order.get(part, 99) > order[module.part]
    ]


def impure(module: Module) -> list[str]:
    """Up to `pipeline` there is no I/O, no clock, no chance, no logging, no async."""
    if module.part not in engine.PURE or module.part in ("registry", "config"):
        return []
    found = [
        f"imports {name}"
        for name in sorted({name.split(".")[0] for name in module.imports()})
        if name in PURE_FORBIDDEN and (module.path, name) not in PURE_ALLOWED
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef):
            found.append(f"async def {node.name}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("open", "print", "input"):
                found.append(f"calls {node.func.id}()")
    return found


def too_long(module: Module) -> list[str]:
    """Files and functions stay readable."""
    lines = module.text.count("\n")
    found = [f"{lines} lines"] if lines > FILE_LINES_MAX else []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                found.append(f"{node.name}: {size} lines")
    return found


def unconfined(module: Module) -> list[str]:
    """A library that could be exchanged is imported in one place."""
    return [
        f"imports {name}"
        for name in sorted({name.split(".")[0] for name in module.imports()})
        if name in CONFINED and module.path not in CONFINED[name]
    ]


def untold(module: Module) -> list[str]:
    """Every module, public class and public function says what the caller cannot see."""
    tree = module.tree
    found = [] if ast.get_docstring(tree) else ["no docstring"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.name.startswith("_") and not ast.get_docstring(node):
                found.append(f"{node.name} has no docstring")
    return found


def badly_named(module: Module) -> list[str]:
    """No drawer for everything."""
    name = module.path.rsplit("/", 1)[-1].removesuffix(".py")
    return [f"`{name}` says nothing"] if name in NO_NAMES else []


def names_a_topic(module: Module) -> list[str]:
    """Topics are named in one module, keys of Redis in one module."""
    found = []
    dotted = {n for n in _topic_names() if "." in n}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in dotted and module.path != "events/topics.py":
                found.append(f"names topic {node.value}")
            if any(tag in node.value for tag in ("{e:", "{t:", "{i:")) and "\n" not in node.value:
                if module.path != "keys.py" and len(node.value) < 30:
                    found.append(f"names key {node.value}")
    return found


RULES: dict[Callable[[Module], list[str]], Module] = {
    against_the_flow: Module("events/x.py", "from engine.pipeline import fold"),
    impure: Module("profile/x.py", "import time"),
    too_long: Module("api/x.py", "\n" * 401),
    unconfined: Module("runtime/x.py", "import river"),
    untold: Module("rules/x.py", "def f(): ..."),
    badly_named: Module("rules/utils.py", ""),
    names_a_topic: Module("runtime/x.py", 'TOPIC = "channel.events"'),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_finds_the_bad_text(rule: Callable[[Module], list[str]]) -> None:
    assert rule(RULES[rule])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_engine_keeps_the_rule(rule: Callable[[Module], list[str]]) -> None:
    found = {module.path: rule(module) for module in modules()}
    assert {path: findings for path, findings in found.items() if findings} == {}


def test_no_module_imports_in_a_circle() -> None:
    names = {_dotted(module.path): module for module in modules()}
    edges = {
        name: {target for target in module.imports() if target in names and target != name}
        for name, module in names.items()
    }
    assert _circle(edges) is None
    assert _circle({"a": {"b"}, "b": {"a"}}) is not None, "a circle is found"


def test_a_folder_holds_what_a_reader_can_hold() -> None:
    counts: dict[str, int] = defaultdict(int)
    for module in modules():
        folder, _, name = module.path.rpartition("/")
        counts[folder] += name != "__init__.py"
    crowded = {f: n for f, n in counts.items() if n > MODULES_MAX and f not in WIDE_FOLDERS}
    assert crowded.pop("", 0) <= MODULES_MAX
    assert crowded == {}


def test_the_names_of_the_topics_are_those_of_the_file() -> None:
    body = yaml.safe_load((ROOT.parent / "topics" / "topics.yaml").read_text(encoding="utf-8"))
    assert set(body["topics"]) == _topic_names()


def test_every_command_is_named_after_its_file() -> None:
    from engine.registry import plugins

    found = plugins("engine.cli")
    assert {"up", "run", "replay", "rules", "dead", "customer", "map", "demo"} <= found.keys()


def _topic_names() -> set[str]:
    return {v for k, v in vars(topics).items() if k.isupper() and isinstance(v, str)}


def _dotted(path: str) -> str:
    return "engine." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _circle(edges: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        for target in sorted(edges.get(name, ())):
            found = walk(target, [*way, name])
            if found:
                return found
        done.add(name)
        return None

    for name in sorted(edges):
        found = walk(name, [])
        if found:
            return found
    return None
