"""The learner over a log in memory: each label once, each model announced, after any failure."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson
import pytest

from engine.adapters.memory import MemoryLog
from engine.churn.features import FEATURES
from engine.errors import LogError
from engine.events import topics
from engine.events.record import Outgoing
from engine.runtime.learner import Learner

P = 2
SECRET = b"a secret of thirty-two characters"


class CutLog(MemoryLog):
    """A log whose broker goes away before the n-th publication."""

    def __init__(self) -> None:
        super().__init__({topics.MODELS: 1, topics.LABELLED: 1, topics.EVENTS: P})
        self.left = 1_000

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.left -= 1
        if self.left < 0:
            raise LogError("the log is down", code="log/down")
        await super().publish(records)


def learner(log: MemoryLog, *, publish_labels: int = 200) -> Learner:
    return Learner(
        reader=log,
        publisher=log,
        partition_count=P,
        secret=SECRET,
        publish_labels=publish_labels,
    )


def label(log: MemoryLog, number: int, *, source: int = 0) -> None:
    row = {"x": [0.5] * len(FEATURES), "p0": 0.5, "y": number % 2}
    headers = (("src", b"%d" % source), ("mseq", b"%d" % number))
    log.append(Outgoing(topics.LABELLED, 0, b"l", orjson.dumps(row), headers))


def announced(log: MemoryLog, partition: int = 0) -> list[str]:
    return [
        orjson.loads(record.value)["version"]
        for record in log.records(topics.EVENTS)
        if record.partition == partition
    ]


def play(scenario: Callable[[CutLog], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario(CutLog()))


def test_a_label_that_a_new_owner_sent_again_is_learned_once() -> None:
    async def scenario(log: CutLog) -> None:
        one = learner(log)
        await one.start()
        for number in (3, 5, 3, 5, 8):
            label(log, number)
        label(log, 3, source=1)
        assert await one.learn() == 4

    play(scenario)


def test_what_was_learned_is_remembered_over_a_restart() -> None:
    async def scenario(log: CutLog) -> None:
        one = learner(log)
        await one.start()
        label(log, 3)
        await one.learn()
        await one.checkpoint()
        label(log, 3)
        label(log, 4)
        two = learner(log)
        await two.start()
        assert await two.learn() == 1
        assert two.trainer.labels == 2

    play(scenario)


def test_a_model_whose_announcement_failed_is_announced_again() -> None:
    """Found by a storm: the first model stayed unknown for ever, and nobody was scored."""

    async def scenario(log: CutLog) -> None:
        log.left = 2  # the artefact and the checkpoint
        one = learner(log)
        with pytest.raises(LogError):
            await one.start()
        log.left = 1_000
        assert announced(log) == []
        await one.start()
        await one.learn()
        assert announced(log, 0) == announced(log, 1) == ["m0"]

    play(scenario)


def test_a_restart_announces_what_the_one_before_may_not_have() -> None:
    async def scenario(log: CutLog) -> None:
        one = learner(log)
        await one.start()
        two = learner(log)
        await two.start()
        await two.learn()
        assert announced(log, 1) == ["m0", "m0"]

    play(scenario)


def test_a_version_that_could_not_be_written_is_tried_again() -> None:
    async def scenario(log: CutLog) -> None:
        one = learner(log, publish_labels=2)
        await one.start()
        await one.learn()
        label(log, 1)
        label(log, 2)
        log.left = 0
        with pytest.raises(LogError):
            await one.learn()
        log.left = 1_000
        await one.learn()
        assert announced(log) == ["m0", "m2"]

    play(scenario)
