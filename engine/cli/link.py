"""`engine link FILE`: who is whom, for a first load: rows of identifiers that belong together."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import aiohttp
import orjson

from engine.adapters.rows import rows
from engine.cli.command import Command
from engine.config import Settings
from engine.errors import EngineError, MappingError
from engine.events.ids import TYPES
from engine.ingest.mapping import RowMapping
from engine.runtime.connect import publisher_of
from engine.runtime.orders.links import WRONG_MAX, Linked, Links

BATCH_MAX = 1_000  # rows of one request
DEFAULT_URL = "http://127.0.0.1:8080"


class _Way(Protocol):
    async def link(self, rows: list[dict[str, Any]], *, region: str, first: int) -> Linked: ...


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        help=f"CSV with a line of names, or NDJSON; gzip too. Columns of {', '.join(TYPES)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--region", default="CN", help="of national phone numbers (CN)")
    parser.add_argument(
        "--url", default=DEFAULT_URL, help=f"of a running engine ({DEFAULT_URL}), without REDIS_URL"
    )
    parser.add_argument("--key", default="", help="of a source with trust `proves`")


def _run(arguments: Namespace) -> int:
    found = _rows(arguments.file)
    began = monotonic()
    told = asyncio.run(_link(arguments, found))
    if arguments.json:
        print(orjson.dumps(asdict(told)).decode())
        return 0
    for line in told.wrong:
        print(line, file=sys.stderr)
    print(
        f"{told.linked} rows linked ({told.linked / (monotonic() - began):,.0f}/s), "
        f"{told.alone} with fewer than two identifiers, {told.wrong_count} values left out"
    )
    return 0


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows; the first must have two columns that are identifiers, at least."""
    name = path.name.removesuffix(".gz")
    kind = "ndjson" if name.endswith((".ndjson", ".jsonl")) else "csv"
    found = rows(path, RowMapping(format=kind))
    first = next(found, None)
    known = [] if first is None else sorted(TYPES.keys() & first.keys())
    if first is None or (kind == "csv" and len(known) < 2):
        raise MappingError(
            f"want at least two columns of {', '.join(TYPES)}; got {', '.join(known) or 'none'}",
            where=str(path),
        )
    yield first
    yield from found


async def _link(arguments: Namespace, found: Iterator[dict[str, Any]]) -> Linked:
    total = Linked()
    number = 1
    async with _way(arguments) as way:
        while batch := list(islice(found, BATCH_MAX)):
            told = await way.link(batch, region=arguments.region, first=number)
            number += len(batch)
            total.linked += told.linked
            total.alone += told.alone
            total.wrong_count += told.wrong_count
            total.wrong = (total.wrong + told.wrong)[:WRONG_MAX]
    return total


@asynccontextmanager
async def _way(arguments: Namespace) -> AsyncIterator[_Way]:
    if "REDIS_URL" in os.environ:
        settings = Settings.from_env(os.environ)
        publisher = publisher_of(settings)
        try:
            yield Links(
                publisher,
                partition_count=settings.partitions,
                tenant=settings.tenant,
                secret=settings.secret_key,
            )
        finally:
            await publisher.close()
        return
    headers = {"authorization": f"Bearer {arguments.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield _Http(session, f"{arguments.url}/api/customers/link")


class _Http:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def link(self, rows: list[dict[str, Any]], *, region: str, first: int) -> Linked:
        """Post rows; retried by whoever runs the command: a row said twice changes nothing."""
        body = b"\n".join(orjson.dumps(row) for row in rows)
        asked = {"region": region, "first": str(first)}
        try:
            async with self._session.post(self._url, data=body, params=asked) as answer:
                told = orjson.loads(await answer.read())
                if answer.status != 202:
                    raise EngineError(
                        f"{answer.status}: {told.get('error', '')}",
                        code="identity/refused",
                        where=self._url,
                    )
        except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
            raise EngineError(
                f"no engine answers at {self._url} ({error}); start one with `engine up`, "
                "or set REDIS_URL and GENERATION",
                code="api/unreachable",
            ) from None
        return Linked(**told)


SPEC = Command(
    name="link",
    help="say which identifiers belong together, many at once: a first load",
    configure=_configure,
    run=_run,
)
