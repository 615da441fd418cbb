"""One process's ways to Redis and to the log, on which calls and their answers get lost."""

from collections.abc import AsyncIterator, Mapping, Sequence

from engine.delivery.model import Job
from engine.errors import LogError, StoreError
from engine.events.record import Outgoing, Record
from engine.outcome import Meta
from engine.ports import Commit, LedgerSnapshot, LedgerUpdate, Ready, Snapshot
from tests.simulation.faults import Process, Slots, Topics


class Way:
    """One process's way to Redis: a call gets lost before it has an effect, or its reply does."""

    def __init__(self, process: Process, slots: Slots) -> None:
        self._process = process
        self._slots = slots

    async def close(self) -> None:
        """Nothing to close."""

    async def _before(self, kind: str) -> None:
        await self._process.step()
        if self._process.chance.strikes(kind):
            raise StoreError(f"injected: {kind}", code="store/unreachable")

    async def _after(self) -> None:
        await self._process.step()
        if self._process.chance.strikes("reply_lost"):
            raise StoreError("injected: it happened, the reply was lost", code="store/unreachable")


class FaultyStore(Way):
    """One process's way to the store (ports.Store)."""

    async def acquire(
        self, partition: int, token: str, *, previous: str = "", survived: int = 0
    ) -> Snapshot:
        await self._before("load_failed")
        found = await self._slots.store.acquire(
            partition, token, previous=previous, survived=survived
        )
        self._slots.note("store", partition)
        await self._after()
        return found

    async def alone(self, partition: int, token: str) -> None:
        await self._before("commit_lost")
        await self._slots.store.alone(partition, token)
        self._slots.note("store", partition)
        await self._after()

    async def load(self, partition: int, names: Sequence[str]) -> list[bytes | None]:
        await self._before("load_failed")
        found = await self._slots.store.load(partition, names)
        await self._process.step()
        return found

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        await self._before("commit_lost")
        await self._slots.store.apply(partition, token, commit)
        self._slots.note("store", partition)
        await self._after()

    async def owner(self, partition: int) -> str:
        await self._before("load_failed")
        return await self._slots.store.owner(partition)

    async def tell_ready(self, partition: int, ready: Ready) -> None:
        await self._before("commit_lost")
        await self._slots.store.tell_ready(partition, ready)
        await self._after()

    async def ready(self, partition: int) -> Ready | None:
        await self._before("load_failed")
        return await self._slots.store.ready(partition)

    async def meta(self, partition: int) -> Meta:
        await self._before("load_failed")
        return await self._slots.store.meta(partition)

    async def waiting(self, partition: int) -> int:
        await self._before("load_failed")
        return await self._slots.store.waiting(partition)

    async def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        await self._before("load_failed")
        async for found in self._slots.store.walk():
            yield found


class FaultyLedger(Way):
    """One process's way to the delivery ledger (ports.Ledger)."""

    async def acquire(self, partition: int, token: str) -> LedgerSnapshot:
        await self._before("load_failed")
        found = await self._slots.ledger.acquire(partition, token)
        self._slots.note("ledger", partition)
        await self._after()
        return found

    async def load(self, partition: int, members: Sequence[str]) -> list[Job | None]:
        await self._before("load_failed")
        return await self._slots.ledger.load(partition, members)

    async def apply(self, partition: int, token: str, update: LedgerUpdate) -> None:
        await self._before("commit_lost")
        await self._slots.ledger.apply(partition, token, update)
        self._slots.note("ledger", partition)
        await self._after()

    async def counts(self, partitions: Sequence[int]) -> Mapping[str, int]:
        await self._before("load_failed")
        return await self._slots.ledger.counts(partitions)

    async def walk(self) -> AsyncIterator[tuple[int, list[str]]]:
        await self._before("load_failed")
        async for found in self._slots.ledger.walk():
            yield found


class FaultyOffsets(Way):
    """One process's way to the inbox's offsets (ports.Offsets)."""

    async def get(self, partition: int) -> int:
        await self._before("load_failed")
        return self._slots.offsets.get(partition, 0)

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None:
        await self._before("commit_lost")
        self._slots.offsets[partition] = offset
        self._slots.note("offsets", partition)
        await self._after()


class FaultyLog:
    """One process's way to the log (ports.Publisher, ports.Reader)."""

    def __init__(self, process: Process, log: Topics) -> None:
        self._process = process
        self._log = log

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append all, or a prefix per destination and an error, or all and an error."""
        chance = self._process.chance
        await self._process.step()
        if records and chance.strikes("send_failed"):
            raise LogError("injected: nothing arrived", code="log/down")
        cut: dict[tuple[str, int], int] = {}
        partial = bool(records) and chance.strikes("suffix_unsent")
        for out in records:
            place = (out.topic, out.partition)
            if partial:
                left = cut.setdefault(place, chance.calls.randrange(len(records) + 1))
                cut[place] = left - 1
                if left <= 0:
                    continue
            self._log.append(out)
            if chance.calls.random() < 0.1:
                await self._process.step()  # frozen, or killed, inside the send
        await self._process.step()
        if partial or (records and chance.strikes("ack_lost")):
            raise LogError("injected: not all of it was acknowledged", code="log/down")

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        await self._process.step()
        return await self._log.bounds(topic, partition)

    async def read(
        self, topic: str, partition: int, offset: int, *, count_max: int
    ) -> list[Record]:
        await self._process.step()
        if self._process.chance.strikes("read_failed"):
            raise LogError("injected: no answer", code="log/down")
        return await self._log.read(topic, partition, offset, count_max=count_max)

    async def close(self) -> None:
        """Nothing to close."""
