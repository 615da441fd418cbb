"""The re-keyer: what any producer wrote to the inbox gets the same check and its home partition."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from engine.errors import ContractError
from engine.events import topics
from engine.events.cloudevents import from_binary
from engine.events.contract import Contracts
from engine.events.record import Outgoing, Record, header, partition_of
from engine.ingest.accept import accept
from engine.ingest.dead import dead_letter
from engine.ingest.sources import Source, Sources
from engine.ports import Clock, Offsets, Publisher
from engine.runtime.observe import Meter

log = logging.getLogger(__name__)


class Rekeyer:
    """A consumer group's Handler over `channel.inbox`.

    At least once: the offset moves on only after the broker has all that came of a batch; what a
    crash writes twice has the same event id and is dropped in the fold.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        contracts: Contracts,
        publisher: Publisher,
        offsets: Offsets,
        clock: Clock,
        meter: Meter,
        partition_count: int,
        secret: bytes,
        any_key: str = "",
    ) -> None:
        self._sources = sources
        self._contracts = contracts
        self._publisher = publisher
        self._offsets = offsets
        self._clock = clock
        self._meter = meter
        self._count = partition_count
        self._secret = secret
        self._any = sources.by_name.get(any_key) if any_key else None

    async def assigned(self, partition: int) -> int | None:
        """Go on where the last batch ended."""
        return await self._offsets.get(partition)

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        """Check and pass on a batch, in order."""
        out: list[Outgoing] = []
        dead: Counter[str] = Counter()
        for record in records:
            try:
                out.append(self._event(record))
            except ContractError as error:
                dead[error.code] += 1
                out.append(self._letter(record, error))
        await self._publisher.publish(out)
        accepted = len(records) - dead.total()
        after = records[-1].offset + 1
        await self._offsets.put(partition, after, accepted=accepted, dead=dead.total())
        self._meter.count("engine_rekey_events_total", accepted, source="inbox")
        for reason, n in dead.items():
            self._meter.count("engine_dead_events_total", n, stage="rekey", reason=reason)
        return after

    async def revoked(self, partition: int) -> None:
        """Nothing is held."""

    def _event(self, record: Record) -> Outgoing:
        source = self._source(record)
        found = accept(
            self._message(record),
            raw=record.value,
            source=source,
            received_at=self._clock.now(),
            sent_at=None,
            contracts=self._contracts,
            secret=self._secret,
        )
        partition = partition_of(found.key, self._count)
        return Outgoing(topics.EVENTS, partition, found.key.encode(), found.value)

    def _source(self, record: Record) -> Source:
        key = (header(record.headers, "key") or b"").decode("utf-8", "replace")
        source = self._sources.by_key.get(key) or self._any
        if source is None:
            raise ContractError(
                "header `key` names no source; keys are in topics/sources.yaml",
                code="source/unknown",
            )
        return source

    def _message(self, record: Record) -> dict[str, Any]:
        if header(record.headers, "ce_specversion") is not None:
            named = {n: v.decode("utf-8", "replace") for n, v in record.headers}
            return from_binary(named, record.value, prefix="ce_")
        try:
            message = orjson.loads(record.value)
        except orjson.JSONDecodeError as error:
            raise ContractError(f"no JSON: {error}", code="contract/json") from None
        if not isinstance(message, dict):
            raise ContractError("want an object", code="contract/shape")
        return message

    def _letter(self, record: Record, error: ContractError) -> Outgoing:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        letter = dead_letter(
            id=place,
            reason=error.code,
            where=str(error),
            original=record.value,
            source=topics.INBOX,
            at=self._clock.now(),
        )
        return Outgoing(topics.DEAD_EVENTS, 0, place.encode(), letter)
