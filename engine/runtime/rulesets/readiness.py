"""Who has compiled a rule set: told by the owner of each partition, asked before a release."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from engine.errors import EngineError
from engine.ports import Ready, Store
from engine.runtime.rulesets.library import FOLLOW_S, ArtefactLibrary

AGAIN_S = 60.0  # it is told anew: a failover of Redis may have lost it
ASKED_MAX = 32  # partitions that are asked at once
log = logging.getLogger(__name__)


async def keep_told(
    store: Store,
    library: ArtefactLibrary,
    tokens: Callable[[], Mapping[int, str]],
    stop: asyncio.Event,
) -> None:
    """Tell for each partition that is owned here what is compiled, whenever that changes."""
    said: dict[int, Ready] = {}
    told_at = monotonic()
    while not stop.is_set():
        if monotonic() - told_at >= AGAIN_S:
            said, told_at = {}, monotonic()
        for partition, token in tokens().items():
            ready = Ready(token, library.versions, dict(library.refused))
            if said.get(partition) != ready:
                try:
                    await store.tell_ready(partition, ready)
                    said[partition] = ready
                except (EngineError, OSError, TimeoutError) as error:
                    log.warning("partition %d: what is ready is not told: %s", partition, error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FOLLOW_S)


class Answers(NamedTuple):
    """What the owners of partitions say of one version.

    `asked`: how many partitions have an owner. `lacking`: partition that has it not -> why its
    owner refuses it, or ''.
    """

    asked: int
    lacking: dict[int, str]


async def ask(store: Store, version: str, partition_count: int) -> Answers:
    """Ask all owners; a partition that no worker has ever owned lacks nothing."""
    room = asyncio.Semaphore(ASKED_MAX)

    async def of(partition: int) -> Ready | None:
        async with room:
            return await store.ready(partition)

    found = await asyncio.gather(*(of(partition) for partition in range(partition_count)))
    told = {partition: ready for partition, ready in enumerate(found) if ready is not None}
    return Answers(
        len(told),
        {
            partition: ready.refused.get(version, "")
            for partition, ready in told.items()
            if version not in ready.versions
        },
    )
