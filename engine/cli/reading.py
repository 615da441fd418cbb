"""The part of `engine rules` that only reads: what is live, what it has done, why and why not."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from engine.api.refusals import refused
from engine.cli.bars import WORDS as STOPS
from engine.cli.language import add_language
from engine.config import Settings
from engine.errors import EngineError
from engine.rules.sentence import STATUSES
from engine.runtime.connect import reader_of, store_of
from engine.runtime.lookup import Lookup
from engine.runtime.past.explain import Explainer
from engine.runtime.rulesets.overview import Overview

NAME_MAX = 32  # columns of a terminal
DEFAULT_URL = "http://127.0.0.1:8080"
WORDS = {
    "en": {
        "set": "Rule set {version}.",
        "others": "{others} partitions are still on another.",
        "none": "none",
        "columns": ("rule", "status", "fired", "goal", "held out", "goal"),
        "effect": "effect {share:+.1%} ({low:+.1%} to {high:+.1%})",
        "stopped": "stopped: {}",
        "cut": "The log reaches back to {}.",
    },
    "zh": {
        "set": "规则集 {version}。",
        "others": "还有 {others} 个分区在用其他版本。",
        "none": "无",
        "columns": ("规则", "状态", "触发", "达成目标", "对照组", "达成目标"),
        "effect": "效果 {share:+.1%}（{low:+.1%} 至 {high:+.1%}）",
        "stopped": "未触发：{}",
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
    rows = [tuple(words["columns"]), *(_cells(row, lang) for row in found["rules"])]
    widths = [max(cell_len(row[at]) for row in rows) for at in range(len(rows[0]))]
    # A longer name stands on a line of its own: one that is broken cannot be copied.
    widths[0] = min(widths[0], NAME_MAX, max(4, console.width - sum(widths[1:]) - 10))
    _row(console, rows[0], widths, Text(), style="bold")
    for row, cells in zip(found["rules"], rows[1:], strict=True):
        is_idle = not (row["fired"] or row["held_out"] or row["stopped"])
        _row(console, cells, widths, _notes(row, lang), style="dim" if is_idle else "")


def _cells(row: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    """Return what stands in the columns of a rule."""
    return (
        row["rule"],
        STATUSES[lang][row["status"]],
        f"{row['fired']:,}",
        _share(row["goals"], row["fired"]),
        f"{row['held_out']:,}",
        _share(row["goals_held_out"], row["held_out"]),
    )


def _notes(row: Mapping[str, Any], lang: str) -> Text:
    """Return what only some rules have: their effect, what stopped them."""
    words: Mapping[str, Any] = WORDS[lang]
    stops, comma = STOPS[lang], STOPS[lang]["comma"]
    found = [] if row["effect"] is None else [_effect(row["effect"], words["effect"])]
    if row["stopped"]:
        told = comma.join(f"{stops.get(why, why)} {n:,}" for why, n in row["stopped"].items())
        found.append(Text(words["stopped"].format(told)))
    return Text("  ").join(found)


def _row(
    console: Console, cells: Sequence[str], widths: Sequence[int], notes: Text, *, style: str
) -> None:
    """Print a rule: numbers to the right; `notes` behind them, or below where there is no room."""
    name, status, *numbers = cells
    if cell_len(name) > widths[0]:
        console.print(Text(name), style=style, highlight=False)
        name = ""
    line = Text(style=style)
    line.append(set_cell_size(name, widths[0]))
    line.append("  " + set_cell_size(status, widths[1]))
    for number, width in zip(numbers, widths[2:], strict=True):
        line.append("  " + " " * (width - cell_len(number)) + number)
    if notes and line.cell_len + 2 + notes.cell_len <= console.width:
        line.append("  ").append_text(notes)
        notes = Text()
    console.print(line, highlight=False, soft_wrap=True)
    if notes:
        console.print(Padding(notes, (0, 0, 0, 4)), highlight=False)


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


def _effect(effect: Mapping[str, float], form: str) -> Text:
    sure = effect["low"] > 0 or effect["high"] < 0
    style = ("green" if effect["share"] > 0 else "red") if sure else "dim"
    return Text(form.format(**effect), style=style)
