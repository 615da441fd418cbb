"""The part of `engine rules` that only reads: what is live, what it has done, why and why not."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.cli.bars import WORDS as STOPS
from engine.cli.language import add_language
from engine.cli.refusals import refused
from engine.config import Settings
from engine.errors import EngineError
from engine.rules.sentence import STATUSES
from engine.runtime.connect import reader_of, store_of
from engine.runtime.lookup import Lookup
from engine.runtime.past.explain import Explainer
from engine.runtime.rulesets.overview import Overview

DEFAULT_URL = "http://127.0.0.1:8080"
WORDS = {
    "en": {
        "set": "Rule set {version}.",
        "others": "{others} partitions are still on another.",
        "none": "none",
        "columns": ("rule", "status", "fired", "held out", "goal", "goal held out", "effect",
                    "stopped"),
        "effect": "{share:+.1%} ({low:+.1%} to {high:+.1%})",
        "cut": "The log reaches back to {}.",
    },
    "zh": {
        "set": "规则集 {version}。",
        "others": "还有 {others} 个分区在用其他版本。",
        "none": "无",
        "columns": ("规则", "状态", "触发", "对照组", "达成目标", "对照组达成", "效果",
                    "未触发原因"),
        "effect": "{share:+.1%}（{low:+.1%} 至 {high:+.1%}）",
        "cut": "日志仅保留至 {}。",
    },
}  # fmt: skip
ACTIONS = {
    "list": "what is live, and what each rule has done in both arms",
    "explain": "why a rule acted on a customer, a shop or an advert, or why not",
}


def configure(name: str, action: ArgumentParser) -> None:
    """Add the arguments of one of ACTIONS."""
    if name == "explain":
        action.add_argument("rule")
        action.add_argument(
            "who",
            metavar="IDENTIFIER",
            help="user_id:u1, or a customer id; of a rule about shops store:s7, and so on",
        )
    action.add_argument(
        "--url", default=DEFAULT_URL, help=f"of a running engine ({DEFAULT_URL}), without REDIS_URL"
    )
    action.add_argument("--json", action="store_true", help="print one JSON object")
    add_language(action)


def run(arguments: Namespace) -> int:
    """Run one of ACTIONS."""
    try:
        found = asyncio.run(_found(arguments))
    except EngineError as error:
        raise refused(error, arguments.lang) from None
    if arguments.json:
        print(orjson.dumps(found).decode())
    elif arguments.action == "list":
        _show(found, Console(), arguments.lang)
    else:
        _show_why(found, Console(), arguments.lang)
    return 0


async def _found(arguments: Namespace) -> dict[str, Any]:
    """Ask Redis and the log where REDIS_URL is set, else a running engine over HTTP."""
    if "REDIS_URL" not in os.environ:
        path = "/api/rules"
        if arguments.action == "explain":
            path = f"/api/rules/{quote(arguments.rule)}/explain/{quote(arguments.who)}"
        return await get_json(arguments.url, path)
    settings = Settings.from_env(os.environ)
    store = store_of(settings)
    reader = reader_of(settings)
    count, secret, tenant = settings.partitions, settings.secret_key, settings.tenant
    try:
        if arguments.action == "list":
            overview = Overview(store, reader, partition_count=count, secret=secret)
            return await overview.rules()
        lookup = Lookup(store, partition_count=count, tenant=tenant, secret=secret)
        explainer = Explainer(
            store=store, reader=reader, lookup=lookup, partition_count=count, tenant=tenant,
            secret=secret,
        )  # fmt: skip
        return await explainer.explain(arguments.rule, arguments.who)
    finally:
        await reader.close()
        await store.close()


async def get_json(url: str, path: str) -> dict[str, Any]:
    """Return what a running engine answers.

    Raises
    ------
    EngineError
        api/unreachable if nobody answers; the answer's own code if it is an error.
    """
    try:
        async with aiohttp.ClientSession() as session, session.get(url + path) as answer:
            body: dict[str, Any] = orjson.loads(await answer.read())
    except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
        raise EngineError(
            f"no engine answers at {url} ({error}); start one with `engine up`, "
            "or set REDIS_URL, KAFKA_BOOTSTRAP and GENERATION",
            code="api/unreachable",
        ) from None
    if "error" in body:
        raise EngineError(str(body["error"]), code=str(body.get("code", "api/error")))
    return body


def _show(found: Mapping[str, Any], console: Console, lang: str) -> None:
    words: Mapping[str, Any] = WORDS[lang]
    title = words["set"].format(version=found["version"] or words["none"])
    others = words["others"].format(**found) if found["others"] else ""
    console.print(f"{title} {others}".rstrip(), highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column(words["columns"][0], no_wrap=True)  # a name that is broken cannot be copied
    for name in words["columns"][1:]:
        table.add_column(name, overflow="fold")
    stops, comma = STOPS[lang], STOPS[lang]["comma"]
    for row in found["rules"]:
        table.add_row(
            escape(row["rule"]),
            STATUSES[lang][row["status"]],
            f"{row['fired']:,}",
            f"{row['held_out']:,}",
            _share(row["goals"], row["fired"]),
            _share(row["goals_held_out"], row["held_out"]),
            _effect(row["effect"], words["effect"]),
            comma.join(f"{stops.get(why, why)} {n:,}" for why, n in row["stopped"].items()),
        )
    console.print(table)


def _show_why(found: Mapping[str, Any], console: Console, lang: str) -> None:
    console.print(f"[bold]{escape(found['title'][lang])}[/]  {escape(found['who'])}")
    if not found["is_whole"]:
        since = str(WORDS[lang]["cut"]).format(found["since"][:16].replace("T", " ") + " UTC")
        console.print(since, style="yellow")
    if found["last"] is not None:
        console.print(found["last"]["words"][lang], markup=False)
    for each in found["now"]:
        console.print(each["words"][lang], style="bold", markup=False)
    if not found["occasions"] and not found["now"]:
        console.print(found["verdict"][lang], markup=False)
    for each in found["occasions"]:
        style = "green" if each["outcome"] == "fired" else ""
        console.print(f"{each['local']}  {each['words'][lang]}", style=style, markup=False)


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if whole else "-"


def _effect(effect: Mapping[str, float] | None, form: str) -> str:
    if effect is None:
        return "-"
    sure = effect["low"] > 0 or effect["high"] < 0
    style = ("green" if effect["share"] > 0 else "red") if sure else "dim"
    return f"[{style}]{form.format(**effect)}[/]"
