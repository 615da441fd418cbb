"""`engine COMMAND ...`: finds the command's file, runs it, tells mistakes in one line."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib.metadata import version

from engine.errors import EngineError
from engine.registry import plugins


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a failure that was told, 2 a wrong call."""
    parser = ArgumentParser(prog="engine", description="Touchpoint: events in, triggers out.")
    parser.add_argument("--version", action="version", version=version("touchpoint-engine"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    found = plugins("engine.cli")
    for spec in found.values():
        spec.configure(commands.add_parser(spec.name, help=spec.help, description=spec.help))
    arguments = parser.parse_args(argv)
    try:
        return int(found[arguments.command].run(arguments))
    except EngineError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
