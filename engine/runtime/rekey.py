"""The re-keyer: what any producer wrote to the inbox gets the same check and its home partition."""

import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
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
from engine.ingest.usual import usual_of
from engine.ports import Clock, Offsets, Publisher, Reader
from engine.runtime.observe import Meter

log = logging.getLogger(__name__)


class Rekeyer:
    """A consumer group's Handler over `channel.inbox`.

    At least once: the offset moves on only after the broker has all that came of a batch; what a
    crash writes twice has the same event id and is dropped in the fold. `routes`: as the front
    door's: home -> where its person is believed to live; None: at home.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        contracts: Contracts,
        publisher: Publisher,
        reader: Reader,
        offsets: Offsets,
        clock: Clock,
        meter: Meter,
        partition_count: int,
        secret: bytes,
        any_key: str = "",
        routes: Callable[[str], str] | None = None,
    ) -> None:
        self._sources = sources
        self._contracts = contracts
        self._publisher = publisher
        self._reader = reader
        self._offsets = offsets
        self._clock = clock
        self._meter = meter
        self._count = partition_count
        self._secret = secret
        self._any = sources.by_name.get(any_key) if any_key else None
        self._routes = routes
        self._usual = {
            name: usual_of(each, contracts, secret) for name, each in sources.by_name.items()
        }

    async def assigned(self, partition: int) -> int | None:
        """Go on where the last batch ended, or where the inbox begins by now.

        Retention may have taken what was never read: that is said aloud, and the rest is read.
        """
        offset = await self._offsets.get(partition)
        start, _ = await self._reader.bounds(topics.INBOX, partition)
        if offset < start:
            log.error(
                "%s/%d begins at %d, %d was next: retention took %d records, unless this is a new "
                "generation [log/coverage]",
                topics.INBOX, partition, start, offset, start - offset,
            )  # fmt: skip
        return max(offset, start)

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
        now = self._clock.now()
        found = None
        if not _is_binary(record):
            found = self._usual[source.name](record.value, now, None, None)
        if found is None:
            _, home, value = accept(
                _message(record), raw=record.value, source=source, received_at=now, sent_at=None,
                contracts=self._contracts, secret=self._secret,
            )  # fmt: skip
        else:
            home, value = found
        if self._routes is not None:
            home = self._routes(home)
        return Outgoing(topics.EVENTS, partition_of(home, self._count), home.encode(), value)

    def _source(self, record: Record) -> Source:
        source = self._known(record)
        if source is None:
            raise ContractError(
                "header `key` names no source; keys are in topics/sources.yaml",
                code="source/unknown",
            )
        return source

    def _known(self, record: Record) -> Source | None:
        key = (header(record.headers, "key") or b"").decode("utf-8", "replace")
        return self._sources.by_key.get(key) or self._any

    def _letter(self, record: Record, error: ContractError) -> Outgoing:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        source = self._known(record)
        letter = dead_letter(
            id=place,
            reason=error.code,
            where=str(error),
            original=_original(record),
            source=source.name if source else topics.INBOX,
            at=self._clock.now(),
        )
        return Outgoing(topics.DEAD_EVENTS, 0, place.encode(), letter)


def _is_binary(record: Record) -> bool:
    return header(record.headers, "ce_specversion") is not None


def _message(record: Record) -> dict[str, Any]:
    if _is_binary(record):
        return from_binary(_named(record), record.value, prefix="ce_")
    try:
        message = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise ContractError(f"no JSON: {error}", code="contract/json") from None
    if not isinstance(message, dict):
        raise ContractError("want an object", code="contract/shape")
    return message


def _named(record: Record) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, value in record.headers if value}


def _original(record: Record) -> bytes:
    """Return the bytes of a record; a binary CloudEvent's in its structured form.

    Its attributes are headers, which a dead letter does not keep: sent again without them it
    would be nothing.
    """
    if not _is_binary(record):
        return record.value
    try:
        return orjson.dumps(from_binary(_named(record), record.value, prefix="ce_"))
    except (ContractError, TypeError):
        message = from_binary(_named(record), b"", prefix="ce_")
        del message["data"]
        return orjson.dumps(message | {"data_base64": b64encode(record.value).decode()})
