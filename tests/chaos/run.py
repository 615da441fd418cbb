"""Chaos with real processes: `make chaos ARGS="--for 90s --json"`.

    python -m tests.chaos.run [--for 90s] [--seed N] [--rate EVENTS_PER_S] [--cluster] [--json]

Prints one JSON object. Ends with 1 if anything was lost, doubled or wrong, or too little went wrong
for that to say much.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from tests.chaos.channels import Channels
from tests.chaos.compare import Found, compare
from tests.chaos.faults import Faults
from tests.chaos.load import Load
from tests.chaos.redis_shards import RedisShards
from tests.chaos.town import PARTITIONS, Town

RATE = 120.0
CROWD = 40
FAULTS_S = 6.0  # at least one fault in so many seconds, or the run proves nothing
DRAIN_S = 240.0
QUIET_S = 2.0
SESSION_S = 10.0  # of a worker with a name that stays; the others' is shorter
STARTS = (
    5  # what else a take-over may last, in starts of a process: machines differ, and their load
)
SHOWN_MAX = 10


async def play(
    seed: int,
    seconds: float,
    *,
    rate: float = RATE,
    log: Path | None = None,
    cluster: bool = False,
) -> dict[str, Any]:
    """Run one seed to its end, on one Redis or on a `cluster`; return the report."""
    channels = Channels()
    await channels.start()
    start_s = await asyncio.to_thread(_start_s)
    began = monotonic()
    redis = RedisShards(seed) if cluster else None
    async with Town(seed, endpoints=channels.endpoints, redis=redis) as town:
        _say(f"ready after {monotonic() - began:.0f} s")
        load = Load(
            seed, url=town.url, bootstrap=town.settings.kafka_bootstrap, rate=rate, crowd=CROWD
        )
        faults = Faults(seed, town, channels)
        try:
            over = asyncio.Event()
            sending = asyncio.create_task(load.run(over))
            await faults.run(seconds)
            over.set()
            await sending
            _say(f"the faults are over after {monotonic() - began:.0f} s")
            drained = await drain(town)
            _say(f"drained after {monotonic() - began:.0f} s")
            found = await asyncio.to_thread(compare, town, load, channels)
        finally:
            if log is not None:
                log.write_text(town.printed())
    await channels.stop()
    exits = Counter(f"{p.role} {code}" for p in town.people.values() for code in p.exits)
    body = report(seed, seconds, found, load, faults)
    body |= {"drained_s": round(drained, 1), "process_start_s": round(start_s, 2)}
    body |= {"exits": dict(sorted(exits.items()))}
    return body | {"verdict": verdict(body)}


def _start_s() -> float:
    """Return how long a process of the engine needs to start on this machine, as busy as it is."""
    began = monotonic()
    subprocess.run([sys.executable, "-c", "import engine.cli.run"], check=True)
    return monotonic() - began


async def drain(town: Town) -> float:
    """Wait until nothing is under way any more; return the seconds that this took."""
    began = monotonic()
    await _until(town, _is_settled)
    await town.stop("keep-1")  # no more ticks
    await _until(town, _is_at_rest)
    return monotonic() - began


async def _until(town: Town, holds: Any) -> None:
    deadline = monotonic() + DRAIN_S
    quiet_since = monotonic()
    while monotonic() - quiet_since < QUIET_S:
        await asyncio.sleep(0.2)
        why = await asyncio.to_thread(holds, town)
        if why:
            quiet_since = monotonic()
            assert monotonic() < deadline, f"{why}, {DRAIN_S:.0f} s after the last fault"


def _is_settled(town: Town) -> str:
    """Return what is still to come while the clock ticks, '' if nothing."""
    with town.redis.client() as client:
        for partition in range(PARTITIONS):
            timers = client.zrange(town.space.key(partition, "tm"), 0, -1)
            if any(b"|w:" in member for member in timers):
                return f"partition {partition} waits"
            if client.zcard(town.space.ledger_key(partition, "due")):
                return f"deliveries of partition {partition} are due"
            for topic, key, name in (
                ("triggers", town.space.ledger_key(partition, "l"), "off"),
                ("channel.inbox", town.space.inbox_key(partition), "next"),
            ):
                value = client.hget(key, name)
                place = 0 if value is None else int(value) + (name == "off")
                if place < town.end(topic, partition) and town.holds(topic, partition, place):
                    return f"{topic}/{partition} is read up to {place}"
    return ""


def _is_at_rest(town: Town) -> str:
    """Return which partition has still something to apply, '' if none has."""
    for partition, off in town._offsets().items():
        if off + 1 < town.end("channel.events", partition):
            return f"partition {partition} is applied up to {off}"
    return ""


def report(seed: int, seconds: float, found: Found, load: Load, faults: Faults) -> dict[str, Any]:
    """Return the figures, with what is wrong in words where something is."""
    words = {
        name: getattr(found, name)[:SHOWN_MAX]
        for name in ("lost", "duplicates", "wrong_states")
        if getattr(found, name)
    }
    body: dict[str, Any] = {
        "seed": seed,
        "seconds": seconds,
        "events_in": len(load.sent),
        "events_applied": found.applied,
        "lost": len(found.lost),
        "duplicates": len(found.duplicates),
        "wrong_states": len(found.wrong_states),
        "triggers": found.triggers,
        "merges": found.merges,
        "refusals": found.refusals,
        "routed": found.routed,
        "published_twice": found.repeated,
        "faults": dict(sorted(faults.injected.items())),
        "faults_total": faults.injected.total(),
        "redis_bytes_lost": faults.bytes_lost,
        "takeover_s": _figures(faults.takeovers_s),
        "graceful_stop_s": _figures(faults.stops_s),
    }
    if words:
        body["findings"] = words
    return body


def verdict(body: dict[str, Any]) -> str:
    """Return 'passed', or why not."""
    if body["lost"] or body["duplicates"] or body["wrong_states"]:
        return "wrong"
    if body["faults_total"] < body["seconds"] / FAULTS_S:
        return "too few faults"
    if body["events_applied"] < body["seconds"] * 10 or not body["merges"]:
        return "too little load"
    slowest = body["takeover_s"]["max"]
    if slowest and slowest > SESSION_S + STARTS * body["process_start_s"]:
        return "slow takeover"
    return "passed"


def _figures(values: list[float]) -> dict[str, float | int | None]:
    if not values:
        return {"count": 0, "median": None, "max": None}
    return {
        "count": len(values), "median": round(median(values), 2), "max": round(max(values), 2)
    }  # fmt: skip


def seconds_of(text: str) -> float:
    """Return the seconds of `90s`, `10m` or `1h`."""
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no time; write 90s, 10m or 1h")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3_600}[found[2]]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="seconds", type=seconds_of, default=90.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    parser.add_argument("--cluster", action="store_true", help="on three Redis masters")
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--log", type=Path, help="where to write what the processes printed")
    arguments = parser.parse_args()
    _say(f"seed {arguments.seed}")
    running = play(
        arguments.seed,
        arguments.seconds,
        rate=arguments.rate,
        log=arguments.log,
        cluster=arguments.cluster,
    )
    found = asyncio.run(running)
    print(json.dumps(found, indent=None if arguments.json else 2))
    return 0 if found["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
