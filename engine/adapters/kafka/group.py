"""A member of a consumer group: joins, is watched from outside, leaves (ports.Group)."""

import asyncio
from time import monotonic
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.seats import Seats
from engine.adapters.kafka.shell import App
from engine.adapters.kafka.topics import wait_ready
from engine.adapters.kafka.watchdog import LOOK_S, watchdog
from engine.errors import LogError
from engine.ports import Handler

SESSION_S = 6.0
STATIC_SESSION_S = 10.0  # with an instance id: a restart within it makes no rebalance
HEARTBEAT_S = 1.0
FETCH_WAIT_MS = 50  # the embedded broker sleeps through it, Kafka answers at the first byte
FETCH_SIZE_MAX = 256 * 1024  # bytes of one partition in one answer
STALL_S = 30.0
AWAY_S = 90.0


class FaustGroup:
    """A member of a consumer group (ports.Group).

    Parameters
    ----------
    instance_id
        A name that stays the same over restarts: then a quick restart moves no partition.
    stall_s
        Nothing arrives for so long although the log holds more: `run` raises.
    away_s
        No broker, or no end of a rebalance, for so long: `run` raises.
    """

    def __init__(
        self,
        bootstrap: str,
        group_id: str,
        *,
        instance_id: str | None = None,
        session_s: float | None = None,
        fetch_wait_ms: int = FETCH_WAIT_MS,
        stall_s: float = STALL_S,
        away_s: float = AWAY_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._group_id = group_id
        self._instance_id = instance_id
        self._session_s = session_s or (STATIC_SESSION_S if instance_id else SESSION_S)
        self._fetch_wait_ms = fetch_wait_ms
        self._stall_s = stall_s
        self._away_s = away_s
        self._stopping = asyncio.Event()
        self._seats: Seats | None = None

    async def run(self, topic: str, handler: Handler) -> None:
        """Join and serve until `stop` (ports.Group).

        Raises
        ------
        LogError
            `log/unreachable`, `log/stalled` or `log/crashed`; the process should end then.
        """
        await self._until_ready()
        if self._stopping.is_set():
            return
        app = App(
            self._bootstrap,
            self._group_id,
            topic,
            handler,
            options=self._options(),
            drain_s=self._session_s / 2,
        )
        self._seats = app.seats
        try:
            try:
                await app.start()
                await app.consumer.subscribe([topic])
            except KafkaError as error:
                raise LogError(
                    f"cannot join group {self._group_id}: {error!r}", code="log/unreachable"
                ) from error
            await self._watch(app)
        finally:
            await app.stop()
            self._seats = None

    async def _until_ready(self) -> None:
        deadline = monotonic() + self._away_s
        while not self._stopping.is_set():
            try:
                return await asyncio.to_thread(wait_ready, self._bootstrap, timeout_s=LOOK_S)
            except LogError:
                if monotonic() > deadline:
                    raise

    async def stop(self) -> None:
        """Let `run` drain, commit, leave the group and return."""
        self._stopping.set()

    @property
    def partitions(self) -> list[int]:
        """The partitions that this member holds now, sorted."""
        return sorted(self._seats.held) if self._seats else []

    def _options(self) -> dict[str, Any]:
        rebalance_s = 2 * self._session_s
        return {
            "bootstrap_servers": self._bootstrap,
            "group_id": self._group_id,
            "group_instance_id": self._instance_id,
            "client_id": self._instance_id or self._group_id,
            "partition_assignment_strategy": [RoundRobinPartitionAssignor],
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",  # triggers may come in transactions
            "max_partition_fetch_bytes": FETCH_SIZE_MAX,
            "fetch_max_wait_ms": self._fetch_wait_ms,
            "session_timeout_ms": int(self._session_s * 1000),
            "heartbeat_interval_ms": int(min(HEARTBEAT_S, self._session_s / 3) * 1000),
            "rebalance_timeout_ms": int(rebalance_s * 1000),
            # A join is answered only when all members are there.
            "request_timeout_ms": int((rebalance_s + 3) * 1000),
            "max_poll_interval_ms": 3_600_000,  # the watchdog knows better than an idle poll
            "metadata_max_age_ms": 60_000,
        }

    async def _watch(self, app: App) -> None:
        """Return at `stop`; raise when the group is dead but does not know it."""
        reader = KafkaReader(self._bootstrap)
        watch = watchdog(app, reader, stall_s=self._stall_s, away_s=self._away_s)
        watching = asyncio.create_task(watch)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            stopping.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
            await reader.close()
