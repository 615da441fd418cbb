"""What people ask of rules over HTTP: what is live and what it has done, why and why not."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answer import said
from engine.errors import EngineError
from engine.runtime.past.explain import Explainer
from engine.runtime.roles import Engine
from engine.runtime.rulesets.overview import Overview

EXPLAINED_MAX = 200_000  # records of a partition that a page waits for; the command reads more
_STATUSES = {
    "identity/unknown": 404,
    "rules/unknown": 404,
    "identity/type": 400,
    "identity/value": 400,
    "rules/kind": 400,
}


def overview_of(engine: Engine) -> Overview:
    """Return what tells of the rules that are live."""
    count, secret = engine.settings.partitions, engine.settings.secret_key
    return Overview(engine.store, engine.reader, partition_count=count, secret=secret)


def rule_routes(engine: Engine, overview: Overview) -> list[Route]:
    """Return the routes `GET /api/rules` and `/api/rules/RULE/explain/ID`."""
    count, secret = engine.settings.partitions, engine.settings.secret_key
    explainer = Explainer(
        store=engine.store,
        reader=engine.reader,
        lookup=engine.lookup,
        partition_count=count,
        tenant=engine.settings.tenant,
        secret=secret,
        records_max=EXPLAINED_MAX,
    )

    async def rules(request: Request) -> Response:
        try:
            return _json(await overview.rules())
        except EngineError as error:
            return _told(error, request)

    async def explain(request: Request) -> Response:
        rule, name = request.path_params["rule"], request.path_params["identifier"]
        try:
            return _json(await explainer.explain(rule, name))
        except EngineError as error:
            return _told(error, request)

    return [
        Route("/api/rules", rules),
        Route("/api/rules/{rule}/explain/{identifier:path}", explain),
    ]


def _told(error: EngineError, request: Request) -> Response:
    accepted = request.headers.get("accept-language", "")
    body = {"error": said(error.message, accepted), "code": error.code}
    return _json(body, status=_STATUSES.get(error.code, 503))


def _json(body: object, *, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")
