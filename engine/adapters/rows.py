"""Rows of files: CSV, NDJSON, Parquet and columns between blanks; gzip of any of the texts too."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import orjson

from engine.errors import ConfigError, MappingError
from engine.ingest.mapping import RowMapping

_GZIP = b"\x1f\x8b"


def rows(path: Path, mapping: RowMapping) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, in its order.

    Raises
    ------
    MappingError
        For a line that is not of the mapping's format, with its number.
    ConfigError
        If the file cannot be opened, or Parquet is wanted and pyarrow is not installed.
    """
    if mapping.format == "parquet":
        yield from _parquet(path)
        return
    try:
        with _text(path) as lines:
            for _ in range(mapping.skip):
                next(lines, "")
            if mapping.format == "csv":
                yield from csv.DictReader(lines, fieldnames=mapping.columns or None)
            elif mapping.format == "ndjson":
                yield from _ndjson(path, lines)
            else:
                yield from _columns(path, lines, mapping)
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", where=str(path)) from None


def _text(path: Path) -> TextIO:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _ndjson(path: Path, lines: TextIO) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise MappingError(f"no JSON: {error}", where=f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise MappingError("want an object in each line", where=f"{path}:{number}")
        yield row


def _columns(path: Path, lines: TextIO, mapping: RowMapping) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        values = line.split()
        if not values:
            continue
        if len(values) != len(mapping.columns):
            raise MappingError(
                f"{len(values)} values, the mapping names {len(mapping.columns)} columns",
                where=f"{path}:{number}",
            )
        yield dict(zip(mapping.columns, values, strict=True))


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow: pip install 'touchpoint-engine[parquet]'", where=str(path)
        ) from None
    for batch in parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()
