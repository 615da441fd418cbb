"""The part of `engine rules` that changes what is live: publish, approve, rollback, retire."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from engine.adapters.clock import clock_of
from engine.adapters.files import read_contracts, read_text
from engine.api.refusals import refused
from engine.cli.backtest import TOPIC, proposed, tried
from engine.cli.bars import LEFT_OUT
from engine.cli.difference import difference, refused_today, text_diff
from engine.cli.language import add_language
from engine.cli.mistakes import mistaken
from engine.cli.published import show
from engine.clock import iso
from engine.config import Settings
from engine.errors import EngineError, RulesError
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.rules.compile import RuleSet, compile_rules
from engine.rules.model import Rule
from engine.rules.text.values import length_ms
from engine.runtime.connect import count_of, publisher_of, reader_of, store_of
from engine.runtime.rulesets.catch_up import PER_SECOND
from engine.runtime.rulesets.people import Who
from engine.runtime.rulesets.publish import WAIT_S, Publication, begin_anew, rules_of
from engine.runtime.rulesets.releases import Release, Shelf

NO_HISTORY = "none"
PASSED_SHOWN_MAX = 3  # lines of history that are no events, each told with its place
ACTIONS = {
    "publish": "check, test and back-test rules, and propose them; in a demo they go live at once",
    "approve": "let in what somebody else has proposed",
    "rollback": "make rules live again that were live before",
    "retire": "let a rule act no more; its goals are still counted",
    "catch-up": "let rules about dates and silences begin with those who do nothing, too",
    "diff": "say what a folder or a version would change",
    "history": "say who made what live, and when",
}


def configure(name: str, action: ArgumentParser) -> None:
    """Add the arguments of one of ACTIONS."""
    if name in ("publish", "diff"):
        action.add_argument(
            "path", nargs="?", type=Path, default=Path("rules"), help="folder or file"
        )
    if name == "publish":
        action.add_argument(
            "--events",
            default=TOPIC,
            help=f"history to back-test over: `topic`, a file, `{NO_HISTORY}`",
        )
        action.add_argument("--mapping", type=Path, help="topics/mappings/NAME.yaml, of a file")
    if name == "approve":
        action.add_argument("version")
    if name in ("rollback", "diff"):
        where = {"rollback": {"nargs": "?", "default": ""}, "diff": {}}[name]
        flag = "version" if name == "rollback" else "--version"
        action.add_argument(flag, **where, help="a rule set of the log")  # type: ignore[arg-type]
    if name == "retire":
        action.add_argument("rule")
    if name == "catch-up":
        action.add_argument(
            "--longest", default="", help="leave alone who has been silent for longer, such as 90d"
        )
        action.add_argument(
            "--rate", type=float, default=PER_SECOND, help=f"people a second ({PER_SECOND:.0f})"
        )
    if name not in ("diff", "history"):
        action.add_argument("--as", dest="name", required=True, help="who you are, such as li@shop")
        action.add_argument(
            "--key", default=os.environ.get("STAFF_KEY", ""), help="yours (STAFF_KEY)"
        )
        action.add_argument("--why", default="", help="for those who read the history")
    if name in ("publish", "approve", "rollback", "retire"):
        action.add_argument(
            "--wait",
            type=float,
            default=WAIT_S,
            metavar="SECONDS",
            help=f"for every worker to have compiled it ({WAIT_S:.0f}); 0 asks nobody",
        )
    action.add_argument("--topics", default="topics", help="folder of the contracts (topics)")
    action.add_argument("--kafka", help="address of the broker (KAFKA_BOOTSTRAP)")
    action.add_argument("--json", action="store_true", help="print one JSON object")
    add_language(action)


def run(arguments: Namespace) -> int:
    """Run one of ACTIONS."""
    environ = dict(os.environ)
    if arguments.kafka:
        environ["KAFKA_BOOTSTRAP"] = os.environ["KAFKA_BOOTSTRAP"] = arguments.kafka
    settings = replace(Settings.from_env(environ), topics_dir=arguments.topics)
    steps: dict[str, Callable[[Namespace, Settings], dict[str, Any]]] = {
        "publish": _publish,
        "approve": _approve,
        "rollback": _roll_back,
        "retire": _retire,
        "catch-up": _catch_up,
        "diff": _diff,
        "history": _history,
    }
    try:
        found = steps[arguments.action](arguments, settings)
    except RulesError as error:
        if not error.problems:
            raise
        return mistaken(error, arguments.lang)
    except EngineError as error:
        raise refused(error, arguments.lang) from None
    if arguments.json:
        print(orjson.dumps(found).decode())
    else:
        show(arguments.action, found, Console(), lang=arguments.lang)
    return 0


def _publish(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    shelf = _with(settings, lambda house: house.shelf())
    live = _live(shelf)
    old = {} if live is None else live.rules
    contracts = parse_contracts(read_contracts(settings.topics_dir))
    texts, _ = proposed(arguments.path, contracts, live)
    checks: dict[str, Any] = {"backtest": NO_HISTORY}
    if arguments.events != NO_HISTORY:
        checks = _tried(arguments, settings, live)
    who = Who(arguments.name, arguments.key)

    async def propose(house: Publication) -> dict[str, Any]:
        found = await house.propose(
            texts, who, why=arguments.why, checks=checks, lang=arguments.lang
        )
        others = [each for each in (await house.shelf()).waiting if each.version != found.version]
        told = {
            "version": found.version,
            "author": found.author,
            "checks": found.checks,
            "live": not house.needs_two,
            "others": [{"version": each.version, "author": each.author} for each in others],
            "diff": difference(old, rules_of(found).rules),
        }
        if not house.needs_two:
            await house.approve(found.version, None)
            told |= _ready(house, arguments)
            told |= _late(old, rules_of(found).rules)
        return told

    done: dict[str, Any] = _with(settings, propose, wait_s=arguments.wait)
    return done


def _tried(arguments: Namespace, settings: Settings, live: RuleSet | None) -> dict[str, Any]:
    """Return what the back-test found, in short; rules that raise are not published."""
    more = {"rules": arguments.path, "rule": [], "live": None, "since": "", "until": ""}
    found, _ = tried(Namespace(**{**vars(arguments), **more, "segment": "tier"}), settings, live)
    if found["rule_errors"]:
        raise EngineError(
            f"{found['rule_errors']} errors of rules in the back-test; see `engine backtest`",
            code="rules/errors",
        )
    kept = ("events", "decisions", "held_out", "cost", "currency", "followed", *LEFT_OUT)
    short = {name: found[name] for name in kept}
    passed = short["passed_over"]  # it goes into the log, beside the rules
    short["passed_over"] = {**passed, "first": passed["first"][:PASSED_SHOWN_MAX]}
    diff = found.get("diff", {"more": {}, "fewer": {}})
    counts = {
        name: {rule: only["count"] for rule, only in diff[name].items()}
        for name in ("more", "fewer")
    }
    return {"backtest": {"over": arguments.events, **short, **counts}}


def _approve(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    who = Who(arguments.name, arguments.key)
    return _released(arguments, settings, lambda house: house.approve(arguments.version, who))


def _roll_back(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    who, why = Who(arguments.name, arguments.key), arguments.why
    told = _released(
        arguments, settings, lambda house: house.roll_back(arguments.version, who, why=why)
    )
    shelf = _with(settings, lambda house: house.shelf())
    return {
        **told,
        "unfit": refused_today(
            shelf.artefacts[told["version"]].rules, settings.topics_dir, arguments.lang
        ),
    }


def _released(
    arguments: Namespace, settings: Settings, do: Callable[[Publication], Awaitable[Release]]
) -> dict[str, Any]:
    async def release(house: Publication) -> dict[str, Any]:
        told = {**_told(await do(house)), **_ready(house, arguments)}
        shelf = await house.shelf()
        one, other = shelf.releases[-1].previous, shelf.releases[-1].version
        old = rules_of(shelf.artefacts[one]).rules if one in shelf.artefacts else {}
        return {**told, **_late(old, rules_of(shelf.artefacts[other]).rules)}

    done: dict[str, Any] = _with(settings, release, wait_s=arguments.wait)
    return done


def _late(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> dict[str, Any]:
    """Say which rules know only those who have done something since."""
    names = begin_anew(old, new)
    if not names:
        return {}
    return {
        "begin_with_the_next_event": names,
        "begin_with_everybody": "engine rules catch-up --as NAME",
    }


def _catch_up(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    """Look at everybody; with a line that counts, on a terminal."""
    longest = length_ms(arguments.longest) if arguments.longest else 0
    if longest is None:
        raise EngineError(
            f"--longest {arguments.longest} is not a length of time; "
            "write 30s, 30m, 2h, 7d or 1h30m",
            code="rules/length",
        )
    if "REDIS_URL" not in os.environ:
        raise EngineError(
            "who does nothing is found in the state; set REDIS_URL, KAFKA_BOOTSTRAP and GENERATION",
            code="rules/store",
        )
    if arguments.rate <= 0:
        raise EngineError(f"--rate {arguments.rate:g}: want people a second", code="rules/rate")
    who, shown = Who(arguments.name, arguments.key), Console(stderr=True)

    async def look(house: Publication) -> dict[str, Any]:
        with shown.status("0") as status:
            found = await house.catch_up(
                who, silent_max_ms=longest, per_second=arguments.rate,
                tell=lambda n: status.update(f"{n:,}"),
            )  # fmt: skip
        return {"looked_at": found}

    done: dict[str, Any] = _with(settings, look, wait_s=WAIT_S)
    return done


def _ready(house: Publication, arguments: Namespace) -> dict[str, Any]:
    """Say of how many partitions the owner was asked before a release; 0: why none was."""
    if not arguments.wait:
        return {"asked": 0, "unasked": "--wait 0"}
    if "REDIS_URL" not in os.environ:
        return {"asked": 0, "unasked": "REDIS_URL"}
    return {"asked": house.asked, "unasked": ""}


def _retire(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    """Retire a rule; its file here follows, if it is the one that is live."""
    who = Who(arguments.name, arguments.key)

    async def retire(house: Publication) -> dict[str, Any]:
        before = await house.shelf()
        release, path, text = await house.retire(arguments.rule, who, why=arguments.why)
        here, live = Path(path), before.artefacts[before.live].rules[path]
        same = here.is_file() and read_text(here, errors="replace") == live
        if same:
            here.write_text(text, encoding="utf-8")
        told = {**_told(release), **_ready(house, arguments)}
        return {**told, "file": path, "file_changed": same}

    done: dict[str, Any] = _with(settings, retire, wait_s=arguments.wait)
    return done


def _diff(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    shelf = _with(settings, lambda house: house.shelf())
    live = _live(shelf)
    if arguments.version:
        if arguments.version not in shelf.artefacts:
            known = ", ".join(shelf.artefacts) or "none"
            raise EngineError(
                f"no rule set `{arguments.version}`; there are {known}", code="rules/unknown"
            )
        texts = shelf.artefacts[arguments.version].rules
        new = rules_of(shelf.artefacts[arguments.version]).rules
    else:
        contracts = parse_contracts(read_contracts(settings.topics_dir))
        texts, _ = proposed(arguments.path, contracts, live)
        new = compile_rules(texts, contracts, version="new").rules
    old = {} if live is None else live.rules
    before = {} if live is None else live.files.texts
    return {
        "live": shelf.live,
        "diff": difference(old, new),
        "text": text_diff(before, texts, old, new),
    }


def _history(arguments: Namespace, settings: Settings) -> dict[str, Any]:
    shelf = _with(settings, lambda house: house.shelf())
    waiting = [
        {"version": each.version, "author": each.author, "at": iso(each.at), "why": each.why}
        for each in shelf.waiting
    ]
    return {"live": shelf.live, "releases": [_told(r) for r in shelf.releases], "waiting": waiting}


def _live(shelf: Shelf) -> RuleSet | None:
    """Return the rules that are live, under the contracts that they went live with."""
    return rules_of(shelf.artefacts[shelf.live]) if shelf.live else None


def _told(release: Release) -> dict[str, Any]:
    return {
        name: value
        for name in ("number", "version", "previous", "kind", "author", "approver", "why")
        if (value := getattr(release, name)) != ""
    } | {"at": iso(release.at)}


def _with(
    settings: Settings, do: Callable[[Publication], Awaitable[Any]], *, wait_s: float = 0
) -> Any:
    return asyncio.run(_connected(settings, do, wait_s))


async def _connected(
    settings: Settings, do: Callable[[Publication], Awaitable[Any]], wait_s: float
) -> Any:
    publisher = publisher_of(settings)
    reader = reader_of(settings)
    store = None
    try:
        count = await asyncio.to_thread(count_of, settings, topics.EVENTS)
        if wait_s and "REDIS_URL" in os.environ:
            store = store_of(replace(settings, partitions=count))
        clock = clock_of(settings)
        house = Publication(
            settings, publisher, reader, now=clock.now, partition_count=count, store=store,
            wait_s=wait_s,
        )  # fmt: skip
        return await do(house)
    finally:
        await publisher.close()
        await reader.close()
        if store is not None:
            await store.close()
