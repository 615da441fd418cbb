"""Two releases side by side, on one log and one Redis: `make upgrade ARGS="--old REV --for 60s"`.

    python -m tests.chaos.upgrade [--old REV] [--for 60s] [--seed N] [--json]

REV is any commit that this repository has; it is checked out and installed into a cache folder
once. One worker and one deliverer are of that release, one of each of this one. Each worker in turn
is away for a while, so that all partitions go from one release to the other and back; meanwhile all
are killed, stopped and frozen, and Redis falls back. What is there at the end is held against the
same oracle as in chaos. Prints one JSON object; ends with 1 if anything was lost, doubled or wrong,
or too few partitions went over.
"""

import argparse
import asyncio
import json
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.chaos.channels import Channels
from tests.chaos.compare import compare
from tests.chaos.faults import Faults
from tests.chaos.load import Load
from tests.chaos.release import Release, checked_out
from tests.chaos.run import CROWD, RATE, drain, report, seconds_of
from tests.chaos.town import PARTITIONS, Town

# The last commit before states were laid out anew (A38); `67bc1aa` cannot be taken: a rule's
# version was the hash of its file then, and waits end where a rule has another version.
OLD = "3befd99"
ROLES = ("work", "work", "deliver", "deliver", "keep", "collect")
OF_OLD = ("work-2", "deliver-2")
WEIGHTS = {
    "kill work": 4.0,
    "stop work": 2.0,
    "freeze work": 2.0,
    "kill deliver": 2.0,
    "freeze deliver": 1.0,
    "redis failover": 1.0,
}
LOOK_S = 0.5
AWAY_S = 8.0  # one release alone has all partitions; longer than a session
MOVES_MIN = PARTITIONS // 2  # each way; what workers tell is seconds old, so some go unseen
_APPLIED = re.compile(
    r'^kafka_consumergroup_current_offset\{.*partition="(\d+)".*\} (\S+)$', re.MULTILINE
)


class Watch:
    """Sees by the workers' metrics which release has each partition; `moves`: old to new, back."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.moves: Counter[str] = Counter()
        self._ports = ports
        self._held: dict[int, str] = {}

    async def run(self, over: asyncio.Event) -> None:
        """Look until it is over."""
        while not over.is_set():
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Who has applied most of a partition has it."""
        seen: dict[int, list[tuple[float, str]]] = {}
        for name, port in self._ports.items():
            release = "old" if name in OF_OLD else "new"
            for partition, offset in self._applied(port):
                seen.setdefault(partition, []).append((offset, release))
        for partition, found in seen.items():
            holder = max(found)[1]
            before = self._held.get(partition, holder)
            if holder != before:
                self.moves[f"{before} to {holder}"] += 1
            self._held[partition] = holder

    def _applied(self, port: int) -> list[tuple[int, float]]:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2.0) as reply:
                text = reply.read().decode()
        except (URLError, OSError):
            return []  # it is dead, or frozen
        return [(int(number), float(offset)) for number, offset in _APPLIED.findall(text)]


async def take_turns(town: Town, seconds: float) -> None:
    """Stop the one worker for a while, and then the other."""
    for name in ("work-1", "work-2"):
        await asyncio.sleep(seconds / 4)
        each = town.people[name]
        while each.busy or each.pid is None:
            await asyncio.sleep(LOOK_S)
        each.busy = True
        await town.stop(name)
        await asyncio.sleep(AWAY_S)
        each.stopping = each.busy = False  # the supervisor starts it again


async def play(seed: int, seconds: float, old: Release, *, log: Path | None) -> dict[str, Any]:
    """Run it; return the report."""
    channels = Channels()
    await channels.start()
    town = Town(
        seed,
        endpoints=channels.endpoints,
        roles=ROLES,
        static=(),
        older=(old, OF_OLD),
        measured=("work-1", "work-2"),
    )
    async with town:
        bootstrap = town.settings.kafka_bootstrap
        load = Load(seed, url=town.url, bootstrap=bootstrap, rate=RATE, crowd=CROWD)
        faults = Faults(seed, town, channels, weights=WEIGHTS)
        watch, over = Watch(town.metrics_ports), asyncio.Event()
        sending = asyncio.create_task(load.run(over))
        watching = asyncio.create_task(watch.run(over))
        try:
            await asyncio.gather(faults.run(seconds), take_turns(town, seconds))
            over.set()
            await asyncio.gather(sending, watching)
            await drain(town)
            found = await asyncio.to_thread(compare, town, load, channels)
        finally:
            if log is not None:
                log.write_text(town.printed())
    await channels.stop()
    body = report(seed, seconds, found, load, faults)
    body |= {"old": old.revision, "moves": dict(watch.moves)}
    return body | {"verdict": _verdict(body)}


def _verdict(body: dict[str, Any]) -> str:
    if body["lost"] or body["duplicates"] or body["wrong_states"]:
        return "wrong"
    if min(body["moves"].get(way, 0) for way in ("old to new", "new to old")) < MOVES_MIN:
        return "too few partitions went over"
    return "passed" if body["events_applied"] and body["merges"] else "too little load"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", default=OLD, help=f"the other release, any commit ({OLD})")
    parser.add_argument("--for", dest="seconds", type=seconds_of, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--log", type=Path, help="where to write what the processes printed")
    given = parser.parse_args()
    print(f"seed {given.seed}, against {given.old}", file=sys.stderr, flush=True)
    old = checked_out(given.old)
    found = asyncio.run(play(given.seed, given.seconds, old, log=given.log))
    print(json.dumps(found, indent=None if given.json else 2))
    return 0 if found["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
