"""The learner: matured labels in, model versions out, each announced by MODEL(v) in the log.

Its checkpoint is one compacted record with the model's whole state and the offsets it has read up
to, so that a restart neither skips a label nor learns one twice.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from engine.churn.mbg import Mbg
from engine.churn.model import initial_model
from engine.churn.train import Trainer
from engine.errors import EngineError
from engine.events import topics
from engine.events.record import Outgoing, Record, header
from engine.identity import mac
from engine.identity.messages import Version
from engine.ports import Publisher, Reader

PUBLISH_LABELS = 200  # new labels that make a new version worth it
POLL_S = 0.5
READ_MAX = 500
CHECKPOINT = b"churn-checkpoint"
log = logging.getLogger(__name__)
_json = msgspec.json.Encoder().encode


def version_records(kind: str, version: str, partition_count: int, secret: bytes) -> list[Outgoing]:
    """Return the control record RULESET(v) or MODEL(v) for every partition."""
    value = _json(Version(version))
    key = kind.encode()
    headers = (("kind", key), ("mac", mac.sign(kind, key, value, secret)))
    return [Outgoing(topics.EVENTS, p, key, value, headers) for p in range(partition_count)]


class Learner:
    """One per installation; a second one would only repeat it."""

    def __init__(
        self,
        *,
        reader: Reader,
        publisher: Publisher,
        partition_count: int,
        secret: bytes,
        publish_labels: int = PUBLISH_LABELS,
        learned: Callable[[int, float | None], None] = lambda labels, auc: None,
    ) -> None:
        self._reader = reader
        self._publisher = publisher
        self._count = partition_count
        self._secret = secret
        self._publish_labels = publish_labels
        self._learned = learned
        self._offset = 0
        self._version = ""
        self._announced = ""  # by this process
        self._published_at = 0
        self._marks: dict[str, int] = {}  # source partition -> highest number learned
        self.trainer = Trainer()

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until told to stop."""
        started = False
        while not stop.is_set():
            try:
                if not started:
                    await self.start()
                    started = True
                await self.learn()
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("learner: %s", error)
            try:
                await asyncio.wait_for(stop.wait(), POLL_S)
            except TimeoutError:
                continue
        if started:
            await self.checkpoint()

    async def start(self) -> None:
        """Go on from the checkpoint; without one, publish the first model. Announce it anyhow."""
        offset, _ = await self._reader.bounds(topics.MODELS, 0)
        while found := await self._reader.read(topics.MODELS, 0, offset, count_max=READ_MAX):
            offset = found[-1].offset + 1
            for record in found:
                if record.key == CHECKPOINT and record.value:
                    self._restore(orjson.loads(record.value))
                elif record.key.startswith(b"churn@"):
                    self._version = record.key.decode().partition("@")[2]
        if not self._version:
            await self._publish("m0", initial_model().to_json())
        await self._announce()

    async def learn(self) -> int:
        """Read what has matured and learn it; publish a version when there is enough news."""
        learned = 0
        while found := await self._reader.read(
            topics.LABELLED, 0, self._offset, count_max=READ_MAX
        ):
            for record in found:
                self._offset = record.offset + 1
                if self._is_new(record):
                    learned += self.trainer.learn(orjson.loads(record.value))
            await asyncio.sleep(0)
        if learned:
            self._learned(learned, self.trainer.auc)
        if self.trainer.labels - self._published_at >= self._publish_labels:
            await self._publish_new()
        if self._announced != self._version:
            await self._announce()
        return learned

    def _is_new(self, record: Record) -> bool:
        """Tell whether a label comes for the first time: a partition's new owner sends again."""
        source = header(record.headers, "src")
        if source is None:
            return True
        name, number = source.decode(), int(header(record.headers, "mseq") or 0)
        if number <= self._marks.get(name, 0):
            return False
        self._marks[name] = number
        return True

    async def _publish_new(self) -> None:
        version = f"m{self.trainer.labels}"
        model = self.trainer.export(version, mbg=Mbg())
        await self._publish(version, model.to_json())

    async def _publish(self, version: str, artefact: bytes) -> None:
        await self._publisher.publish(
            [Outgoing(topics.MODELS, 0, f"churn@{version}".encode(), artefact)]
        )
        self._version = version
        self._published_at = self.trainer.labels
        await self.checkpoint()

    async def _announce(self) -> None:
        """Write MODEL(v) behind its artefact, which a worker that meets it waits for.

        Said anew at each start: nobody knows how far the one before had come, and to hear it twice
        changes nothing.
        """
        version = self._version
        records = version_records("model", version, self._count, self._secret)
        await self._publisher.publish(records)
        self._announced = version

    async def checkpoint(self) -> None:
        """Write where the learner stands, with all that it has learned."""
        state: dict[str, Any] = {
            "offset": self._offset,
            "version": self._version,
            "published_at": self._published_at,
            "marks": self._marks,
            "labels": self.trainer.labels,
            "auc": self.trainer.auc,
            "trainer": self.trainer.to_plain(),
        }
        record = Outgoing(topics.MODELS, 0, CHECKPOINT, orjson.dumps(state))
        await self._publisher.publish([record])

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self._offset = checkpoint["offset"]
        self._version = checkpoint["version"]
        self._published_at = checkpoint["published_at"]
        self._marks = checkpoint.get("marks", {})
        self.trainer = Trainer.from_plain(checkpoint["trainer"])
