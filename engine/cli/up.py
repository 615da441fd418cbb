"""`engine up`: the embedded stack for a user's own SDK, without simulated people."""

import asyncio
import signal
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from time import time

import orjson

from engine.cli.command import Command
from engine.cli.show import totals_table
from engine.config import Settings
from engine.runtime.local.stack import Plan, Stack


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8080, help="of the collector (8080)")
    parser.add_argument("--workers", type=int, default=1, help="processes of role work (1)")
    parser.add_argument(
        "--json", action="store_true", help="one line of JSON when ready, one at the end"
    )


def _run(arguments: Namespace) -> int:
    return asyncio.run(_main(arguments.port, arguments.workers, as_json=arguments.json))


async def _main(port: int, workers: int, *, as_json: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = Settings(port=port, any_key="demo", started_ms=int(time() * 1000))
    async with Stack(Plan(settings, workers=workers)) as stack:
        ready = {
            "ready": True,
            "collector": stack.url,
            "console": stack.url + "/",
            "kafka": stack.settings.kafka_bootstrap,
            "redis": stack.settings.redis_url,
            "generation": stack.settings.generation,
        }
        if as_json:
            print(orjson.dumps(ready).decode(), flush=True)
        else:
            print(f"collector  {stack.url}   (any write key is source `demo`)")
            print(f"console    {stack.url}/")
            print("commands   of another terminal reach it after")
            print(
                f"           export KAFKA_BOOTSTRAP={ready['kafka']} "
                f"REDIS_URL={ready['redis']} GENERATION={ready['generation']}"
            )
            print("Ctrl-C ends it and prints the totals", flush=True)
        await stop.wait()
        totals = await stack.totals(final=True)
    if as_json:
        print(orjson.dumps(asdict(totals)).decode(), flush=True)
    else:
        totals_table(totals, out=sys.stdout)
    return 0


SPEC = Command(
    name="up",
    help="start the engine on this machine for your own SDK",
    configure=_configure,
    run=_run,
)
