"""The console: a page with the live feed and one customer's card, and the API behind both."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from engine.api.answer import said
from engine.api.feed import Feed
from engine.errors import EngineError
from engine.ports import Clock
from engine.rules.compile import RuleSet
from engine.runtime.cards import worded
from engine.runtime.lookup import Lookup
from engine.runtime.totals import Totals

_STATIC = files("engine.api").joinpath("static")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def console(
    *,
    lookup: Lookup,
    rules_of: Callable[[str], Awaitable[RuleSet | None]],
    feed: Feed,
    clock: Clock,
    totals: Callable[[], Awaitable[Totals]],
    more: Sequence[Route],
) -> Starlette:
    """Return the ASGI app of the console and its API; `more`: routes of other parts.

    `rules_of`: the rules of a node id, whose words the card speaks.
    """

    async def page(request: Request) -> Response:
        return _file(request, "index.html")

    async def static(request: Request) -> Response:
        return _file(request, request.path_params["name"])

    async def stream(request: Request) -> Response:
        return StreamingResponse(
            feed.listen(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def totals_now(request: Request) -> Response:
        return _json(asdict(await totals()))

    async def customer(request: Request) -> Response:
        name = request.path_params["identifier"]
        try:
            found = await lookup.find(name)
            rules = None if found is None else await rules_of(found.customer)
        except EngineError as error:
            return _refused(request, error.message, error.code, 503)
        if found is None:
            return _refused(request, f"no customer has {name}", "customer/unknown", 404)
        return _json(worded(found, rules, clock.now(), masked=True))

    return Starlette(
        routes=[
            *more,
            Route("/", page),
            Route("/static/{name}", static),
            Route("/api/feed", stream),
            Route("/api/totals", totals_now),
            Route("/api/customers/{identifier:path}", customer),
        ],
        exception_handlers={404: _astray, 405: _astray},
    )


def _file(request: Request, name: str) -> Response:
    ending = name.rpartition(".")[2]
    if ending not in _TYPES or "/" in name or name.startswith("."):
        return _refused(request, "no such file", "http/path", 404)
    path = _STATIC.joinpath(name)
    if not path.is_file():
        return _refused(request, "no such file", "http/path", 404)
    return Response(path.read_bytes(), media_type=_TYPES[ending], headers=_HEADERS)


async def _astray(request: Request, error: Exception) -> Response:
    """Answer a request that no route takes."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        methods = sorted((error.headers or {}).get("Allow", "GET").split(", "))
        return _refused(request, f"want {', '.join(methods)}", "http/method", 405)
    return _refused(request, f"no path {request.url.path}", "http/path", 404)


def _refused(request: Request, message: str, code: str, status: int) -> Response:
    told = said(message, request.headers.get("accept-language", ""))
    return _json({"error": told, "code": code}, status=status)


def _json(body: Any, *, status: int = 200) -> Response:
    return Response(
        orjson.dumps(body), status_code=status, media_type="application/json", headers=_HEADERS
    )
