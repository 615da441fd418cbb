"""`engine backtest`: what rules would have done in the past, and what they would have cost."""

import asyncio
import gc
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from engine.adapters.files import read_contracts, read_offers, read_rules
from engine.api.refusals import refused
from engine.cli.bars import WORDS, show
from engine.cli.command import Command
from engine.cli.language import add_language
from engine.cli.mistakes import mistaken
from engine.clock import parse_iso
from engine.config import Settings
from engine.errors import ConfigError, EngineError, RulesError
from engine.events import topics
from engine.events.contract import Contracts, parse_contracts
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.text.values import length_ms
from engine.runtime.connect import count_of, reader_of
from engine.runtime.past.backtest import Run, dumped, over_events, over_log, story_of
from engine.runtime.past.mapped import accepted, mapped_messages
from engine.runtime.past.passed import Passed
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.runtime.rulesets.releases import read_shelf
from engine.runtime.setup import sources_of
from engine.simulation.backtest import Watch, awake, report

TOPIC = "topic"
COLLECT_AT = 200_000  # the past only grows: a full collection would look at all of it, for nothing


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rules", type=Path, help="folder of the proposed rules; or one file, put among the live"
    )
    parser.add_argument(
        "--events",
        required=True,
        help="`topic`; or a dump of it (NDJSON); or with --mapping a file",
    )
    parser.add_argument("--mapping", type=Path, help="topics/mappings/NAME.yaml, of a file")
    parser.add_argument(
        "--live", type=Path, help="folder of the live rules (`topic`: what is live there)"
    )
    parser.add_argument(
        "--rule", action="append", default=[], help="let this draft or shadow act; repeatable"
    )
    parser.add_argument("--since", default="", help="count from then: 2026-03-01, or 7d ago")
    parser.add_argument("--until", default="", help="count until then")
    parser.add_argument("--segment", default="tier", help="trait that customers are grouped by")
    parser.add_argument("--decisions", type=Path, help="write every trigger's id, a line each")
    parser.add_argument("--topics", default="topics", help="folder of the contracts (topics)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_language(parser)


def _run(arguments: Namespace) -> int:
    settings = replace(Settings.from_env(os.environ), topics_dir=arguments.topics)
    try:
        _check(arguments)
        live = _live_of(arguments) if arguments.live else None
        found, proposed = tried(arguments, settings, live)
    except RulesError as error:
        if not error.problems:
            raise
        return mistaken(error, arguments.lang)
    except EngineError as error:
        raise refused(error, arguments.lang) from None
    if arguments.decisions:
        _write(arguments.decisions, proposed)
    if arguments.json:
        print(orjson.dumps(found).decode())
    else:
        show(found, Console(), lang=arguments.lang)
    return 0


def _check(arguments: Namespace) -> None:
    """Refuse what would only be known when all is over."""
    since, until = instant(arguments.since), instant(arguments.until)
    if until and since >= until:
        raise ConfigError(
            f"nothing lies between --since {arguments.since} and --until {arguments.until}",
            code="config/time",
        )
    out = arguments.decisions
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"no folder `{out.parent}` for --decisions", code="config/path")


def _live_of(arguments: Namespace) -> RuleSet:
    contracts = parse_contracts(read_contracts(arguments.topics))
    return compile_rules(read_rules(arguments.live), contracts, version="live")


def tried(
    arguments: Namespace, settings: Settings, live: RuleSet | None
) -> tuple[dict[str, Any], Watch]:
    """Return the report, and what was seen; `live`: the live rules, for a history in a file."""
    gc.set_threshold(COLLECT_AT)
    began = monotonic()
    passed = Passed(words=lambda error: refused(error, arguments.lang))
    if arguments.events == TOPIC:
        runs = asyncio.run(_over_topic(arguments, settings))
    else:
        runs = _over_file(arguments, settings, live, passed)
    folder = arguments.rules or arguments.live or Path(settings.rules_dir)
    offers = read_offers(folder if folder.is_dir() else settings.rules_dir)
    found = report(runs[-1].watch, runs[0].watch if len(runs) > 1 else None, offers=offers)
    found["passed_over"] = {"count": passed.count, "first": passed.told}
    found["events_per_s"] = round(found["events"] * len(runs) / max(monotonic() - began, 1e-3))
    return found, runs[-1].watch


def _write(path: Path, watch: Watch) -> None:
    with path.open("wb") as out:
        for name, (rule, customer, at) in watch.triggers.items():
            who = None if customer in watch.gone else customer
            line = {"id": name, "rule": rule, "customer": who, "at": at}
            out.write(orjson.dumps(line) + b"\n")


def _over_file(
    arguments: Namespace, settings: Settings, live: RuleSet | None, passed: Passed
) -> list[Run]:
    contracts = parse_contracts(read_contracts(settings.topics_dir))
    runs = [] if live is None else [_run_of(live, arguments)]
    runs.append(_proposed_run(arguments, contracts, live))
    path = Path(arguments.events)
    sources = sources_of(settings)
    if arguments.mapping:
        messages = mapped_messages(path, arguments.mapping, passed)
        found = accepted(settings, messages, lambda _message, _raw, error: passed.over(error))
        values = (each.value for each in found)
        total = len(messages)
    else:
        total = path.stat().st_size if path.is_file() else 0
    with progress(total, quiet=arguments.json) as tell:
        over_events(
            runs,
            _told(values, tell) if arguments.mapping else dumped(path, tell, passed),
            secret=settings.secret_key,
            lateness_ms=sources.lateness_ms,
            where=str(path),
            passed=passed,
        )
    return runs


def _told(values: Iterator[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
    for number, value in enumerate(values, 1):
        yield value
        if number % 500 == 0:
            tell(500)


async def _over_topic(arguments: Namespace, settings: Settings) -> list[Run]:
    reader = reader_of(settings)
    try:
        count = await asyncio.to_thread(count_of, settings, topics.EVENTS)
        shelf = await read_shelf(reader, settings.secret_key)
        if not shelf.live:
            raise ConfigError(
                "no rule set was ever live there; run `engine setup`", code="rules/none"
            )
        library = ArtefactLibrary(reader, secret=settings.secret_key)
        await library.need("ruleset", shelf.live)
        rules = library.book.rule_sets[shelf.live]
        if arguments.rules:  # beside what is live now, not beside what was live in its time
            contracts = parse_contracts(read_contracts(settings.topics_dir))
            proposed_run = _proposed_run(arguments, contracts, rules)
            runs = [_run_of(rules, arguments), proposed_run]
        else:
            runs = [Run(Watch(rules.rules, **_span(arguments)), None)]
        story = await story_of(reader, count)
        if not story.is_whole:
            print(WORDS[arguments.lang]["cut"], file=sys.stderr)
        with progress(story.size, quiet=arguments.json) as tell:
            await over_log(
                runs, reader, library, story, tell, ruleset=shelf.live,
                lateness_ms=sources_of(settings).lateness_ms,
            )  # fmt: skip
    finally:
        await reader.close()
    return runs


def _proposed_run(arguments: Namespace, contracts: Contracts, live: RuleSet | None) -> Run:
    """Return the run of the proposed rules, its drafts of `--rule` awake."""
    texts, names = proposed(arguments.rules or Path("rules"), contracts, live)
    names = [*arguments.rule, *names]
    rules = compile_rules(texts, contracts, version="proposed")
    unknown = [name for name in names if name not in rules.rules]
    if unknown:
        raise ConfigError(
            f"no rule {', '.join(unknown)} in {arguments.rules}", code="rules/unknown"
        )
    return _run_of(awake(rules, names), arguments)


def _run_of(rules: RuleSet, arguments: Namespace) -> Run:
    return Run(Watch(rules.rules, **_span(arguments)), rules)


def proposed(
    path: Path, contracts: Contracts, live: RuleSet | None
) -> tuple[dict[str, str], list[str]]:
    """Return the files that a path proposes, and the rules of a single one.

    A single file is put among the live ones, in the place of a rule of that name; what it shares
    with others comes from the folders above it. The live ones are as they went live: what they name
    may be in no contract of today.
    """
    texts = read_rules(_from_here(path))
    if path.is_dir() or live is None:
        return texts, []
    new = compile_rules(texts, contracts, version="new").rules
    replaced = {live.rules[name].path for name in new if name in live.rules}
    here = set(texts.values())  # the same file, asked for from another folder
    replaced |= {name for name, text in live.files.shared.items() if text in here}
    kept = {name: text for name, text in live.files.texts.items() if name not in replaced}
    return {**kept, **texts}, list(new)


def _from_here(path: Path) -> Path:
    """Return a path below this folder relative to it: a file has one name, however it is called."""
    here, there = Path.cwd(), path.resolve()
    return there.relative_to(here) if there.is_relative_to(here) else path


def _span(arguments: Namespace) -> dict[str, Any]:
    return {
        "since": instant(arguments.since),
        "until": instant(arguments.until),
        "segment": arguments.segment,
    }


def instant(text: str) -> int:
    """Return UTC ms of `2026-03-01`, of an instant, or of `7d` ago; 0 for ''."""
    if not text:
        return 0
    if (ago := length_ms(text)) is not None:
        return int(time() * 1000) - ago
    try:
        return parse_iso(text)
    except ValueError:
        raise ConfigError(
            f"`{text}` is no time; write 2026-03-01, 2026-03-01T08:00:00+08:00, or 7d",
            code="config/time",
        ) from None


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is and the time left, to people only."""
    if quiet or not sys.stderr.isatty():
        yield lambda n: None
        return
    columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=total)
        yield lambda n: bars.advance(task, n)


SPEC = Command(
    name="backtest",
    help="say what rules would have done in the past, and what that costs",
    configure=_configure,
    run=_run,
)
