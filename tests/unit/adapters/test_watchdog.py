"""The watchdog ends a member that lives but gets nothing, and leaves a quiet one alone."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest

from engine.adapters.kafka.seats import Seats
from engine.adapters.kafka.watchdog import watchdog
from engine.adapters.memory import MemoryLog
from engine.errors import LogError
from engine.events.record import Outgoing, Record

STALL_S = 0.05
QUIET_S = 0.4


class Waiting:
    """A handler that reads from the beginning, and a feed that never gives anything."""

    async def assigned(self, partition: int) -> int | None:
        return 0

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        return records[-1].offset + 1

    async def revoked(self, partition: int) -> None: ...

    async def seek(self, partition: int, offset: int) -> None: ...

    async def log_start(self, partition: int) -> int:
        return 0


class Member:
    def __init__(self) -> None:
        self.topic_name = "t"
        self.seats = Seats("channel.events", Waiting(), Waiting())
        self.joining_since: float | None = None
        self.crash_reason: BaseException | None = None


async def watched(member: Member, log: MemoryLog, *, away_s: float = 60.0) -> None:
    member.seats.open([0])
    try:
        async with asyncio.timeout(QUIET_S):
            await watchdog(member, log, stall_s=STALL_S, away_s=away_s)
    finally:
        await member.seats.drain([0], timeout_s=1.0)


def test_nothing_arrives_though_the_log_goes_on() -> None:
    async def run() -> None:
        log = MemoryLog({"t": 1})
        log.append(Outgoing("t", 0, b"k", b"v"))
        with pytest.raises(LogError) as caught:
            await watched(Member(), log)
        assert caught.value.code == "log/stalled"

    asyncio.run(run())


def test_nothing_arrives_since_there_is_nothing() -> None:
    async def run() -> None:
        with pytest.raises(TimeoutError):
            await watched(Member(), MemoryLog({"t": 1}))

    asyncio.run(run())


def test_a_rebalance_does_not_end() -> None:
    async def run() -> None:
        member = Member()
        member.joining_since = monotonic() - 100
        with pytest.raises(LogError) as caught:
            await watched(member, MemoryLog({"t": 1}))
        assert caught.value.code == "log/unreachable"

    asyncio.run(run())


def test_the_member_crashed() -> None:
    async def run() -> None:
        member = Member()
        member.crash_reason = RuntimeError("a bug")
        with pytest.raises(LogError, match="a bug"):
            await watched(member, MemoryLog({"t": 1}))

    asyncio.run(run())
