"""How rows of a file become events: a mapping file, checked, applied to one row at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.errors import ContractError, MappingError
from engine.events.contract import load_yaml
from engine.events.ids import TYPES

FORMATS = ("csv", "ndjson", "parquet", "whitespace")
_KEYS = ("format", "skip", "columns", "type", "time", "ids", "data", "message_id", "when", "zone")
_NAME_BYTES = 8
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RowMapping:
    """One mapping. `type`: (column, value -> event type) or a constant event type.

    `time`: column, strptime format ('' = ISO 8601, 'ms' or 's' = a number) and time zone.
    `ids`: identifier type -> column. `data`: field -> column, or `=text` for a constant.
    `when`: column -> the only value of rows that count, `*` for any that is there.
    """

    format: str
    columns: tuple[str, ...] = ()
    skip: int = 0
    type: str = ""
    type_column: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    time_column: str = ""
    time_format: str = ""
    zone: str = "UTC"
    ids: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    when: Mapping[str, str] = field(default_factory=dict)


def parse_mapping(text: str, *, where: str) -> RowMapping:
    """Return the mapping of a file.

    Raises
    ------
    MappingError
        With every mistake of it.
    """
    try:
        body = load_yaml(text, where)
    except ContractError as error:
        raise MappingError(str(error), where=where) from None
    problems: list[str] = []
    if not isinstance(body, dict):
        raise MappingError("want keys such as format, time, ids, data", where=where)
    for key in body.keys() - set(_KEYS):
        near = get_close_matches(key, _KEYS, 1)
        problems.append(f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
    form = str(body.get("format", ""))
    if form not in FORMATS:
        problems.append(f"format `{form}` is none of {', '.join(FORMATS)}")
    kind, time = body.get("type"), body.get("time")
    if not kind:
        problems.append("`type` is missing: an event type, or {column: .., VALUE: EVENT}")
    if not isinstance(time, dict) or "field" not in time:
        problems.append("`time` is missing: {field: COLUMN, format: .., zone: ..}")
        time = {}
    zone = str(time.get("zone", "UTC"))
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        problems.append(f"time zone `{zone}` is none; such as Asia/Shanghai")
    ids = {str(k): str(v) for k, v in (body.get("ids") or {}).items()}
    problems += [f"ids: no identifier type `{name}`" for name in ids if name not in TYPES]
    if not ids:
        problems.append("`ids` is missing: {user_id: COLUMN}")
    if problems:
        raise MappingError("; ".join(problems), where=where)
    return RowMapping(
        format=form,
        columns=tuple(map(str, body.get("columns") or ())),
        skip=int(body.get("skip", 0)),
        type="" if isinstance(kind, dict) else str(kind),
        type_column=str(kind["column"]) if isinstance(kind, dict) else "",
        types={str(k): str(v) for k, v in kind.items()} if isinstance(kind, dict) else {},
        time_column=str(time["field"]),
        time_format=str(time.get("format", "")),
        zone=zone,
        ids=ids,
        data={str(k): str(v) for k, v in (body.get("data") or {}).items()},
        message_id=str(body.get("message_id", "")),
        when={str(k): str(v) for k, v in (body.get("when") or {}).items()},
    )


def message_maker(
    mapping: RowMapping, *, file_name: str
) -> Callable[[int, Row], dict[str, Any] | None]:
    """Return the function (row number from 1, row) -> message, None for a row that does not count.

    Rows without an own id are told apart by file name and number: equal rows are different events.
    The function raises MappingError for a row that it cannot read.
    """
    prefix = sha256(file_name.encode()).hexdigest()[:_NAME_BYTES]
    instant = _instant_reader(mapping)

    def make(number: int, row: Row) -> dict[str, Any] | None:
        for column, wanted in mapping.when.items():
            value = row.get(column)
            there = value is not None and str(value) != ""
            if not there or (wanted != "*" and str(value) != wanted):
                return None
        try:
            at = instant(row[mapping.time_column])
            name = mapping.type or mapping.types.get(str(row[mapping.type_column]), "")
            data = {f: _value(row, source) for f, source in mapping.data.items()}
            data.update({kind: _plain(row[column]) for kind, column in mapping.ids.items()})
            own = str(row[mapping.message_id]) if mapping.message_id else f"{prefix}-{number}"
        except KeyError as error:
            raise MappingError(f"row {number} has no column {error}", code="mapping/row") from None
        except ValueError as error:
            raise MappingError(f"row {number}: {error}", code="mapping/row") from None
        if not name:
            return None
        return {
            "specversion": "1.0",
            "id": own,
            "source": file_name,
            "type": name,
            "time": at,
            "data": data,
        }

    return make


def _instant_reader(mapping: RowMapping) -> Callable[[Any], Any]:
    zone, form = ZoneInfo(mapping.zone), mapping.time_format

    def read(value: Any) -> str:
        if form in ("ms", "s"):
            stamp = datetime.fromtimestamp(float(value) / (1000 if form == "ms" else 1), tz=UTC)
        elif isinstance(value, datetime):
            stamp = value if value.tzinfo else value.replace(tzinfo=zone)
        else:
            text = str(value)
            stamp = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
            stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=zone)
        return stamp.astimezone(UTC).isoformat()

    return read


def _value(row: Row, source: str) -> Any:
    if source.startswith("="):
        return source[1:]
    return _number(row[source])


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plain(value: Any) -> str:
    return str(value).strip()
