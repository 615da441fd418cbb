"""`engine rules check`, `test`: what a marketer runs first; the rest is in its own two files."""

from argparse import ArgumentParser, Namespace
from time import monotonic

import orjson

from engine.adapters.files import read_contracts, read_rules
from engine.cli import publishing, reading
from engine.cli.command import Command
from engine.cli.language import add_language
from engine.cli.mistakes import mistaken
from engine.errors import RulesError
from engine.events.contract import parse_contracts
from engine.rules.compile import RuleSet, compile_rules, unfit
from engine.rules.text.problems import report
from engine.rules.text.schema import schema
from engine.rules.vain import vain
from engine.simulation.cases import run_case


def _configure(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, help_ in (
        ("check", "say every mistake of every file, with its place"),
        ("test", "run the tests inside the files, on the engine's own core"),
        ("schema", "print the JSON Schema of rule files, for editors"),
    ):
        action = actions.add_parser(name, help=help_)
        action.add_argument("dir", nargs="?", default="rules", help="folder or file (rules)")
        action.add_argument("--topics", default="topics", help="folder of the contracts (topics)")
        add_language(action)
        if name == "test":
            action.add_argument("--json", action="store_true", help="print one JSON object")
    for part in (publishing, reading):
        for name, help_ in part.ACTIONS.items():
            part.configure(name, actions.add_parser(name, help=help_))


def _run(arguments: Namespace) -> int:
    for part in (publishing, reading):
        if arguments.action in part.ACTIONS:
            return int(part.run(arguments))
    contracts = parse_contracts(read_contracts(arguments.topics))
    if arguments.action == "schema":
        print(orjson.dumps(schema(contracts), option=orjson.OPT_INDENT_2).decode())
        return 0
    texts = read_rules(arguments.dir)
    lang = arguments.lang
    try:
        rules = compile_rules(texts, contracts, version="check")
    except RulesError as error:
        return mistaken(error, lang)
    if arguments.action == "test":
        return _test(rules, lang, as_json=arguments.json)
    if warnings := [*rules.warnings, *vain(rules)]:
        wrong = unfit(rules)
        codes = {(each.path, each.code) for each in wrong}
        print(report([p for p in warnings if (p.path, p.code) not in codes], texts, lang))
        if wrong:
            return mistaken(RulesError("", problems=tuple(wrong), texts=texts), lang)
    print(_DONE[lang].format(files=len(texts), rules=len(rules.rules)))
    return 0


_DONE = {
    "en": "{files} files, {rules} rules: no mistakes",
    "zh": "{files}个文件，{rules}条规则：没有错误",
}
_RAN = {
    "en": "{rules} rules: {passed} passed, {failed} failed, {seconds:.1f} s",
    "zh": "{rules}条规则：{passed}个测试通过，{failed}个失败，{seconds:.1f}秒",
}


def _test(rules: RuleSet, lang: str, *, as_json: bool) -> int:
    began = monotonic()
    passed, failed = 0, []
    for rule in rules.rules.values():
        for case in rule.cases:
            differences = run_case(rule, case, rules, lang)
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
        count, wrong = len(rules.rules), len(failed)
        print(_RAN[lang].format(rules=count, passed=passed, failed=wrong, seconds=seconds))
    return 1 if failed else 0


SPEC = Command(
    name="rules",
    help="check, test, publish and follow the rules of marketing",
    configure=_configure,
    run=_run,
)
