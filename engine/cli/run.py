"""`engine run ROLE[,ROLE]`: one process of an installation, by environment variables."""

import asyncio
import gc
import logging
import os
import signal
from argparse import ArgumentParser, Namespace

from engine.api.serve import collect
from engine.cli.command import Command
from engine.config import Settings
from engine.errors import ConfigError
from engine.runtime.roles import ROLES, Engine, Role

GC_THRESHOLD = 50_000  # state is packed: there is little to find, and a full pass stops the batch


def _configure(parser: ArgumentParser) -> None:
    known = ", ".join([*ROLES, "collect"])
    parser.add_argument("roles", help=f"one or more of {known}, with commas between")


def _run(arguments: Namespace) -> int:
    settings = Settings.from_env(os.environ)
    logging.basicConfig(level=settings.log, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    roles = {**ROLES, "collect": collect}
    names = arguments.roles.split(",")
    for name in names:
        if name not in roles:
            raise ConfigError(f"no role `{name}`; one of {', '.join(roles)}", code="config/role")
    gc.set_threshold(GC_THRESHOLD)
    asyncio.run(_main(settings, names))
    return 0


async def _main(settings: Settings, names: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = Engine(settings)
    engine.meter.serve(settings.metrics_port)
    roles = {**ROLES, "collect": collect}
    try:
        await engine.connect()
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(_role(roles[name], engine, stop))
    finally:
        await engine.close()


async def _role(role: Role, engine: Engine, stop: asyncio.Event) -> None:
    await role(engine, stop)


SPEC = Command(
    name="run", help="run one process: collect, work, deliver, keep", configure=_configure, run=_run
)
