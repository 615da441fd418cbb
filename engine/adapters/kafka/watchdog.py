"""Sees, from outside of a poll that has no deadline, a member that lives but does nothing."""

import asyncio
import logging
from time import monotonic
from typing import Protocol

from engine.adapters.kafka.seats import Seats
from engine.errors import LogError
from engine.ports import Reader

LOOK_S = 1.0
log = logging.getLogger(__name__)


class Member(Protocol):
    """What is watched; `joining_since`: monotonic seconds, None while the member has joined."""

    topic_name: str
    seats: Seats
    joining_since: float | None

    @property
    def crash_reason(self) -> BaseException | None: ...


async def watchdog(member: Member, reader: Reader, *, stall_s: float, away_s: float) -> None:
    """Never return; raise LogError when nothing will come of this member any more.

    `stall_s`: nothing arrived for so long in a partition, though the log goes on. `away_s`: no
    broker, or no end of a rebalance, for so long.
    """
    while True:
        await asyncio.sleep(min(LOOK_S, stall_s / 4))
        if member.crash_reason is not None:
            raise LogError(
                f"the group's member crashed: {member.crash_reason!r}", code="log/crashed"
            )
        since = member.joining_since
        if since is not None and monotonic() - since > away_s:
            raise LogError(
                f"no partitions within {away_s:g} s; is the broker there?", code="log/unreachable"
            )
        for partition in list(member.seats.held):
            await _look(member, partition, reader, stall_s=stall_s, away_s=away_s)


async def _look(
    member: Member, partition: int, reader: Reader, *, stall_s: float, away_s: float
) -> None:
    seat = member.seats.held.get(partition)
    if seat is None or seat.awaited is None or monotonic() - seat.arrived_at < stall_s:
        return
    awaited, idle_s = seat.awaited, monotonic() - seat.arrived_at
    if monotonic() - seat.looked_at < stall_s:
        return
    try:
        _, end = await reader.bounds(member.topic_name, partition)
    except LogError as error:
        if idle_s > away_s:
            raise
        log.warning("partition %d: nothing for %.0f s: %s", partition, idle_s, error)
        return
    seat.looked_at = monotonic()
    if end > awaited and seat.awaited == awaited:
        raise LogError(
            f"nothing arrived for {idle_s:.0f} s, but the log goes on from {awaited} to {end}",
            code="log/stalled",
            where=f"{member.topic_name}/{partition}",
        )
