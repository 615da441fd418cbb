"""Orders of staff over HTTP: erase a person, part one in two; only for keys that prove links."""

from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answer import key_of
from engine.errors import EngineError, LogError
from engine.ingest.sources import Sources
from engine.runtime.staff import Staff

_PATH = "/api/customers/{identifier:path}"
BODY_SIZE_MAX = 65_536


def order_routes(staff: Staff, sources: Sources) -> list[Route]:
    """Return the routes `POST /api/customers/ID/erase` and `.../split` with `{"ids": [...]}`.

    The key of a source with `trust: proves` is asked for, as `Authorization: Bearer KEY`: tools of
    staff have one, and no browser. 202 says that the order is in the log.
    """

    async def erase(request: Request) -> None:
        await staff.erase(request.path_params["identifier"])

    async def split(request: Request) -> None:
        await staff.split(request.path_params["identifier"], _ids(await _body(request)))

    def obeyed(order: Callable[[Request], Awaitable[None]]) -> Callable[..., Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            key = key_of({name.lower(): value for name, value in request.headers.raw})
            source = sources.by_key.get(key)
            if source is None or source.trust != "proves":
                status = 401 if source is None else 403
                return _told(status, "want the key of a source with `trust: proves`")
            try:
                await order(request)
            except LogError as error:
                return _told(503, f"try again: {error.message}")
            except EngineError as error:
                return _told(400, str(error))
            return Response(b'{"ordered": true}', 202, media_type="application/json")

        return answer

    return [
        Route(f"{_PATH}/erase", obeyed(erase), methods=["POST"]),
        Route(f"{_PATH}/split", obeyed(split), methods=["POST"]),
    ]


async def _body(request: Request) -> bytes:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_SIZE_MAX:
            raise EngineError(f"more than {BODY_SIZE_MAX} bytes", code="identity/split")
    return raw


def _ids(raw: bytes) -> list[str]:
    try:
        ids = orjson.loads(raw)["ids"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise EngineError('want {"ids": ["TYPE:VALUE", ...]}', code="identity/split")
    return ids


def _told(status: int, error: str) -> Response:
    headers = {"retry-after": "1"} if status == 503 else None
    return Response(
        orjson.dumps({"error": error}), status, headers=headers, media_type="application/json"
    )
