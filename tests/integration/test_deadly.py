"""Processes that die for good inside the fold, one after another, on a real Redis.

Their log is the same in every process; what must survive is in Redis.
"""

import asyncio
import os
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import orjson
import pytest

from engine.adapters.redis.store import RedisStore
from engine.adapters.redis.wire import Wire
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity import mac
from engine.keys import Space
from engine.runtime.partition import owner as partition
from engine.runtime.partition.engage import Engage
from engine.runtime.partition.owner import ALONE_MAX, TRIES_MAX, Owner
from tests.instead import held, put
from tests.simulation.faults import Topics
from tests.simulation.worker import SECRET, Shelf, partitions

RECORDS = 60
DEADLY = 23
HERE = "0u" + "0" * 16
SPACE = Space("deadly", 1)
PROCESSES = get_context("forkserver")  # forks of one that has imported the engine already
PROCESSES.set_forkserver_preload([__name__])


def the_log() -> Topics:
    """Return a log of one partition; the record at DEADLY is as good as the others."""
    log = Topics(partitions(1))
    for number in range(RECORDS):
        event = {"v": 1, "id": f"{number:08x}" * 4, "tenant": "t", "source": "s", "at": 1,
                 "type": "order.placed", "original_at": 1, "received_at": 1, "ids": [HERE],
                 "data": {"value": 100}}  # fmt: skip
        log.append(Outgoing(topics.EVENTS, 0, HERE.encode(), orjson.dumps(event)))
    value = orjson.dumps({"now": 1_000, "passed": 1_000})
    seal = mac.sign("tick", b"tick", value, SECRET)
    log.append(Outgoing(topics.EVENTS, 0, b"tick", value, (("kind", b"tick"), ("mac", seal))))
    return log


async def worker(url: str, kind: str) -> dict[str, str]:
    """Take over and fold to the end of the log, if one lives so long."""
    log, store = the_log(), RedisStore(url, SPACE)

    def owner(number: int) -> Owner:
        return Owner(
            number,
            partition_count=1,
            store=store,
            reader=log,
            publisher=log,
            library=Shelf(log),
            topic_partitions=partitions(1),
        )

    real = held(partition, "fold")

    def fold(state: Any, arrival: Any, book: Any) -> None:
        if kind == "deadly" and arrival.record.offset == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        real(state, arrival, book)

    put((partition, "fold", fold))
    engage = Engage(owner, seen=lambda *_: None, repaired=lambda *_: None)
    offset = await engage.assigned(0) or 0
    if kind == "idle":  # nothing to read yet, and killed
        os.kill(os.getpid(), signal.SIGKILL)
    while records := log.held(topics.EVENTS, 0)[offset : offset + 30]:
        offset = await engage.batch(0, records)
    letters = [orjson.loads(r.value) for r in log.records(topics.DEAD_EVENTS)]
    await store.close()
    return {letter["id"]: letter["reason"] for letter in letters}


def live(url: str, kind: str, told: Connection) -> None:
    """Be a process."""
    told.send(asyncio.run(worker(url, kind)))


def run(url: str, kind: str) -> tuple[bool, dict[str, str]]:
    """Run one process; tell whether it came to the end, and which dead letters it wrote."""
    heard, told = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=live, args=(url, kind, told))
    process.start()
    told.close()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0, heard.recv() if process.exitcode == 0 else {}


def counts(url: str) -> dict[str, int]:
    """Return what Redis holds of the partition."""

    async def look() -> dict[str, int]:
        store = RedisStore(url, SPACE)
        meta = await store.meta(0)
        await store.close()
        return {**meta.counts, "off": meta.off}

    return asyncio.run(look())


def empty(url: str) -> None:
    async def flush() -> None:
        wire = Wire(url)
        await wire.call(b"FLUSHALL")
        await wire.close()

    asyncio.run(flush())


@pytest.mark.redis
def test_a_record_that_kills_its_process_is_passed_over_alone(redis_url: str) -> None:
    empty(redis_url)
    deaths = 0
    while not (ended := run(redis_url, "deadly"))[0]:
        deaths += 1
        assert deaths < 10, counts(redis_url)
    assert deaths == TRIES_MAX - 1 + ALONE_MAX
    assert ended[1] == {f"channel.events:0:{DEADLY}": "log/deadly"}
    found = counts(redis_url)
    assert (found["applied"], found["dead"], found["off"]) == (RECORDS - 1, 1, RECORDS)


@pytest.mark.redis
def test_kills_of_an_idle_worker_never_cost_a_good_record(redis_url: str) -> None:
    empty(redis_url)
    for _ in range(TRIES_MAX + 1):
        assert run(redis_url, "idle") == (False, {})
    assert run(redis_url, "good") == (True, {})
    found = counts(redis_url)
    assert (found["applied"], found.get("dead", 0), found["off"]) == (RECORDS, 0, RECORDS)
