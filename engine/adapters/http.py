"""HTTP out into the world: to checked addresses only, no redirects, small answers."""

import asyncio
import socket
from errno import EHOSTUNREACH
from functools import partial
from ipaddress import ip_address
from typing import Any

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from engine.delivery.address import may_reach, refusal
from engine.delivery.model import Reply, Request

REPLY_SIZE_MAX = 65_536
CONNECT_S = 5.0
_UNSENT = (ClientConnectorError, ConnectionTimeoutError, InvalidURL)


class _CheckedResolver(AbstractResolver):
    """Resolves a name and keeps it only if every address will do: aiohttp connects to these.

    There is no second look-up between check and connection that could answer otherwise. A name is
    looked up once at a time: a look-up is a thread, and a name server that does not answer would
    have them all.
    """

    def __init__(self, resolver: AbstractResolver, *, private: bool) -> None:
        self._resolver = resolver
        self._private = private
        self._looking: dict[tuple[str, int], asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, or refuse it whole."""
        key = (host, port)
        looking = self._looking.get(key)
        if looking is None:
            looking = asyncio.ensure_future(self._resolver.resolve(host, port, family))
            self._looking[key] = looking
            looking.add_done_callback(partial(self._looked_up, key))
        found = await asyncio.shield(looking)  # who gives up leaves it to the others
        for item in found:
            if not may_reach(ip_address(item["host"]), private=self._private):
                raise OSError(EHOSTUNREACH, f"{host} leads to a private address")
        return found

    def _looked_up(self, key: tuple[str, int], looking: "asyncio.Future[Any]") -> None:
        del self._looking[key]
        if not looking.cancelled():
            looking.exception()  # told to those that wait; there may be none any more

    async def close(self) -> None:
        """Close the resolver under it."""
        await self._resolver.close()


class HttpSender:
    """Sends webhook requests (ports.Sender)."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver
        self._sessions: dict[bool, ClientSession] = {}

    async def send(self, request: Request) -> Reply:
        """Send and return what came back; never raises for what the world does."""
        why = refusal(request.url, private=request.private)
        if why:
            return Reply(0, error=why, sent=False)
        # `connect` holds for the look-up of the name too: what it ends was not sent.
        timeout = ClientTimeout(total=request.timeout_s, connect=CONNECT_S)
        try:
            async with self._session(request.private).post(
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                body = b""
                while len(body) < REPLY_SIZE_MAX and (
                    part := await answer.content.read(REPLY_SIZE_MAX - len(body))
                ):
                    body += part
                return Reply(answer.status, headers, body)
        except _UNSENT as error:
            return Reply(0, error=f"no connection: {error}", sent=False)
        except (ClientError, TimeoutError, OSError) as error:
            return Reply(0, error=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, private: bool) -> ClientSession:
        session = self._sessions.get(private)
        if session is None or session.closed:
            resolver = self._resolver or ThreadedResolver()
            # No limit of its own: it would be one for all, and dead endpoints would use it up.
            # Each endpoint has its own (Endpoint.concurrency).
            options: dict[str, Any] = {"limit": 0, "use_dns_cache": False}
            options["resolver"] = _CheckedResolver(resolver, private=private)
            session = self._sessions[private] = ClientSession(
                connector=TCPConnector(**options),
                cookie_jar=DummyCookieJar(),  # a receiver leaves nothing with us
                auto_decompress=False,  # of 64 KB read, 64 KB are held
            )
        return session
