"""Orders of staff over HTTP: erase, part in two, link; only for keys that prove links."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answer import key_of, said
from engine.errors import EngineError, LogError
from engine.ingest.sources import Sources
from engine.runtime.orders.staff import Staff

_WANTED = "want the key of a source with `trust: proves`"
_PATH = "/api/customers/{identifier:path}"
BODY_SIZE_MAX = 65_536
ROWS_SIZE_MAX = 4 * 2**20  # of rows to link, in bytes


def order_routes(staff: Staff, sources: Sources) -> list[Route]:
    """Return the routes `POST /api/customers/ID/erase` and `.../split` with `{"ids": [...]}`.

    And `POST /api/customers/link?region=CN&first=1` with rows of NDJSON, identifier type -> value;
    `first` is the number that its first row has in what is told.

    The key of a source with `trust: proves` is asked for, as `Authorization: Bearer KEY`: tools of
    staff have one, and no browser. 202 says that the order is in the log.
    """

    async def link(request: Request) -> dict[str, Any]:
        asked = request.query_params
        rows = _rows(await _body(request, ROWS_SIZE_MAX))
        first = int(asked["first"]) if asked.get("first", "").isdecimal() else 1
        return asdict(await staff.link(rows, region=asked.get("region", "CN"), first=first))

    async def erase(request: Request) -> None:
        await staff.erase(request.path_params["identifier"])

    async def split(request: Request) -> None:
        ids = _ids(await _body(request, BODY_SIZE_MAX))
        await staff.split(request.path_params["identifier"], ids)

    def obeyed(order: Callable[[Request], Awaitable[Any]]) -> Callable[..., Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            key = key_of({name.lower(): value for name, value in request.headers.raw})
            source = sources.by_key.get(key)
            if source is None or source.trust != "proves":
                status = 401 if source is None else 403
                error = EngineError(_WANTED, code="source/unproven")
                return _told(request, status, error)
            try:
                told = await order(request)
            except LogError as error:
                error.message = f"try again: {error.message}"
                return _told(request, 503, error)
            except EngineError as error:
                return _told(request, 400, error)
            body = orjson.dumps(told if told is not None else {"ordered": True})
            return Response(body, 202, media_type="application/json")

        return answer

    return [
        Route("/api/customers/link", obeyed(link), methods=["POST"]),
        Route(f"{_PATH}/erase", obeyed(erase), methods=["POST"]),
        Route(f"{_PATH}/split", obeyed(split), methods=["POST"]),
    ]


async def _body(request: Request, size_max: int) -> bytes:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > size_max:
            raise EngineError(f"more than {size_max} bytes", code="identity/size")
    return raw


def _rows(raw: bytes) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(raw.splitlines(), 1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise EngineError(
                f'line {number}: want {{"TYPE": "VALUE", ...}}, an object a line',
                code="identity/link",
            )
        found.append(row)
    return found


def _ids(raw: bytes) -> list[str]:
    try:
        ids = orjson.loads(raw)["ids"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise EngineError('want {"ids": ["TYPE:VALUE", ...]}', code="identity/split")
    return ids


def _told(request: Request, status: int, error: EngineError) -> Response:
    message = said(error.message, request.headers.get("accept-language", ""))
    body = orjson.dumps({"error": message, "code": error.code})
    headers = {"retry-after": "1"} if status == 503 else None
    return Response(body, status, headers=headers, media_type="application/json")
