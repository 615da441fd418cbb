"""Triggers in transactions: in some seeds partitions write theirs so (A33)."""

from collections.abc import Sequence
from random import Random

from engine.errors import Fenced, LogError
from engine.events.record import Outgoing
from tests.simulation.faults import Process, Topics


def transactional(seed: int) -> bool:
    """Tell whether the triggers of a seed are written in transactions."""
    return Random(f"{seed}/transactions").random() < 0.3


class FaultyTransactions:
    """One process's way to write triggers (ports.Transactions).

    `claims`: partition -> who has claimed it last, of all processes.
    """

    def __init__(
        self, process: Process, log: Topics, claims: dict[int, "FaultyTransactions"]
    ) -> None:
        self._process = process
        self._log = log
        self._claims = claims

    async def claim(self, partition: int) -> None:
        """Fence all others, or fail and not know whether."""
        chance = self._process.chance
        await self._process.step()
        if chance.strikes("send_failed"):
            raise LogError("injected: nothing arrived", code="log/down")
        self._claims[partition] = self
        await self._process.step()
        if chance.strikes("ack_lost"):
            raise LogError("injected: no answer", code="log/down")

    async def publish(self, partition: int, records: Sequence[Outgoing]) -> None:
        """Append all or nothing, and tell the truth about it or not; nothing once fenced."""
        chance = self._process.chance
        await self._process.step()
        if chance.strikes("send_failed"):
            raise LogError("injected: nothing arrived", code="log/down")
        await self._process.step()  # between the records and the commit
        if self._claims.get(partition) is not self:
            raise Fenced("injected: another has claimed the partition")
        for record in records:
            self._log.append(record)
        await self._process.step()
        if chance.strikes("ack_lost"):
            raise LogError("injected: no answer to the commit", code="log/down")

    async def release(self, partition: int) -> None:
        """Nothing to let go of."""

    async def close(self) -> None:
        """Nothing to close."""
