"""Rows of files: CSV, NDJSON, Parquet and columns between blanks; gzip of any of the texts too."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import orjson

from engine.errors import ConfigError, MappingError
from engine.ingest.mapping import RowMapping

_GZIP = b"\x1f\x8b"
Over = Callable[[MappingError], None]
"""Told of what cannot be read; it raises, or the rows that can are read on."""


def _stop(error: MappingError) -> None:
    raise error


def rows(path: Path, mapping: RowMapping, over: Over = _stop) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, in its order.

    Of one that is torn (a cut gzip, other bytes in the midst) the rows before that place.

    Raises
    ------
    MappingError
        By `over`, for a line that is not of the mapping's format, or where the file is torn: with
        the number of the line.
    ConfigError
        If the file cannot be opened, or Parquet is wanted and pyarrow is not installed.
    """
    if mapping.format == "parquet":
        yield from _parquet(path)
        return
    try:
        with _text(path) as file:
            lines = _Lines(path, file)
            for _ in range(mapping.skip):
                next(lines, "")
            if mapping.format == "csv":
                yield from csv.DictReader(lines, fieldnames=mapping.columns or None)
            elif mapping.format == "ndjson":
                yield from _ndjson(lines, over)
            else:
                yield from _columns(lines, mapping, over)
            if lines.torn is not None:
                over(lines.torn)
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", where=str(path)) from None


class _Lines:
    """The lines of a file up to its end, or to where it is `torn`; each has its number from 1."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.number = 0
        self.torn: MappingError | None = None

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.number += 1
        try:
            return next(self.file)
        except UnicodeDecodeError:
            reason = "it is no UTF-8"
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            reason = str(error)
        self.torn = torn(reason, where=self.place)
        raise StopIteration

    @property
    def place(self) -> str:
        return f"{self.path}:{self.number}"


def torn(reason: object, *, where: str) -> MappingError:
    """Return the mistake of a file that ends before its end."""
    return MappingError(f"from here on it cannot be read: {reason}", where=where)


def _text(path: Path) -> TextIO:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _ndjson(lines: _Lines, over: Over) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            over(MappingError(f"no JSON: {error}", where=lines.place))
            continue
        if isinstance(row, dict):
            yield row
        else:
            over(MappingError("want an object in each line", where=lines.place))


def _columns(lines: _Lines, mapping: RowMapping, over: Over) -> Iterator[dict[str, Any]]:
    for line in lines:
        values = line.split()
        if not values:
            continue
        if len(values) == len(mapping.columns):
            yield dict(zip(mapping.columns, values, strict=True))
            continue
        message = f"{len(values)} values, the mapping names {len(mapping.columns)} columns"
        over(MappingError(message, where=lines.place))


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow: pip install 'touchpoint-engine[parquet]'", where=str(path)
        ) from None
    for batch in parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()
