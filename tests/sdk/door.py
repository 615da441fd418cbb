"""The collector under uvicorn in a thread, over a log in memory that can be made to fail."""

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec
import orjson
import uvicorn

from engine.adapters.clock import WallClock
from engine.adapters.memory import MemoryLog
from engine.api.collect import Collector
from engine.config import Settings
from engine.errors import LogError
from engine.events import topics
from engine.events.model import Event
from engine.events.record import Outgoing
from engine.runtime.observe import Meter
from engine.runtime.setup import contracts_of, sources_of

ROOT = Path(__file__).parents[2]
WAIT_S = 20.0


class FaultyLog(MemoryLog):
    """A log in memory that refuses the next `refusals` publishes."""

    refusals = 0

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append records, or refuse them."""
        if self.refusals:
            self.refusals -= 1
            raise LogError("the log is down", code="log/down")
        await super().publish(records)


class Door:
    """What arrived at a collector; `log.broken = True` makes the log refuse."""

    def __init__(self, url: str, log: FaultyLog, meter: Meter) -> None:
        self.url = url
        self.log = log
        self.meter = meter

    def events(self, count: int) -> list[Event]:
        """Wait for `count` events and return all, in order of arrival per partition."""
        deadline = monotonic() + WAIT_S
        while True:
            records = self.log.records(topics.EVENTS)
            if len(records) >= count or monotonic() > deadline:
                assert len(records) >= count, f"{len(records)} of {count} events came"
                return [msgspec.json.decode(r.value, type=Event) for r in records]
            sleep(0.02)

    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters, the original decoded."""
        letters = [orjson.loads(r.value) for r in self.log.records(topics.DEAD_EVENTS)]
        for letter in letters:
            letter["original"] = base64.b64decode(letter["original"]).decode()
        return letters


@contextmanager
def open_door(*, any_key: str = "demo") -> Iterator[Door]:
    """Serve a collector on a free loopback port; any key is source `any_key`, '' for none."""
    settings = Settings(
        topics_dir=str(ROOT / "topics"), rules_dir=str(ROOT / "rules"), any_key=any_key
    )
    meter = Meter()
    log = FaultyLog({topics.EVENTS: settings.partitions, topics.DEAD_EVENTS: 1})
    collector = Collector(
        sources=sources_of(settings),
        contracts=contracts_of(settings),
        publisher=log,
        clock=WallClock(),
        meter=meter,
        partition_count=settings.partitions,
        secret=settings.secret_key,
        any_key=any_key,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(
        collector, host="127.0.0.1", port=port, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    deadline = monotonic() + WAIT_S
    while not server.started and monotonic() < deadline:
        sleep(0.01)
    assert server.started
    try:
        yield Door(f"http://127.0.0.1:{port}", log, meter)
    finally:
        server.should_exit = True
        thread.join()
