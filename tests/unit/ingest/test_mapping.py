"""Rows of files become messages: CSV, NDJSON, Parquet and columns, gzip too."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.adapters.rows import rows
from engine.errors import MappingError
from engine.ingest.mapping import message_maker, parse_mapping

MAPPING = """
format: {format}
columns: {columns}
type: order.placed
time: {{field: day, format: "%Y%m%d", zone: Asia/Shanghai}}
ids: {{user_id: who}}
data: {{value: amount, currency: "=CNY"}}
"""


def write(folder: Path, form: str) -> Path:
    path = folder / f"rows.{form}"
    if form == "csv":
        path.write_text("who,day,amount\nu1,20260301,42.5\nu1,20260301,42.5\n")
    elif form == "ndjson":
        line = b'{"who": "u1", "day": "20260301", "amount": 42.5}\n'
        path.write_bytes(gzip.compress(line * 2))
    elif form == "whitespace":
        path.write_text("u1  20260301 42.5\n\nu1  20260301 42.5\n")
    else:
        row = {"who": "u1", "day": "20260301", "amount": 42.5}
        parquet.write_table(pa.Table.from_pylist([row, row]), path)
    return path


@pytest.mark.parametrize("form", ["csv", "ndjson", "whitespace", "parquet"])
def test_equal_rows_of_any_format_are_different_events(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form)
    columns = "[who, day, amount]" if form == "whitespace" else "[]"
    mapping = parse_mapping(MAPPING.format(format=form, columns=columns), where="m.yaml")
    make = message_maker(mapping, file_name=path.name)
    messages = [make(n, row) for n, row in enumerate(rows(path, mapping), 1)]
    first, second = messages
    assert first is not None
    assert second is not None
    assert first["id"] != second["id"]
    assert first["time"] == "2026-02-28T16:00:00+00:00"
    assert first["data"] == {"user_id": "u1", "value": 42.5, "currency": "CNY"}


def test_a_mapping_tells_all_its_mistakes_at_once() -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping("format: cvs\ntime: {field: day, zone: Mars}\nidz: {}\n", where="m.yaml")
    for words in ("format `cvs`", "`type` is missing", "Mars", "did you mean `ids`", "`ids` is"):
        assert words in caught.value.message


def test_a_row_that_cannot_be_read_is_told_with_its_number() -> None:
    mapping = parse_mapping(MAPPING.format(format="csv", columns="[]"), where="m.yaml")
    with pytest.raises(MappingError, match="row 7: time data"):
        message_maker(mapping, file_name="x")(7, {"who": "u", "day": "soon", "amount": "1"})
