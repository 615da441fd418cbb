"""`engine dead`: which letters are meant, and what of them can be sent again."""

import asyncio

import msgspec
import orjson
import pytest

from engine.adapters.memory import MemoryLog
from engine.cli.dead import Letter, again, chosen, letters_of, visible
from engine.errors import EngineError
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.ingest.dead import dead_letter
from engine.ingest.sources import Source, Sources
from tests.unit.runtime.dispatch import trigger

SOURCES = Sources({"shop": Source("shop", "shop-key")})


def letter(
    name: str, reason: str = "contract/type", source: str = "shop", original: bytes = b"{}"
) -> Letter:
    """Return a dead letter as it is read."""
    value = dead_letter(id=name, reason=reason, where="", original=original, source=source, at=0)
    found: Letter = orjson.loads(value)
    return found


LETTERS = [letter("ab1"), letter("ab2", "time/impossible"), letter("ab1", "contract/json")]


@pytest.mark.parametrize(
    ("id", "reason", "want"),
    [
        (None, None, LETTERS),
        (None, "contract/", [LETTERS[0], LETTERS[2]]),
        (None, "contract/type", [LETTERS[0]]),
        (None, "no such", []),
        ("ab1", None, [LETTERS[0], LETTERS[2]]),  # it died twice
        ("ab2", None, [LETTERS[1]]),
    ],
)
def test_letters_are_chosen_by_id_or_reason(
    id: str | None, reason: str | None, want: list[Letter]
) -> None:
    assert chosen(LETTERS, id=id, reason=reason) == want


@pytest.mark.parametrize(("id", "code"), [("c", "dead/unknown"), ("ab", "dead/which")])
def test_an_id_that_names_none_or_many_is_an_error_that_helps(id: str, code: str) -> None:
    with pytest.raises(EngineError) as caught:
        chosen(LETTERS, id=id)
    assert caught.value.code == code


def test_the_original_goes_to_the_inbox_with_the_key_of_its_source() -> None:
    records, left = again([letter("ab1", original=b'{"a": 1}')], SOURCES, partition_count=8)
    assert records == [
        Outgoing(topics.INBOX, partition_of("ab1", 8), b"ab1", b'{"a": 1}', (("key", b"shop-key"),))
    ]
    assert left == {}


def test_a_trigger_goes_to_the_endpoint_that_has_not_got_it() -> None:
    value = msgspec.json.encode(trigger(1))
    lost = letter("1", original=value) | {"reason": "delivery/failed", "source": "crm"}
    erased = letter("2", original=b"") | {"reason": "delivery/refused", "source": "crm"}
    (record,), left = again([lost, erased], SOURCES, partition_count=8)
    assert (record.topic, record.partition) == ("triggers", partition_of("1pabc", 8))
    assert (record.value, record.headers) == (value, (("again", b"crm"),))
    assert left == {"2": "nothing of the trigger was kept"}


def test_what_cannot_be_sent_again_does_not_hold_back_the_rest() -> None:
    large = letter("big", original=b"x" * 40_000)
    foreign = letter("far", source=topics.INBOX)
    records, left = again([large, foreign, letter("ab1")], SOURCES, partition_count=8)
    assert [record.key for record in records] == [b"ab1"]
    assert left.keys() == {"big", "far"}
    assert "40000 bytes" in left["big"] and "--key" in left["far"]
    records, left = again([foreign], SOURCES, partition_count=8, key="mine")
    assert records[0].headers == (("key", b"mine"),) and left == {}


def test_an_event_that_died_twice_is_sent_once() -> None:
    records, _ = again([letter("ab1"), letter("ab1")], SOURCES, partition_count=8)
    assert len(records) == 1


def test_a_record_that_is_no_letter_is_passed_over() -> None:
    log = MemoryLog({topics.DEAD_EVENTS: 2})
    for partition, value in (
        (0, b"no JSON"),
        (0, b"{}"),
        (0, b"[]"),
        (1, orjson.dumps(LETTERS[0])),
    ):
        log.append(Outgoing(topics.DEAD_EVENTS, partition, b"", value))

    async def read() -> list[Letter]:
        return [found async for found in letters_of(log, 2)]

    assert asyncio.run(read()) == [LETTERS[0]]


def test_what_strangers_wrote_does_not_steer_the_terminal() -> None:
    assert visible("a\x1b[2J\0b\r试驾") == "a·[2J·b·试驾"
