"""`engine customer user_id:u1`: one person, by any identifier or any old customer id."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from engine.adapters.clock import clock_of
from engine.adapters.redis import RedisStore
from engine.cli.command import Command
from engine.config import Settings
from engine.errors import EngineError
from engine.events.ids import TYPES
from engine.keys import Space
from engine.profile.card import card
from engine.runtime.lookup import Lookup

DEFAULT_URL = "http://127.0.0.1:8080"


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("identifier", help=f"TYPE:VALUE with TYPE of {', '.join(TYPES)}; or an id")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--url", default=DEFAULT_URL, help=f"of a running engine ({DEFAULT_URL}), without REDIS_URL"
    )


def _run(arguments: Namespace) -> int:
    kind, colon, _ = arguments.identifier.partition(":")
    if colon and kind not in TYPES:
        known = ", ".join(TYPES)
        raise EngineError(f"no identifier type `{kind}`; one of {known}", code="identity/type")
    direct = "REDIS_URL" in os.environ
    found = asyncio.run(
        _from_redis(arguments.identifier)
        if direct
        else _from_http(arguments.url, arguments.identifier)
    )
    if found is None:
        raise EngineError(f"nobody has {arguments.identifier}", code="identity/unknown")
    if arguments.json:
        print(orjson.dumps(found).decode())
    else:
        _show(found)
    return 0


async def _from_redis(name: str) -> dict[str, Any] | None:
    settings = Settings.from_env(os.environ)
    store = RedisStore(settings.redis_url, Space(settings.generation, settings.partitions))
    lookup = Lookup(
        store,
        partition_count=settings.partitions,
        tenant=settings.tenant,
        secret=settings.secret_key,
    )
    try:
        found = await lookup.find(name)
    finally:
        await store.close()
    if found is None:
        return None
    now = clock_of(settings).now()
    return card(found.live.actor, customer=found.customer, aliases=found.aliases, now=now)


async def _from_http(url: str, name: str) -> dict[str, Any] | None:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/api/customers/{name}") as answer,
        ):
            body: dict[str, Any] = orjson.loads(await answer.read())
            return body if answer.status == 200 else None
    except aiohttp.ClientError as error:
        raise EngineError(
            f"no engine answers at {url} ({error}); start one with `engine up`, "
            "or set REDIS_URL and GENERATION",
            code="api/unreachable",
        ) from None


def _show(found: dict[str, Any]) -> None:
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
    console.print(
        "open waits:", *(f"{w['timer']} until {w['due']}" for w in found["open_waits"]), sep="\n  "
    )
    console.print("last triggers:", *(_line(t) for t in found["last_triggers"]), sep="\n  ")


def _line(entry: dict[str, Any]) -> str:
    reason = entry.get("reason") or {}
    return f"{entry['rule']}: {entry['outcome']} {reason.get('en', '')}"


SPEC = Command(
    name="customer",
    help="show one person and why they were contacted",
    configure=_configure,
    run=_run,
)
