"""Triggers in Kafka transactions: of a partition's writers only the newest one's are ever read.

For readers that cannot keep one number per partition (A33). A producer of its own per partition,
with a name that stays: whoever takes the partition over makes the broker refuse all before it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from engine.adapters.kafka.producer import TIMEOUT_S
from engine.errors import Fenced, LogError
from engine.events.record import Outgoing

THREADS_MAX = 32  # partitions that wait for the broker at once
# A dead writer's open transaction hides what comes behind it until the next owner is there, or for
# so many ms if there is none.
OPEN_MS_MAX = 60_000
FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
log = logging.getLogger(__name__)


class KafkaTransactions:
    """One transaction for each call of `publish` (ports.Transactions).

    `name`: of the installation's log; with the partition it names a writer. `names`: what the
    broker calls a topic, where it is not what we call it.
    """

    def __init__(
        self,
        bootstrap: str,
        name: str,
        *,
        names: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._names = names or {}
        self._timeout_s = timeout_s
        self._producers: dict[int, Any] = {}
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="transactions")

    async def claim(self, partition: int) -> None:
        """Fence all writers before this one, and end what they left open (ports.Transactions)."""
        await self.release(partition)
        self._producers[partition] = await self._call(partition, self._open, partition)

    async def publish(self, partition: int, records: Sequence[Outgoing]) -> None:
        """Write records in one transaction; return when it is committed (ports.Transactions)."""
        producer = self._producers[partition]
        await self._call(partition, self._write, producer, records)

    async def release(self, partition: int) -> None:
        """Let the partition's producer go (ports.Transactions)."""
        held = [self._producers.pop(partition)] if partition in self._producers else []
        await self._call(partition, held.clear)  # its end takes a while

    async def close(self) -> None:
        """Let all connections go."""
        await asyncio.to_thread(self._producers.clear)
        await asyncio.to_thread(self._threads.shutdown)

    def _open(self, partition: int) -> Any:
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "transactional.id": f"{self._name}-triggers-{partition}",
                "transaction.timeout.ms": OPEN_MS_MAX,
                "linger.ms": 0,  # a transaction is flushed as a whole
                "reconnect.backoff.max.ms": 500,
                "log_level": 3,
            },
            logger=log,
        )
        producer.init_transactions(self._timeout_s)
        return producer

    def _write(self, producer: Any, records: Sequence[Outgoing]) -> None:
        guessed: list[str] = []

        def on_delivery(error: Any, message: Any) -> None:
            if error is None and message.offset() is None:  # A45
                guessed.append(f"{message.topic()}/{message.partition()}")

        producer.begin_transaction()
        for record in records:
            producer.produce(
                self._names.get(record.topic, record.topic),
                value=record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers) or None,
                on_delivery=on_delivery,
            )
        producer.flush(self._timeout_s)
        if guessed:
            raise LogError("an ack without an offset", code="log/refused", where=guessed[0])
        producer.commit_transaction(self._timeout_s)

    async def _call(self, partition: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks in a thread; nothing is known after an error: claim again."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, partial(function, *arguments))
        except (KafkaException, BufferError, ValueError) as error:
            raise _told(error, f"triggers/{partition}") from error


def _told(error: Exception, where: str) -> Exception:
    reason = error.args[0]
    code = reason.code() if isinstance(reason, KafkaError) else None
    if code in FENCED:
        return Fenced("another worker writes the triggers of this partition now", where=where)
    if code == KafkaError._TIMED_OUT:
        return LogError("no end of the transaction in time", code="log/timeout", where=where)
    return LogError(f"the transaction was refused: {error}", code="log/refused", where=where)
