"""In some storms a record kills every worker that folds it, until one passes it over."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from random import Random
from typing import Any

import orjson

from engine.errors import ContractError
from engine.pipeline.fold import fold, pass_over
from engine.runtime.partition import owner as partition
from tests.instead import held, instead
from tests.simulation.door import NOBODY, Door
from tests.simulation.faults import Process
from tests.simulation.virtual import OWNER

MARK = b"whoever folds this dies"
REASON = ContractError("whoever folded it has died of it", code="log/deadly")


def strikes_at(seed: int, seconds: float) -> float | None:
    """Return when the record of a seed comes, in loop seconds; None for most seeds."""
    return Random(f"{seed}/deadly").uniform(0, seconds) if seed % 8 == 5 else None


async def strike(door: Door, *, after_s: float) -> None:
    """Let the record come, well-formed in every way."""
    await asyncio.sleep(after_s)
    event = {"v": 1, "id": "d" * 32, "tenant": "t", "source": "sim", "type": "web.searched",
             "at": 1, "original_at": 1, "received_at": 1, "ids": [NOBODY], "ev": 0,
             "data": {"query": MARK.decode()}}  # fmt: skip
    record = door._put(NOBODY, orjson.dumps(event))
    door.bad[f"{record.topic}:{record.partition}:{record.offset}"] = REASON.code


@contextmanager
def killing(cluster: Any) -> Iterator[None]:
    """Let the workers of a cluster die of the record, in the middle of the fold."""
    real = held(partition, "fold")

    def fold_or_die(state: Any, arrival: Any, book: Any) -> None:
        if MARK not in arrival.record.value:
            real(state, arrival, book)
            return
        cluster.chance.injected["deadly"] += 1
        dead, outside = OWNER.get(), copy_context()
        outside.run(OWNER.set, None)
        outside.run(asyncio.create_task, cluster.crash(dead))
        Process.kill(dead)
        raise asyncio.CancelledError

    with instead((partition, "fold", fold_or_die)):
        yield


def passed_over() -> AbstractContextManager[None]:
    """Fold as the workers did in the end; whatever bug is planted in theirs is not in this one."""

    def fold_or_pass(state: Any, arrival: Any, book: Any) -> None:
        if MARK in arrival.record.value:
            pass_over(state, arrival, REASON)
        else:
            fold(state, arrival, book)

    return instead((partition, "fold", fold_or_pass))
