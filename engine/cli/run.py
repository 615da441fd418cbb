"""`engine run ROLE[,ROLE]`: one process of an installation, by environment variables.

`engine run work --workers N`: as many processes as are asked for, looked after by this one.
"""

import asyncio
import gc
import logging
import os
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Collection

from engine.api.serve import collect
from engine.cli.command import Command
from engine.config import Settings
from engine.errors import ConfigError
from engine.runtime.local.processes import Process
from engine.runtime.local.supervisor import Supervisor, core_count, instances
from engine.runtime.roles import ROLES, Engine, Role

GC_THRESHOLD = 50_000  # state is packed: there is little to find, and a full pass stops the batch

TASKS_S = 5.0  # between two counts of the tasks
GRACE_S = 6.0  # to end in order; 10 s after its SIGTERM a container is killed, if nobody says else
log = logging.getLogger(__name__)


def _configure(parser: ArgumentParser) -> None:
    known = ", ".join([*ROLES, "collect"])
    parser.add_argument("roles", help=f"one or more of {known}, with commas between")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes of role work that share the partitions (1); 0: one for each core",
    )


def _run(arguments: Namespace) -> int:
    settings = Settings.from_env(os.environ)
    logging.basicConfig(level=settings.log, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    roles = {**ROLES, "collect": collect}
    names = arguments.roles.split(",")
    for name in names:
        if name not in roles:
            raise ConfigError(f"no role `{name}`; one of {', '.join(roles)}", code="config/role")
    count = arguments.workers or core_count()
    if count != 1:
        _check_workers(count, names, settings)
        asyncio.run(_supervise(count, settings))
        return 0
    gc.set_threshold(GC_THRESHOLD)
    asyncio.run(_main(settings, names))
    gc.freeze()  # the interpreter would look at all that is left, longer than all else takes
    return 0


def _check_workers(count: int, names: list[str], settings: Settings) -> None:
    if names != ["work"]:
        raise ConfigError(
            f"--workers is for role work alone, not for {','.join(names)}; "
            "start the other roles by a command of their own",
            code="config/workers",
        )
    if not 1 <= count <= settings.partitions:
        raise ConfigError(
            f"--workers {count}: each needs a partition, and there are {settings.partitions}",
            code="config/workers",
        )


async def _supervise(count: int, settings: Settings) -> None:
    stop = _stop_signal()
    supervisor = Supervisor()
    for index, env in enumerate(instances(count, settings)):
        command = ["engine.cli.main", "run", "work"]
        supervisor.start(Process(f"work-{index}", command, env=env))
    watching = asyncio.create_task(supervisor.run())
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    await supervisor.stop()
    if watching in done:
        watching.result()  # it never ends by itself but by an error


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _main(settings: Settings, names: list[str]) -> None:
    stop = _stop_signal()
    engine = Engine(settings)
    engine.meter.serve(settings.metrics_port)
    roles = {**ROLES, "collect": collect}
    counting = asyncio.create_task(_count_tasks(engine))
    try:
        await engine.connect()
        async with asyncio.TaskGroup() as tasks:
            running = {
                tasks.create_task(_role(roles[name], engine, stop), name=name) for name in names
            }
            ending = tasks.create_task(_end_in_time(running, stop))
            await asyncio.wait(running)
            ending.cancel()
    finally:
        counting.cancel()
        await engine.close()


async def _end_in_time(roles: Collection[asyncio.Task[object]], stop: asyncio.Event) -> None:
    """Break off what has not ended some time after it was told to: it waits for who is away.

    A crash could come at any of these places, so nothing is lost by it.
    """
    await stop.wait()
    _, late = await asyncio.wait(roles, timeout=GRACE_S)
    for role in late:
        log.warning("%s has not ended within %.0f s: broken off", role.get_name(), GRACE_S)
        role.cancel()


async def _count_tasks(engine: Engine) -> None:
    while True:
        engine.meter.gauge("engine_process_tasks", len(asyncio.all_tasks()))
        await asyncio.sleep(TASKS_S)


async def _role(role: Role, engine: Engine, stop: asyncio.Event) -> None:
    await role(engine, stop)


SPEC = Command(
    name="run", help="run one process: collect, work, deliver, keep", configure=_configure, run=_run
)
