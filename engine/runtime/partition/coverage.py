"""Whether log, store and trigger topic fit together (I6), and what is out already (T3, T4)."""

from collections.abc import Sequence
from typing import NamedTuple

from engine.errors import CoverageError
from engine.events import topics
from engine.events.record import Record, fingerprint, header
from engine.outcome import Meta
from engine.ports import Reader, Snapshot

TAIL_MAX = 1_000  # offsets of the trigger topic read back at a take-over
TAIL_GROWTH = 8  # times as many where these have no trigger
APPLIED = "applied"  # header of a trigger: offset and fingerprint of the last record applied


async def check_log(reader: Reader, partition: int, meta: Meta) -> None:
    """T3: see that the log has what comes next, and still has what was applied last.

    Raises
    ------
    CoverageError
        If not: with what to do about it.
    """
    place = f"{topics.EVENTS}/{partition}"
    start, end = await reader.bounds(topics.EVENTS, partition)
    if meta.off < 0:
        await _check_beginning(reader, partition, start, end)
        if start > 0:
            raise CoverageError(
                f"the log begins at {start} but nothing of it was ever applied; "
                "restore a backup of Redis, or start with a new generation",
                where=place,
            )
        return
    if meta.off + 1 < start:
        raise CoverageError(
            f"applied up to {meta.off}, but the log begins at {start}: retention overtook us; "
            "restore a later backup of Redis",
            where=place,
        )
    if meta.off < start:
        return  # the record at `off` has gone by age, all that follows it is there
    if not await _is_there(reader, partition, meta.off, meta.fp, end):
        raise CoverageError(
            f"applied up to {meta.off}, but the log (end {end}) has lost or changed that "
            "record; restore a backup of Redis from before the loss",
            where=place,
        )


async def _is_there(reader: Reader, partition: int, offset: int, fp: int | None, end: int) -> bool:
    """Tell whether the log has the record of a fingerprint at an offset."""
    found: Sequence[Record] = ()
    if offset < end:
        found = await reader.read(topics.EVENTS, partition, offset, count_max=1)
    return bool(found) and found[0].offset == offset and fingerprint(found[0]) == fp


async def _check_beginning(reader: Reader, partition: int, start: int, end: int) -> None:
    """A log that goes on from another version does not begin with nothing."""
    if start > 0 or end == 0:
        return
    first = await reader.read(topics.EVENTS, partition, 0, count_max=1)
    if first and header(first[0].headers, "kind") == b"grown":
        raise CoverageError(
            "what the log's last version knew has not been carried over, or Redis has lost it "
            "again; run `engine grow`",
            where=f"{topics.EVENTS}/{partition}",
        )


async def read_back(reader: Reader, partition: int, snapshot: Snapshot) -> int:
    """T4: return the highest number that the trigger topic holds, 0 if it has none.

    Not every offset has one: staff's wishes have no number, and markers of transactions and
    what was given up are no records. So the look goes back until there is one.

    Raises
    ------
    CoverageError
        If the topic no longer has what it had acknowledged, or knows of another log than this one.
    """
    start, end = await reader.bounds(topics.TRIGGERS, partition)
    tail = TAIL_MAX
    while True:
        first = max(start, end - tail)
        told = await _told_from(reader, partition, first)
        if told.highest or first == start:
            break
        tail *= TAIL_GROWTH
    if told.highest or start == 0:  # else all that had a number may have gone by age
        _check_acknowledged(partition, told.highest, snapshot)
    await _check_same_log(reader, partition, told, snapshot.meta)
    return told.highest


class _Told(NamedTuple):
    """`off`, `fp`: how far the log was applied when the last of the triggers went out; -1: none."""

    highest: int = 0
    off: int = -1
    fp: int = 0


async def _told_from(reader: Reader, partition: int, offset: int) -> _Told:
    highest, applied = 0, (-1, 0)
    while found := await reader.read(topics.TRIGGERS, partition, offset, count_max=TAIL_MAX):
        offset = found[-1].offset + 1
        for record in found:
            highest = max(highest, int(header(record.headers, "oseq") or 0))
            if (value := header(record.headers, APPLIED)) is not None:
                off, _, fp = value.partition(b":")
                applied = max(applied, (int(off), int(fp)))
    return _Told(highest, *applied)


def witness(meta: Meta) -> tuple[tuple[str, bytes], ...]:
    """Return the header that says how far the log is applied, and which log."""
    return ((APPLIED, b"%d:%d" % (meta.off, meta.fp)),) if meta.fp is not None else ()


def _check_acknowledged(partition: int, highest: int, snapshot: Snapshot) -> None:
    """See that what has left the outbox is in the topic: it left when the topic had it."""
    left = snapshot.outbox[0][0] - 1 if snapshot.outbox else snapshot.meta.oseq
    if highest < left:
        raise CoverageError(
            f"triggers up to number {left} were acknowledged, but the topic ends with {highest}: "
            "it has lost its end; restore a backup of Redis from before the loss, and the log "
            "makes the others again",
            where=f"{topics.TRIGGERS}/{partition}",
        )


async def _check_same_log(reader: Reader, partition: int, told: _Told, meta: Meta) -> None:
    """See that what Redis has not applied (any more), but its triggers are out, is in the log."""
    if told.off <= meta.off:
        return
    _, end = await reader.bounds(topics.EVENTS, partition)
    if not await _is_there(reader, partition, told.off, told.fp, end):
        raise CoverageError(
            f"trigger number {told.highest} was made when {told.off} had been applied, and the log "
            f"(end {end}) has lost or changed that record: numbers of triggers and messages would "
            'be given twice; begin a new GENERATION with `engine setup` (docs/restore.md, "The '
            'log has lost its end")',
            where=f"{topics.EVENTS}/{partition}",
        )
