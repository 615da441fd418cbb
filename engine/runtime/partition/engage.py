"""The worker's handler: partitions come and go, batches are folded, every error is repaired."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic

from engine.errors import (
    ContractError,
    CoverageError,
    EngineError,
    Fenced,
    LogError,
    StateError,
    StoreError,
)
from engine.events.record import Record
from engine.outcome import Outcome
from engine.runtime.partition.gate import Gate
from engine.runtime.partition.owner import CAREFUL_STEPS, Owner

FENCED_WAIT_S = 1.5  # so that a zombie learns from the group that it was expelled
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
log = logging.getLogger(__name__)


class Engage:
    """A consumer group's Handler over the event log; owners do the work.

    `seen(partition, records, outcome, seconds)` is told of every batch that was committed: the one
    place where outcomes turn into metrics.
    """

    def __init__(
        self,
        owner: Callable[[int], Owner],
        *,
        seen: Callable[[int, Sequence[Record], Outcome, float], None],
        repaired: Callable[[int, str], None],
    ) -> None:
        self._owner = owner
        self._owners: dict[int, Owner] = {}
        self._seen = seen
        self._repaired = repaired
        self._gate = Gate()
        self.stopped: dict[int, str] = {}  # partition -> why an operator is needed

    async def assigned(self, partition: int) -> int | None:
        """Take over; None, and an error in the log, when the partition must stand still."""
        owner = self._owners[partition] = self._owner(partition)
        try:
            return await self._take_over(owner)
        except CoverageError as error:
            self.stopped[partition] = str(error)
            log.error("partition %d stands still: %s", partition, error)
            return None

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        """Fold and commit; after a repair, the offset from which to read again."""
        owner = self._owners[partition]
        if owner.is_careful:
            return await self._one_by_one(owner, records)
        began = monotonic()
        try:
            async with self._gate.beside():
                offset, outcome = await owner.batch(records)
        except (EngineError, TimeoutError, OSError) as error:
            return await self._repair(owner, error)
        except Exception:  # a bug: find the record that it is about, and pass over that one only
            log.exception("partition %d: the fold broke; one record at a time now", partition)
            self._repaired(partition, "poison")
            await self._take_over(owner)
            return await self._one_by_one(owner, records)
        self.stopped.pop(partition, None)
        done = [record for record in records if record.offset < offset]
        self._seen(partition, done, outcome, monotonic() - began)
        return offset

    def applied(self) -> dict[int, int]:
        """Return the last applied offset of each partition that is owned here."""
        return {p: owner.state.meta.off for p, owner in self._owners.items() if owner.is_ready}

    def tokens(self) -> dict[int, str]:
        """Return the token of each partition that is owned here."""
        return {p: owner.token for p, owner in self._owners.items() if owner.is_ready}

    def rule_sets(self) -> set[str]:
        """Return the rule sets that hold in the partitions that are owned here."""
        return {o.state.meta.ruleset for o in self._owners.values() if o.is_ready} - {""}

    def disabled(self) -> set[str]:
        """Return the rules that are disabled in any partition that is owned here."""
        owners = [owner for owner in self._owners.values() if owner.is_ready]
        return {name for owner in owners for name in owner.state.meta.disabled}

    async def revoked(self, partition: int) -> None:
        """Forget the partition; batches have ended before this is called."""
        self.stopped.pop(partition, None)
        if owner := self._owners.pop(partition, None):
            await owner.release()

    async def _one_by_one(self, owner: Owner, records: Sequence[Record]) -> int:
        """Fold record by record, of a tick timer by timer, and pass over what cannot be folded."""
        first = records[0].offset
        for _ in range(CAREFUL_STEPS):
            offset = owner.state.meta.off + 1
            if not first <= offset <= records[-1].offset:
                break
            record = records[offset - first]
            try:
                after, outcome = await self._alone(owner, record)
            except (EngineError, TimeoutError, OSError) as error:
                return await self._repair(owner, error)
            self._seen(owner.partition, [record][: after - offset], outcome, 0.0)
        return owner.state.meta.off + 1

    async def _alone(self, owner: Owner, record: Record) -> tuple[int, Outcome]:
        place = owner.place
        if owner.is_deadly:
            log.error("%s:%d:%d has killed its owners: to the dead letters", *record[:3])
            self._repaired(owner.partition, "deadly")
            reason = ContractError("whoever folded it has died of it", code="log/deadly")
            return await owner.quarantine(record, reason)
        await owner.prepare(record)
        try:
            # Of one that is noted nobody else of this process may die: it would be accused of it.
            async with self._gate.alone():
                return await owner.alone(record)
        except (EngineError, TimeoutError, OSError):
            raise
        except Exception as error:
            log.exception("%s:%d:%d goes to the dead letters", *record[:3])
            offset = await self._take_over(owner)
            if owner.place != place:
                return offset, Outcome()  # another was here meanwhile, or Redis has fallen back
            reason = ContractError(f"{type(error).__name__}: {error}", code="log/poison")
            return await owner.quarantine(record, reason)

    async def _repair(self, owner: Owner, error: Exception) -> int:
        if isinstance(error, StateError):  # no repair helps; the seat tries again in a while
            self.stopped[owner.partition] = str(error)
            raise error
        code = error.code if isinstance(error, EngineError) else "store/unreachable"
        log.warning("partition %d: %s; taking over again", owner.partition, error)
        self._repaired(owner.partition, code)
        if isinstance(error, Fenced):
            await asyncio.sleep(FENCED_WAIT_S)
        return await self._take_over(owner)

    async def _take_over(self, owner: Owner) -> int:
        wait_s = BACKOFF_S
        while True:
            try:
                return await owner.take_over()
            except CoverageError:
                raise
            except (StoreError, LogError, TimeoutError, OSError) as error:
                log.warning("partition %d: %s; again in %.1f s", owner.partition, error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, BACKOFF_S_MAX)
