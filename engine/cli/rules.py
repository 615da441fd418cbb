"""`engine rules check` and `engine rules test`: what a marketer runs before anything is live."""

import sys
from argparse import ArgumentParser, Namespace
from time import monotonic

import orjson

from engine.adapters.files import read_contracts, read_rules
from engine.cli.command import Command
from engine.errors import RulesError
from engine.events.contract import parse_contracts
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.text.problems import report
from engine.simulation.cases import run_case


def _configure(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, help_ in (
        ("check", "say every mistake of every file, with its place"),
        ("test", "run the tests inside the files, on the engine's own core"),
    ):
        action = actions.add_parser(name, help=help_)
        action.add_argument("dir", nargs="?", default="rules", help="folder or file (rules)")
        action.add_argument("--topics", default="topics", help="folder of the contracts (topics)")
        if name == "test":
            action.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: Namespace) -> int:
    contracts = parse_contracts(read_contracts(arguments.topics))
    texts = read_rules(arguments.dir)
    try:
        rules = compile_rules(texts, contracts, version="check")
    except RulesError as error:
        print(error.message)
        count, files = len(error.problems), len({p.path for p in error.problems})  # type: ignore[attr-defined]
        print(f"\n{count} mistakes in {files} of {len(texts)} files", file=sys.stderr)
        return 1
    if arguments.action == "check":
        if rules.warnings:
            print(report(rules.warnings, texts))
        print(f"{len(texts)} files, {len(rules.rules)} rules: no mistakes")
        return 0
    return _test(rules, as_json=arguments.json)


def _test(rules: RuleSet, *, as_json: bool) -> int:
    began = monotonic()
    passed, failed = 0, []
    for rule in rules.rules.values():
        for case in rule.cases:
            differences = run_case(rule, case, rules)
            if differences:
                failed.append((rule, case, differences))
            else:
                passed += 1
    if as_json:
        found = [
            {"rule": r.id, "path": r.path, "line": c.line, "test": c.name, "differences": d}
            for r, c, d in failed
        ]
        print(orjson.dumps({"passed": passed, "failed": found}).decode())
    else:
        for rule, case, differences in failed:
            print(f"{rule.path}:{case.line}: {rule.id}: {case.name}")
            for difference in differences:
                print(f"    {difference}")
        seconds = monotonic() - began
        print(f"{len(rules.rules)} rules: {passed} passed, {len(failed)} failed, {seconds:.1f} s")
    return 1 if failed else 0


SPEC = Command(
    name="rules",
    help="check and test the rules of marketing",
    configure=_configure,
    run=_run,
)
