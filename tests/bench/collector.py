"""CPU of the front door: requests per CPU-second, beside the same server with an empty handler.

    python -m tests.bench.collector [--seconds 5]

Each contender is uvicorn in a process of its own; wrk sends for some seconds. Counted is CPU of the
server's process (user and system). The log takes every record at once: the broker is not in it.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import uvicorn

from engine.adapters.clock import WallClock
from engine.api.collect import Collector
from engine.api.serve import JoinedProtocol
from engine.config import Settings
from engine.events.record import Outgoing
from engine.runtime.observe import Meter
from engine.runtime.setup import contracts_of, sources_of

CONNECTIONS = 16
BATCH = 100
EVENT = {
    "type": "track", "event": "Order Completed", "userId": "u1", "anonymousId": None,
    "messageId": "f2b9e0d4-7a5e-4e6b-8f2c-61d07a554e6b", "timestamp": "2026-05-01T10:00:00.000Z",
    "context": {"library": {"name": "bench", "version": "1"}}, "integrations": {},
    "properties": {"total": 42.5, "currency": "CNY", "order_id": "o1"},
}  # fmt: skip
BODIES: dict[str, tuple[str, Any, int]] = {
    "single": ("/v1/track", EVENT, 1),
    "batch": ("/v1/batch", {"batch": [EVENT] * BATCH, "sentAt": EVENT["timestamp"]}, BATCH),
}


class Nowhere:
    """A log that takes everything at once and keeps nothing."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Take records."""

    async def close(self) -> None:
        """Nothing to close."""


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """Read a request and answer it, and nothing else."""
    while (await receive()).get("more_body"):
        pass
    body = b'{"success": true}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def collector() -> Collector:
    """Return the collector as `engine up` has it, over a log that costs nothing."""
    settings = Settings(any_key="demo")
    return Collector(
        sources=sources_of(settings),
        contracts=contracts_of(settings),
        publisher=Nowhere(),
        clock=WallClock(),
        meter=Meter(),
        partition_count=settings.partitions,
        secret=settings.secret_key,
        any_key="demo",
    )


def serve(name: str) -> None:
    """Serve one contender on a free port, which is printed."""
    app = collector() if name == "collector" else empty
    http = JoinedProtocol if name == "collector" else "auto"
    config = uvicorn.Config(
        app, port=0, log_level="error", access_log=False, lifespan="off", http=http
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

    asyncio.run(run())


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(name: str, kind: str, seconds: int) -> dict[str, float]:
    """Load one contender with one kind of request."""
    path, body, events = BODIES[kind]
    command = [sys.executable, "-m", "tests.bench.collector", "--serve", name]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "body.lua"
        text = orjson.dumps(body).decode().replace("]]", "] ]")
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["Authorization"] = "Basic YW55Og=="\n'
            f"wrk.body = [[{text}]]\n"
            "done = function(s) print(s.requests, s.errors.status + s.errors.timeout) end\n"
        )
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}{path}"
            load = ["wrk", "-t1", f"-c{CONNECTIONS}", "-s", str(script), url]
            subprocess.run([*load, "-d1s"], check=True, capture_output=True)  # warm
            before = cpu_s(server.pid)
            done = subprocess.run(
                [*load, f"-d{seconds}s"], check=True, capture_output=True, text=True
            )
            used = cpu_s(server.pid) - before
        finally:
            server.terminate()
            server.wait()
    requests, errors = map(int, done.stdout.split()[-2:])
    assert errors == 0, f"{errors} of {requests} requests failed"
    return {
        "requests_per_cpu_s": round(requests / used),
        "cpu_us_per_event": round(used / requests / events * 1e6, 2),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    if shutil.which("wrk") is None:
        sys.exit("the load comes from wrk: install it")
    found = {
        f"{name} {kind}": measure(name, kind, arguments.seconds)
        for kind in BODIES
        for name in ("empty", "collector")
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
