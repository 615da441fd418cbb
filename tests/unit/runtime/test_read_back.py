"""A new owner finds the highest number that is out, also behind records that have none."""

import asyncio

import pytest

from engine.adapters.memory import MemoryLog
from engine.events import topics
from engine.events.record import Outgoing
from engine.runtime.partition.coverage import TAIL_MAX, read_back


@pytest.mark.parametrize(
    ("numbers", "others", "highest"),
    [(0, 0, 0), (3, 0, 3), (TAIL_MAX + 5, 2, TAIL_MAX + 5), (3, 9 * TAIL_MAX, 3), (0, 20, 0)],
)
def test_it_looks_back_until_there_is_a_number(numbers: int, others: int, highest: int) -> None:
    log = MemoryLog({topics.TRIGGERS: 1})
    for n in range(1, numbers + 1):
        log.append(Outgoing(topics.TRIGGERS, 0, b"k", b"v", (("oseq", b"%d" % n),)))
    for _ in range(others):  # what staff want sent once more has no number
        log.append(Outgoing(topics.TRIGGERS, 0, b"k", b"v", (("again", b"crm"),)))
    assert asyncio.run(read_back(log, 0)) == highest
