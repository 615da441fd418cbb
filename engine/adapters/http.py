"""HTTP out into the world: to checked addresses only, no redirects, small answers."""

import socket
from ipaddress import ip_address
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from engine.delivery.address import is_public, refusal
from engine.delivery.model import Reply, Request

REPLY_SIZE_MAX = 65_536
CONNECT_S = 5.0


class _PublicResolver(AbstractResolver):
    """Resolves a name and keeps it only if every address is public: aiohttp connects to these."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name, or refuse it whole."""
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(ip_address(item["host"])) for item in found):
            raise OSError(f"{host} leads to a private address")
        return found

    async def close(self) -> None:
        """Close the resolver under it."""
        await self._resolver.close()


class HttpSender:
    """Sends webhook requests (ports.Sender)."""

    def __init__(self) -> None:
        self._sessions: dict[bool, ClientSession] = {}

    async def send(self, request: Request) -> Reply:
        """Send and return what came back; never raises for what the world does."""
        why = refusal(request.url, private=request.private)
        if why:
            return Reply(0, error=why, sent=False)
        timeout = ClientTimeout(total=request.timeout_s, sock_connect=CONNECT_S)
        try:
            async with self._session(request.private).post(
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                body = await answer.content.read(REPLY_SIZE_MAX)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, headers, body)
        except ClientConnectorError as error:
            return Reply(0, error=f"no connection: {error.os_error}", sent=False)
        except (ClientError, TimeoutError, OSError) as error:
            return Reply(0, error=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, private: bool) -> ClientSession:
        session = self._sessions.get(private)
        if session is None or session.closed:
            options: dict[str, Any] = {"limit": 100, "ttl_dns_cache": 0, "use_dns_cache": False}
            if not private:
                options["resolver"] = _PublicResolver()
            session = self._sessions[private] = ClientSession(connector=TCPConnector(**options))
        return session
