"""`engine customer user_id:u1`: one person by any identifier, or a thing; erase, part in two."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from engine.adapters.clock import clock_of
from engine.api.refusals import refused
from engine.cli.command import Command
from engine.cli.language import add_language
from engine.cli.thing import show as show_thing
from engine.config import Settings
from engine.errors import EngineError
from engine.events.ids import ENTITIES, TYPES
from engine.runtime.cards import worded
from engine.runtime.connect import publisher_of, reader_of, store_of
from engine.runtime.lookup import Lookup
from engine.runtime.orders.staff import staff_of
from engine.runtime.rulesets.overview import Overview

DEFAULT_URL = "http://127.0.0.1:8080"
DONE_S = 10  # how long an order is watched until its effect is seen
ORDERS = {"erase": "erase IDENTIFIER", "split": "split IDENTIFIER OTHER ..."}


def _configure(parser: ArgumentParser) -> None:
    parser.usage = (
        "engine customer [-h] [--json] [--lang LANG] [--url URL] [--key KEY] "
        "[erase | split] IDENTIFIER [IDENTIFIER ...]"
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="IDENTIFIER",
        help=f"TYPE:VALUE with TYPE of {', '.join(TYPES)}; or a customer id; or a thing, such as "
        "store:s7. `erase IDENTIFIER`: erase the person. `split IDENTIFIER OTHER ...`: the others "
        "are somebody else",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--url", default=DEFAULT_URL, help=f"of a running engine ({DEFAULT_URL}), without REDIS_URL"
    )
    parser.add_argument("--key", default="", help="of a source with trust `proves`, for orders")
    add_language(parser)


def _run(arguments: Namespace) -> int:
    first, *rest = arguments.words
    if first in ORDERS:
        return _order(arguments, first, rest)
    if rest:
        raise EngineError(
            f"one at a time, or `erase`, `split`; got {len(rest)} more", code="identity/which"
        )
    kind, colon, _ = first.partition(":")
    if colon and kind not in TYPES and kind not in ENTITIES:
        known = ", ".join((*TYPES, *ENTITIES))
        raise EngineError(f"no identifier type `{kind}`; one of {known}", code="identity/type")
    found = asyncio.run(_find(arguments, first))
    if found is None:
        told = f"nothing has come of {first} yet" if kind in ENTITIES else f"nobody has {first}"
        raise refused(EngineError(told, code="identity/unknown"), arguments.lang)
    if arguments.json:
        print(orjson.dumps(found).decode())
    elif found["kind"] == "person":
        _show(found, arguments.lang)
    else:
        show_thing(first, found, Console(), arguments.lang)
    return 0


def _order(arguments: Namespace, order: str, names: list[str]) -> int:
    if not names or (order == "erase") != (len(names) == 1):
        raise EngineError(f"want `{ORDERS[order]}`", code="identity/which")
    done = asyncio.run(_ordered(arguments, order, names))
    if arguments.json:
        print(orjson.dumps({"order": order, "of": names[0], "done": done}).decode())
    else:
        print(f"{order} {names[0]}: {'done' if done else 'in the log; a worker will do it'}")
    return 0


async def _ordered(arguments: Namespace, order: str, names: list[str]) -> bool:
    """Give an order; return whether its effect was seen within DONE_S."""
    if "REDIS_URL" in os.environ:
        settings = Settings.from_env(os.environ)
        publisher = publisher_of(settings)
        staff = staff_of(settings, publisher)
        try:
            await (staff.erase(names[0]) if order == "erase" else staff.split(names[0], names[1:]))
        finally:
            await publisher.close()
    else:
        await _post(arguments, order, names)
    for _ in range(DONE_S * 10):
        first, *others = [await _find(arguments, name) for name in names]
        if order == "erase" and first is None:
            return True
        if order == "split" and first and all(x and _id(x) != _id(first) for x in others):
            return True
        await asyncio.sleep(0.1)
    return False


def _id(found: dict[str, Any]) -> str:
    return str(found["customer"])


async def _post(arguments: Namespace, order: str, names: list[str]) -> None:
    url = f"{arguments.url}/api/customers/{quote(names[0])}/{order}"
    headers = {"authorization": f"Bearer {arguments.key}"}
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json={"ids": names[1:]}, headers=headers) as answer,
        ):
            if answer.status != 202:
                why = orjson.loads(await answer.read()).get("error", "")
                raise EngineError(f"{answer.status}: {why}", code="identity/refused", where=url)
    except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
        raise EngineError(
            f"no engine answers at {arguments.url} ({error}); start one with `engine up`, "
            "or set REDIS_URL and GENERATION",
            code="api/unreachable",
        ) from None


async def _find(arguments: Namespace, name: str) -> dict[str, Any] | None:
    if "REDIS_URL" in os.environ:
        return await _from_redis(name)
    return await _from_http(arguments.url, name)


async def _from_redis(name: str) -> dict[str, Any] | None:
    """Return the card as the state has it; that of a thing in words, for which the log is asked."""
    settings = Settings.from_env(os.environ)
    store = store_of(settings)
    count, secret = settings.partitions, settings.secret_key
    lookup = Lookup(store, partition_count=count, tenant=settings.tenant, secret=secret)
    try:
        found = await lookup.find(name)
        rules = None
        if found is not None and found.live.actor.kind != "person":
            reader = reader_of(settings)
            try:
                overview = Overview(store, reader, partition_count=count, secret=secret)
                rules = await overview.rules_of(found.customer)
            finally:
                await reader.close()
    finally:
        await store.close()
    now = clock_of(settings).now()
    return None if found is None else worded(found, rules, now, masked=False)


async def _from_http(url: str, name: str) -> dict[str, Any] | None:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/api/customers/{quote(name)}") as answer,
        ):
            body: dict[str, Any] = orjson.loads(await answer.read())
            return body if answer.status == 200 else None
    except aiohttp.ClientError as error:
        raise EngineError(
            f"no engine answers at {url} ({error}); start one with `engine up`, "
            "or set REDIS_URL and GENERATION",
            code="api/unreachable",
        ) from None


def _show(found: dict[str, Any], lang: str) -> None:
    console = Console()
    console.print(f"[bold]{found['customer']}[/]  as of {found['as_of']}")
    for name in ("identifiers", "basic", "trade", "scores"):
        table = Table(title=name, title_justify="left", show_header=False, box=None)
        for key, value in found[name].items():
            shown = f"{value['value']}   ({value['source']})" if name == "basic" else str(value)
            table.add_row(key, shown)
        console.print(table)
    churn = found["churn"]
    console.print(f"churn: {churn['band']}, because {', '.join(churn['reasons']) or 'of silence'}")
    for channel, touch in found["behaviour"].items():
        last = touch["recent"][0] if touch["recent"] else {}
        console.print(
            f"{channel}: {touch['count']} times, last {last.get('event', '')} {touch['last_at']}"
        )
    for name in ("enquiry", "complaint"):
        console.print(f"{name}: {found[name]['count']}, open {len(found[name]['open'])}")
    console.print("open waits:", *(_wait(w, lang) for w in found["open_waits"]), sep="\n  ")
    console.print("last triggers:", *(_line(t) for t in found["last_triggers"]), sep="\n  ")


def _wait(wait: dict[str, Any], lang: str) -> str:
    """Return what a timer waits for in words, where a running engine has told them."""
    words = wait.get("words", {}).get(lang)
    return words or f"{wait['timer']} until {wait['due']}"


def _line(entry: dict[str, Any]) -> str:
    reason = entry.get("reason") or {}
    return f"{entry['rule']}: {entry['outcome']} {reason.get('en', '')}"


SPEC = Command(
    name="customer",
    help="show one person, or a shop, and why they were contacted; erase one, part one in two",
    configure=_configure,
    run=_run,
)
