"""How much may be under way at once, and how fast one source may send."""

import pytest

from engine.api.admission import Bucket, Room
from engine.errors import LogError


def test_a_batch_larger_than_the_bucket_passes_and_is_paid_back() -> None:
    now = [0.0]
    bucket = Bucket(10, now_s=lambda: now[0])
    assert bucket.takes(100)
    now[0] = 7.9
    assert not bucket.takes(1)
    now[0] = 8.1
    assert bucket.takes(1)


def test_an_idle_source_saves_no_more_than_two_seconds_worth() -> None:
    now = [0.0]
    bucket = Bucket(10, now_s=lambda: now[0])
    now[0] = 3_600.0
    assert bucket.takes(20)
    assert not bucket.takes(1)


def test_room_that_is_not_there_is_refused_and_not_taken() -> None:
    room = Room(10)
    room.take(6)
    with pytest.raises(LogError, match="under way"):
        room.take(5)
    room.take(4)
    room.give(10)
    room.take(10)
