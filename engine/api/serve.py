"""The collect role: one HTTP server, the collector on its fast path and the console behind it."""

import asyncio
import logging
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.offsets import RedisOffsets
from engine.api.answer import Send
from engine.api.body import Receive
from engine.api.collect import Collector, Scope
from engine.api.console import console
from engine.api.feed import Feed
from engine.api.orders import order_routes
from engine.api.rules import overview_of, rule_routes
from engine.runtime.orders.staff import staff_of
from engine.runtime.roles import Engine
from engine.runtime.routes import Routes
from engine.runtime.setup import contracts_of, sources_of
from engine.runtime.totals import Totals, tally

log = logging.getLogger(__name__)


class Joined:
    """A transport that writes the head and the body of an answer at once.

    ASGI gives them as two messages, and uvicorn writes each: a twelfth of what a single event costs
    us. What is written is held until the next write, or until the loop's next turn if none comes.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write, together with what is held; hold it if nothing is."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close when all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoinedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]


class Door:
    """One ASGI app: events to the collector, people to the console."""

    def __init__(self, collector: Collector, pages: Starlette) -> None:
        self._collector = collector
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and self._collector.serves(scope["path"]):
            await self._collector(scope, receive, send)
        else:
            await self._pages(dict(scope), receive, send)  # type: ignore[arg-type]


async def collect(engine: Engine, stop: asyncio.Event) -> None:
    """Serve HTTP until told to stop; requests under way are answered first."""
    settings = engine.settings
    sources = sources_of(settings)
    routes = Routes(engine.reader, partition_count=settings.partitions)
    collector = Collector(
        sources=sources,
        contracts=contracts_of(settings),
        publisher=engine.publisher,
        clock=engine.clock,
        meter=engine.meter,
        partition_count=settings.partitions,
        secret=settings.secret_key,
        any_key=settings.any_key,
        routes=routes.of if settings.routes else None,
    )
    ledger = RedisLedger(settings.redis_url, engine.space)
    offsets = RedisOffsets(settings.redis_url, engine.space)

    async def totals() -> Totals:
        every = range(settings.partitions)
        metas = await asyncio.gather(*(engine.store.meta(p) for p in every))
        handed = await ledger.counts(list(every))
        accepted, dead = await offsets.counts()
        return tally(
            metas,
            accepted=accepted + collector.totals["accepted"],
            dead_at_door=dead + collector.totals["dead"],
            receiver={"delivered": handed.get("sent", 0)},
            speed=settings.speed,
            labels=sum(meta.counts.get("labels", 0) for meta in metas),
            auc=None,
        )

    feed = Feed(engine.reader, partition_count=settings.partitions)
    overview = overview_of(engine)
    orders = order_routes(staff_of(settings, engine.publisher), sources)
    pages = console(
        lookup=engine.lookup,
        rules_of=overview.rules_of,
        feed=feed,
        clock=engine.clock,
        totals=totals,
        more=[*orders, *rule_routes(engine, overview)],
    )
    config = uvicorn.Config(
        Door(collector, pages),
        http=JoinedProtocol,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    following = [asyncio.create_task(feed.run(stop))]
    if settings.routes:
        following.append(asyncio.create_task(routes.run(stop)))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await serving
    stop.set()
    await asyncio.gather(*following)
    await ledger.close()
    await offsets.close()
