"""A seat lets offsets through in sequence only, one batch at a time, and repairs what breaks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from engine.adapters.kafka.seats import BATCH_MAX, QUEUE_MAX, Answer, Seat, Seats
from engine.errors import StoreError
from engine.events.record import Record

PATIENCE_S = 10.0


def records(first: int, after: int) -> list[Record]:
    return [Record("t", 0, offset, b"k", b"v") for offset in range(first, after)]


def answer(first: int, after: int) -> Answer:
    """What a broker gives that has a record at each offset."""
    return Answer(first, records(first, after), after)


class Feed:
    """Notes where it is asked to read from."""

    def __init__(self) -> None:
        self.seeks: asyncio.Queue[int] = asyncio.Queue()
        self.start = 0

    async def seek(self, partition: int, offset: int) -> None:
        self.seeks.put_nowait(offset)

    async def log_start(self, partition: int) -> int:
        return self.start


class Handler:
    """Deals with what it gets; `answers` are taken instead of the next offset, or raised."""

    def __init__(self, *begins: int | None) -> None:
        self.begins = list(begins)
        self.batches: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self.answers: list[int | Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.given_up: list[int] = []
        self.began = asyncio.Event()
        self.cancelled = False

    async def assigned(self, partition: int) -> int | None:
        return self.begins.pop(0) if len(self.begins) > 1 else self.begins[0]

    async def batch(self, partition: int, batch: Sequence[Record]) -> int:
        self.began.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        answer = self.answers.pop(0) if self.answers else batch[-1].offset + 1
        if isinstance(answer, Exception):
            raise answer
        self.batches.put_nowait((batch[0].offset, len(batch)))
        return answer

    async def revoked(self, partition: int) -> None:
        self.given_up.append(partition)


Scenario = Callable[[Seat, Feed, Handler], Awaitable[None]]


def play(handler: Callable[[], Handler], scenario: Scenario) -> None:
    async def run() -> None:
        feed, who = Feed(), handler()
        seat = Seat(0, who, feed, topic="t", on_room=lambda: None)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await scenario(seat, feed, who)
        finally:
            await seat.leave(timeout_s=0.1)

    asyncio.run(run())


def test_it_reads_from_where_the_handler_says() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        assert not seat.is_hungry
        assert await feed.seeks.get() == 7
        seat.take(answer(7, 10))
        assert await handler.batches.get() == (7, 3)

    play(lambda: Handler(7), scenario)


def test_a_batch_has_at_most_batch_max_records() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        seat.take(answer(0, 2 * BATCH_MAX + 50))
        assert [await handler.batches.get() for _ in range(3)] == [
            (0, BATCH_MAX),
            (BATCH_MAX, BATCH_MAX),
            (2 * BATCH_MAX, 50),
        ]

    play(lambda: Handler(0), scenario)


def test_it_is_not_hungry_while_its_queue_is_full() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        handler.gate.clear()
        await feed.seeks.get()
        seat.take(answer(0, QUEUE_MAX + BATCH_MAX))
        assert seat.is_full
        assert not seat.is_hungry
        handler.gate.set()
        await handler.batches.get()
        await handler.batches.get()
        assert seat.is_hungry
        assert not seat.is_full

    play(lambda: Handler(0), scenario)


def test_records_of_before_the_seek_are_dropped() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        seat.take(answer(0, 5))
        await feed.seeks.get()
        seat.take(answer(0, 5))
        seat.take(answer(5, 12))
        assert await handler.batches.get() == (10, 2)

    play(lambda: Handler(10), scenario)


def test_a_hole_between_two_answers_is_read_again_from_where_it_begins() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        seat.take(answer(0, 2))
        seat.take(answer(3, 8))
        assert await handler.batches.get() == (0, 2)
        assert await feed.seeks.get() == 2
        seat.take(answer(2, 8))
        assert await handler.batches.get() == (2, 6)

    play(lambda: Handler(0), scenario)


@pytest.mark.parametrize(
    ("found", "got"),
    [
        # a transaction ends inside of the answer
        ([Answer(0, records(0, 3) + records(4, 6), 6)], [(0, 5)]),
        # and at its end
        ([Answer(0, records(0, 3), 4), answer(4, 6)], [(0, 5)]),
        # the answer begins with what is no record, or is nothing else
        ([Answer(0, records(2, 4), 5), Answer(5, [], 9), Answer(9, records(10, 12), 12)], [(2, 4)]),
    ],
)
def test_what_an_answer_itself_leaves_out_is_no_hole(
    found: list[Answer], got: list[tuple[int, int]]
) -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        for each in found:
            seat.take(each)
        for batch in got:
            assert await handler.batches.get() == batch
        while seat.done != found[-1].after:
            await asyncio.sleep(0)
        assert seat.awaited == found[-1].after
        assert feed.seeks.empty()

    play(lambda: Handler(0), scenario)


def test_markers_do_not_hide_a_hole() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        seat.take(Answer(0, records(0, 3), 4))
        seat.take(Answer(6, records(7, 9), 10))  # what was asked at 4 got lost on its way
        assert await handler.batches.get() == (0, 3)
        assert await feed.seeks.get() == 4
        seat.take(Answer(4, records(4, 5) + records(7, 9), 10))
        assert await handler.batches.get() == (4, 3)

    play(lambda: Handler(0), scenario)


def test_a_marker_behind_the_last_record_is_done_too() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        seat.take(Answer(0, records(0, 3), 3))
        await handler.batches.get()
        seat.take(Answer(3, [], 4))
        while seat.done != 4:
            await asyncio.sleep(0)

    play(lambda: Handler(0), scenario)


def test_a_hole_below_the_start_of_the_log_is_a_new_take_over() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        assert await feed.seeks.get() == 0
        feed.start = 50
        seat.take(answer(50, 60))
        assert await feed.seeks.get() == 55
        seat.take(answer(50, 60))
        assert await handler.batches.get() == (55, 5)

    play(lambda: Handler(0, 55), scenario)


def test_an_offset_out_of_range_is_a_new_take_over() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        assert await feed.seeks.get() == 0
        seat.out_of_range()
        assert await feed.seeks.get() == 30

    play(lambda: Handler(0, 30), scenario)


def test_a_rewind_drops_what_is_queued() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        handler.answers = [50]
        seat.take(answer(0, 900))
        assert await handler.batches.get() == (0, BATCH_MAX)
        assert await feed.seeks.get() == 50
        seat.take(answer(900, 950))  # an answer to the old place
        assert await feed.seeks.get() == 50
        seat.take(answer(50, 60))
        assert await handler.batches.get() == (50, 10)
        assert seat.done == 60

    play(lambda: Handler(0), scenario)


def test_after_an_error_it_takes_over_again() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        await feed.seeks.get()
        handler.answers = [RuntimeError("a bug")]
        seat.take(answer(0, 900))
        assert await feed.seeks.get() == 3
        seat.take(answer(3, 9))
        assert await handler.batches.get() == (3, 6)

    play(lambda: Handler(0, 3), scenario)


def test_leaving_waits_for_the_batch_under_way_and_begins_no_other() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        handler.gate.clear()
        await feed.seeks.get()
        seat.take(answer(0, 900))
        await handler.began.wait()
        leaving = asyncio.create_task(seat.leave(timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        assert not leaving.done()
        handler.gate.set()
        await leaving
        assert handler.batches.qsize() == 1
        assert seat.done == BATCH_MAX

    play(lambda: Handler(0), scenario)


def test_a_batch_that_outlasts_the_drain_is_cancelled() -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        handler.gate.clear()
        await feed.seeks.get()
        seat.take(answer(0, 5))
        await handler.began.wait()
        await seat.leave(timeout_s=0.01)
        assert handler.cancelled

    play(lambda: Handler(0), scenario)


@pytest.mark.parametrize(
    ("error", "level", "traced"),
    [
        (StoreError("Redis at r:1 did not answer", code="store/unreachable"), "WARNING", False),
        (ConnectionRefusedError(111, "refused"), "WARNING", False),
        (ZeroDivisionError("of ours"), "ERROR", True),
    ],
)
def test_what_the_world_does_is_told_in_a_line_and_what_we_do_with_its_trace(
    error: Exception, level: str, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(seat: Seat, feed: Feed, handler: Handler) -> None:
        handler.answers = [error]
        await feed.seeks.get()
        seat.take(answer(0, 5))
        await feed.seeks.get()  # it begins again
        seat.take(answer(0, 5))
        assert await handler.batches.get() == (0, 5)

    play(lambda: Handler(0), scenario)
    (line,) = (each for each in caplog.records if "again in" in each.message)
    assert line.levelname == level
    assert bool(line.exc_info) is traced
    assert line.message.startswith("t/0: ")
    assert traced or str(error) in line.message


def test_the_handler_is_told_of_each_partition_that_is_given_up() -> None:
    async def run() -> None:
        handler, feed = Handler(0), Feed()
        seats = Seats("t", handler, feed)
        seats.open([1, 2, 3])
        await seats.drain([1, 3, 4], timeout_s=PATIENCE_S)
        await seats.give_up([1, 3, 4])
        assert sorted(handler.given_up) == [1, 3]
        assert list(seats.held) == [2]
        await seats.drain([2], timeout_s=PATIENCE_S)

    asyncio.run(run())
