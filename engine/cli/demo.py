"""`engine demo`: the whole engine with simulated people, and a live view of what it does."""

import asyncio
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict
from time import monotonic, time

import aiohttp
import orjson
from rich.live import Live

from engine.cli.command import Command
from engine.cli.show import totals_table
from engine.cli.view import View
from engine.clock import HOUR_MS, parse_iso
from engine.config import Settings
from engine.ingest.accept import Accepted, accept
from engine.runtime.learner import Learner
from engine.runtime.local.stack import Plan, Stack
from engine.runtime.past.history import History
from engine.runtime.setup import contracts_of, publish_rules, sources_of
from engine.simulation.population import Company

OPENS_MS = parse_iso("2026-03-10T08:10:00+08:00")  # birthdays are greeted at nine
SPEED = 240.0  # log seconds a second
PEOPLE = 240
EVENTS_PER_S = 120.0
HISTORY_TICK_MS = 6 * HOUR_MS
POST_EVERY_S = 0.1
START_AFTER_MS = 5_000  # the clock stands still while the processes start
BATCH_MAX = 500


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--for", dest="seconds", default="", help="end by itself, such as 30s")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end only")
    parser.add_argument("--port", type=int, default=8080, help="of collector and page (8080)")
    parser.add_argument("--speed", type=float, default=SPEED, help=f"log time per time ({SPEED:g})")
    parser.add_argument("--seed", type=int, default=1, help="of the people and their lives (1)")


def _run(arguments: Namespace) -> int:
    seconds = float(arguments.seconds.rstrip("s")) if arguments.seconds else None
    return asyncio.run(_main(arguments, seconds))


async def _main(arguments: Namespace, seconds: float | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = Settings(
        port=arguments.port,
        any_key="demo",
        epoch_ms=OPENS_MS,
        speed=arguments.speed,
        tick_ms=250,
    )
    company = Company(arguments.seed, people=PEOPLE, opens_ms=OPENS_MS)
    say = _quiet if arguments.json else _say
    say("starting broker, Redis and worker")
    plan = Plan(settings, roles=("work",), rules={}, rules_version="contracts")
    async with Stack(plan) as stack:
        say("120 days of history, through the log")
        count = await _past(stack, company)
        await stack.offsets.note(accepted=count, dead=0)
        say(f"{count:,} events; now the present begins")
        await publish_rules(stack.settings, stack.publisher, "v1", number=2)
        await stack.start_roles(
            ("keep", "deliver", "collect"), started_ms=int(time() * 1000) + START_AFTER_MS
        )
        people = asyncio.create_task(_present(stack, company, stop))
        try:
            await _show(stack, stop, seconds, as_json=arguments.json)
        finally:
            stop.set()
            people.cancel()
            with suppress(asyncio.CancelledError):
                await people
        totals = await stack.totals(final=True)
    if arguments.json:
        print(orjson.dumps(asdict(totals)).decode(), flush=True)
    else:
        totals_table(totals, out=sys.stdout)
    return 0


async def _past(stack: Stack, company: Company) -> int:
    settings = stack.settings
    learner = Learner(
        reader=stack.reader,
        publisher=stack.publisher,
        partition_count=settings.partitions,
        secret=settings.secret_key,
    )
    await learner.start()
    history = History(stack.publisher, stack.store, settings, tick_ms=HISTORY_TICK_MS)
    return await history.load(_accepted(stack, company), until=OPENS_MS - HOUR_MS)


def _accepted(stack: Stack, company: Company) -> Iterator[Accepted]:
    settings = stack.settings
    source = sources_of(settings).by_name["history"]
    contracts = contracts_of(settings)
    for at, message in company.history():
        yield accept(
            message,
            raw=orjson.dumps(message),
            source=source,
            received_at=at,
            sent_at=None,
            contracts=contracts,
            secret=settings.secret_key,
        )


async def _present(stack: Stack, company: Company, stop: asyncio.Event) -> None:
    """Send the present's events to the collector as an SDK would, when their time has come."""
    settings = stack.settings
    coming = company.present(EVENTS_PER_S / settings.speed)
    next_at, message = next(coming)
    url = stack.url + "/v1/batch"
    headers = {"Authorization": aiohttp.encode_basic_auth("demo")}
    async with aiohttp.ClientSession(headers=headers) as session:
        while not stop.is_set():
            passed = (time() * 1000 - settings.started_ms) * settings.speed
            batch: list[dict[str, object]] = []
            while next_at <= settings.epoch_ms + passed and len(batch) < BATCH_MAX:
                batch.append(message)
                next_at, message = next(coming)
            if batch:
                await _post(session, url, batch, stop)
            await asyncio.sleep(POST_EVERY_S)


async def _post(
    session: aiohttp.ClientSession, url: str, batch: list[dict[str, object]], stop: asyncio.Event
) -> None:
    """Send a batch until the door has it: an SDK keeps what it could not send."""
    while not stop.is_set():
        try:
            async with session.post(url, json={"batch": batch}) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1.0)


async def _show(stack: Stack, stop: asyncio.Event, seconds: float | None, *, as_json: bool) -> None:
    ends_at = monotonic() + seconds if seconds is not None else None
    view = View(stack.url)
    with Live(view, refresh_per_second=4, transient=True) if not as_json else nullcontext() as live:
        following = None if as_json else asyncio.create_task(view.follow(stack.url, stop))
        while not stop.is_set() and (ends_at is None or monotonic() < ends_at):
            if live is not None:
                view.totals = await stack.totals()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
        if following is not None:
            following.cancel()


def _say(text: str) -> None:
    print(text, flush=True)


def _quiet(text: str) -> None:
    """Say nothing: the JSON at the end says all."""


SPEC = Command(
    name="demo", help="the whole engine with simulated people", configure=_configure, run=_run
)
