"""`engine COMMAND ...`: finds the command's file, runs it, tells mistakes in one line."""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import TextIOWrapper

from engine.api.refusals import refused
from engine.cli.command import Command
from engine.cli.usage import ChineseParser, asked
from engine.errors import EngineError
from engine.registry import plugins


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a failure that was told, 2 a wrong call."""
    _write_anywhere()
    lang = asked(sys.argv[1:] if argv is None else argv)
    kind = ChineseParser if lang == "zh" else ArgumentParser
    found = plugins("engine.cli")
    arguments = parser_of(found, kind).parse_args(argv)
    try:
        return int(found[arguments.command].run(arguments))
    except EngineError as error:
        print(f"engine: {refused(error, lang)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


def _write_anywhere() -> None:
    """Let what a terminal cannot show be escaped: a command that is done ends with its answer.

    So it is on stderr by itself; stdout raises, after the rules are published.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")


def parser_of(
    found: Mapping[str, Command], kind: type[ArgumentParser] = ArgumentParser
) -> ArgumentParser:
    """Return the parser of a call, with the arguments of all commands."""
    parser = kind(prog="engine", description="Touchpoint: events in, triggers out.")
    parser.add_argument("--version", action="version", version=version("touchpoint-engine"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for spec in found.values():
        spec.configure(commands.add_parser(spec.name, help=spec.help, description=spec.help))
    return parser


if __name__ == "__main__":
    sys.exit(main())
