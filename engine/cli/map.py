"""`engine map`: the parts in the order of data, of reading and of imports."""

import ast
from argparse import ArgumentParser, Namespace
from pathlib import Path

import engine
from engine.cli.command import Command


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("part", nargs="?", help="one part of FLOW only")


def _run(arguments: Namespace) -> int:
    root = Path(engine.__file__).parent
    for part in engine.FLOW:
        if arguments.part and part != arguments.part:
            continue
        single = root / f"{part}.py"
        files = [single] if single.exists() else sorted((root / part).rglob("*.py"))
        print(part)
        for path in files:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            line = (ast.get_docstring(tree) or "").split("\n")[0]
            name = path.relative_to(root).as_posix()
            print(f"    {name:<36} {line}")
    return 0


SPEC = Command(
    name="map", help="print the parts and what is in each", configure=_configure, run=_run
)
