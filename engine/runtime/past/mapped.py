"""A mapped file of history: its rows as messages in event time, checked as at the door."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.adapters.files import read_text
from engine.adapters.rows import rows
from engine.config import Settings
from engine.errors import ContractError, MappingError
from engine.ingest.accept import Accepted, accept
from engine.ingest.mapping import message_maker, parse_mapping
from engine.runtime.past.passed import Passed
from engine.runtime.setup import contracts_of, sources_of

SOURCE = "history"  # of topics/sources.yaml: its events are believed, and none is too late
Refused = Callable[[dict[str, Any], bytes, ContractError], None]


def mapped_messages(
    file: Path, mapping_file: Path, passed: Passed | None = None
) -> list[dict[str, Any]]:
    """Return the messages of a file's rows in the order of their time; equal times stay in order.

    `passed`: told of a row that cannot be read, and of where the file is torn; the others count.

    Raises
    ------
    MappingError
        For a mistake of the mapping, a file of which no row counts, or, if `passed` is None, a row
        that the mapping cannot read.
    """
    where = str(mapping_file)
    mapping = parse_mapping(read_text(mapping_file), where=where)
    make = message_maker(mapping, file_name=file.name)
    messages = []
    found = rows(file, mapping) if passed is None else rows(file, mapping, passed.over)
    for number, row in enumerate(found, 1):
        try:
            message = make(number, row)
        except MappingError as error:
            error.where = str(file)
            if passed is None:
                raise
            passed.over(error)
            continue
        if message is not None:
            messages.append(message)
    if not messages:
        raise MappingError("no row of the file counts; see `when` and `type`", where=where)
    messages.sort(key=lambda message: str(message["time"]))
    return messages


def accepted(
    settings: Settings, messages: list[dict[str, Any]], refused: Refused
) -> Iterator[Accepted]:
    """Yield the events of messages; `refused` is told of each one that is not in order."""
    source = sources_of(settings).by_name[SOURCE]
    contracts = contracts_of(settings)
    for message in messages:
        raw = orjson.dumps(message)
        try:
            yield accept(
                message, raw=raw, source=source, received_at=0, sent_at=None,
                contracts=contracts, secret=settings.secret_key,
            )  # fmt: skip
        except ContractError as error:
            refused(message, raw, error)
