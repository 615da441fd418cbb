"""The exact log of one event type, packed: how it is appended to, read in place and merged.

Columns are never turned into lists (D18): a `memoryview` over the bytes is read where it lies.
"""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from math import nan
from struct import Struct, error
from typing import Any, NamedTuple

from engine.profile.model import Log

assert sys.byteorder == "little", "columns are little-endian and are read in place"

LOG_MAX = 256  # events of one type: the oldest is dropped
ROW_BYTES = 8  # of a log's times
_FULL = ROW_BYTES * LOG_MAX
BOOK_MAX = LOG_MAX + LOG_MAX // 2  # words of one column before those no row uses are forgotten
WORD_LENGTH_MAX = 256  # a longer word is stored as missing, so it compares as unknown, never wrong

_TIME = Struct("<q")
_packed_time, _time_at = _TIME.pack, _TIME.unpack_from
_NUMBER = Struct("<d")
_CODE = Struct("<H")
_MISSING_NUMBER = _NUMBER.pack(nan)
_MISSING_CODE = _CODE.pack(0)
_MISSING_NUMBERS = _MISSING_NUMBER * LOG_MAX
_MISSING_CODES = _MISSING_CODE * LOG_MAX


class Columns(NamedTuple):
    """What some rule reads of one event type; a bool is a number, 0 or 1."""

    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


NOTHING = Columns()


def joined(reads: Iterable[Mapping[str, Columns]]) -> dict[str, Columns]:
    """Return, by event type, the columns that any of `reads` needs, by name; of no other types."""
    numbers: dict[str, set[str]] = {}
    words: dict[str, set[str]] = {}
    for read in reads:
        for type, columns in read.items():
            numbers.setdefault(type, set()).update(columns.numbers)
            words.setdefault(type, set()).update(columns.words)
    return {
        type: Columns(tuple(sorted(numbers[type])), tuple(sorted(words[type])))
        for type in sorted(numbers)
        if numbers[type] or words[type]
    }


def append(
    logs: dict[str, Log], type: str, at: int, data: Mapping[str, Any], columns: Columns
) -> None:
    """Put one event of `type` in its place by time, behind those of the same time.

    A column that the log does not have yet is missing in its older rows; one that `columns` does
    not name any more is dropped. A full log drops its oldest row, which may be this one.
    """
    log = logs.get(type)
    if log is None:
        log = logs[type] = Log()
    times = log.times
    size = len(times)
    if size and at < _time_at(times, size - 8)[0]:
        _insert(log, at, data, columns)
    else:  # as nearly always: behind all others; a full log loses its first row
        log.times = (times if size < _FULL else times[8:]) + _packed_time(at)
        if columns is NOTHING and log.numbers is None and log.words is None:
            return
        read_numbers, read_words = columns
        drop = size >= _FULL
        if read_numbers:
            if log.numbers is None:
                log.numbers = {}
            numbers = log.numbers
            for name in read_numbers:
                column = numbers.get(name) or _MISSING_NUMBERS[:size]
                value = data.get(name)
                number = _NUMBER.pack(value) if value.__class__ is float else _number(value)
                numbers[name] = (column[8:] if drop else column) + number
        if read_words:
            if log.words is None or log.book is None:
                log.words, log.book = {}, {}
            words, books = log.words, log.book
            for name in read_words:
                column = words.get(name) or _MISSING_CODES[: size >> 2]
                book = books.setdefault(name, [])
                code = _entered(book, data.get(name))
                words[name] = (column[2:] if drop else column) + code
                if drop and len(book) > BOOK_MAX:
                    _shorten(words, books, name)
    if log.numbers and len(log.numbers) > len(columns.numbers):
        log.numbers = {name: log.numbers[name] for name in columns.numbers} or None
    if log.words and log.book and len(log.words) > len(columns.words):
        log.words = {name: log.words[name] for name in columns.words} or None
        log.book = {name: log.book[name] for name in columns.words} or None


def numbers(log: Log, column: str) -> "memoryview[float]":
    """Return a number column as it lies, NaN where a value is missing."""
    found = log.numbers.get(column) if log.numbers else None
    if found is None:
        found = _MISSING_NUMBERS[: len(log.times)]
    return memoryview(found).cast("d")


def codes(log: Log, column: str) -> "memoryview[int]":
    """Return a word column as it lies: 0 where a value is missing, else a place in the book."""
    found = log.words.get(column) if log.words else None
    if found is None:
        found = _MISSING_CODES[: len(log.times) >> 2]
    return memoryview(found).cast("H")


def code_of(log: Log, column: str, word: str) -> int:
    """Return the code of a word in this log's column, -1 when no row has it."""
    try:
        return log.book[column].index(word) + 1 if log.book else -1
    except (KeyError, ValueError):
        return -1


def value_at(log: Log, column: str, row: int) -> float | str | None:
    """Return one value, None where it is missing."""
    if log.words and log.book and column in log.words:
        code = codes(log, column)[row]
        return log.book[column][code - 1] if code else None
    value = numbers(log, column)[row]
    return value if value == value else None


def merge(a: Log, b: Log) -> Log:
    """Return the events of both, by time (of one time: those of `a` first), the newest LOG_MAX.

    The result has the columns of both; rows of a log that lacks one are missing in it.
    """
    rows_a, rows_b = memoryview(a.times).cast("q"), memoryview(b.times).cast("q")
    order = sorted(
        [(at, 0, row) for row, at in enumerate(rows_a)]
        + [(at, 1, row) for row, at in enumerate(rows_b)]
    )[-LOG_MAX:]
    merged = Log(times=b"".join(_TIME.pack(at) for at, _, _ in order))
    number_columns, words, books = {}, {}, {}
    for name in sorted({*(a.numbers or ()), *(b.numbers or ())}):
        sources = numbers(a, name), numbers(b, name)
        values = (sources[which][row] for _, which, row in order)
        number_columns[name] = b"".join(map(_NUMBER.pack, values))
    for name in sorted({*(a.words or ()), *(b.words or ())}):
        book: list[str] = []
        column = bytearray()
        for _, which, row in order:
            log = (a, b)[which]
            word = value_at(log, name, row) if name in (log.words or ()) else None
            column += _entered(book, word)
        words[name], books[name] = bytes(column), book
    merged.numbers, merged.words, merged.book = number_columns or None, words or None, books or None
    return merged


def _insert(log: Log, at: int, data: Mapping[str, Any], columns: Columns) -> None:
    """Put an event that is not the newest in its place by time."""
    times = log.times
    count = len(times) >> 3
    place, drop = bisect_right(memoryview(times).cast("q"), at), len(times) >= _FULL
    log.times = _spliced(times, place << 3, _TIME.pack(at), drop)
    numbers, words, books = log.numbers or {}, log.words or {}, log.book or {}
    for name in columns.numbers:
        column = numbers.get(name) or _MISSING_NUMBERS[: count << 3]
        numbers[name] = _spliced(column, place << 3, _number(data.get(name)), drop)
    for name in columns.words:
        column = words.get(name) or _MISSING_CODES[: count << 1]
        book = books.setdefault(name, [])
        code = _entered(book, data.get(name))
        words[name] = _spliced(column, place << 1, code, drop)
        if drop and len(book) > BOOK_MAX:
            _shorten(words, books, name)
    log.numbers, log.words, log.book = numbers or None, words or None, books or None


def _entered(book: list[str], word: Any) -> bytes:
    """Return the packed code of a word, entering a new one; 0 for none, and for one too long."""
    if not isinstance(word, str) or len(word) > WORD_LENGTH_MAX:
        return _MISSING_CODE
    try:
        return _CODE.pack(book.index(word) + 1)
    except ValueError:
        book.append(word)
        return _CODE.pack(len(book))


def _shorten(words: dict[str, bytes], books: dict[str, list[str]], name: str) -> None:
    """Write a word column anew over a book of only the words that it uses."""
    old, book, column = books[name], [], bytearray()  # type: list[str], list[str], bytearray
    for code in memoryview(words[name]).cast("H"):
        column += _entered(book, old[code - 1] if code else None)
    words[name], books[name] = bytes(column), book


def _number(value: Any) -> bytes:
    """Return a value as float64, NaN for what is no number or too large for one."""
    if value is None:
        return _MISSING_NUMBER
    try:
        return _NUMBER.pack(value)
    except (OverflowError, error):  # struct's own error is for a text, a list
        return _MISSING_NUMBER


def _spliced(column: bytes, offset: int, value: bytes, drop: bool) -> bytes:
    """Return the column with a value put in at a byte offset, without its first row if `drop`."""
    column = column[:offset] + value + column[offset:]
    return column[len(value) :] if drop else column
