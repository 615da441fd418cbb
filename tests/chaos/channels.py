"""Fake channel systems: well, dead, slow, talking nonsense; they remember what they have done.

The signature is checked with the library that our documentation names, not with our own code.
"""

import asyncio
import os
from base64 import b64encode
from collections import Counter, defaultdict

import orjson
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from engine.runtime.local.embedded import free_port

TIMEOUT_S = 1.5
MOODS = ("dead", "slow", "garbage", "500", "503", "lost")
RULES = {"crm": (), "desk": ("big-order",)}  # () is all of them


class Channel:
    """One channel system. `effects`: trigger id -> the webhook ids that have had an effect."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.secret = "whsec_" + b64encode(os.urandom(32)).decode("ascii")
        self.mood = "well"
        self.effects: dict[str, set[str]] = defaultdict(set)
        self.repeated = 0
        self.refused: Counter[str] = Counter()
        self._verify = Webhook(self.secret).verify

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer a webhook as the mood is."""
        body = await request.read()
        mood = self.mood
        if mood == "dead":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if mood in ("500", "503"):
            return web.Response(status=int(mood))
        try:
            self._verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            self.refused[str(error)] += 1
            return web.Response(status=401)
        webhook, trigger = request.headers["webhook-id"], orjson.loads(body)["id"]
        self.repeated += webhook in self.effects[trigger]
        self.effects[trigger].add(webhook)
        if mood == "slow":
            await asyncio.sleep(TIMEOUT_S * 1.5)
        elif mood != "well":
            assert request.transport is not None
            if mood == "garbage":
                request.transport.write(b"\x00\xff no HTTP at all\r\n\r\n")
            request.transport.close()
        return web.Response()


class Channels:
    """All channel systems, behind one port."""

    def __init__(self) -> None:
        self.all = {name: Channel(name) for name in RULES}
        self._port = free_port()
        self._runner: web.AppRunner | None = None

    @property
    def endpoints(self) -> list[dict[str, object]]:
        """What the engine is told of them."""
        return [
            {
                "name": name,
                "url": f"http://127.0.0.1:{self._port}/{name}",
                "secret": channel.secret,
                "private": True,
                "rules": list(RULES[name]),
                "timeout_s": TIMEOUT_S,
                "on_unknown": "park" if name == "desk" else "retry",
            }
            for name, channel in self.all.items()
        ]

    async def start(self) -> None:
        """Begin to answer."""
        app = web.Application()
        for name, channel in self.all.items():
            app.router.add_post(f"/{name}", channel.take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()
