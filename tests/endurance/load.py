"""People of a fixed number who do things at a steady rate, through the front door."""

import asyncio
from contextlib import suppress
from random import Random
from typing import Any

import aiohttp

PORTION_S = 0.5
RETRY_S = 0.3


class Load:
    """Sends Segment messages and repeats what was not taken; `sent`: what the door has."""

    def __init__(self, *, per_s: int, people: int = 300, seed: int = 3) -> None:
        self.people = people
        self.sent = 0
        self._per_s = per_s
        self._random = Random(seed)
        self._number = 0

    async def run(self, url: str, done: asyncio.Event) -> None:
        """Send until done; what is under way then is sent to its end."""
        loop = asyncio.get_running_loop()
        began, timeout = loop.time(), aiohttp.ClientTimeout(total=10)
        headers = {"Authorization": aiohttp.encode_basic_auth("any")}
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            while not done.is_set():
                due = int((loop.time() - began) * self._per_s) - self._number
                if due > 0:
                    await self._post(session, url, [self._message() for _ in range(min(due, 500))])
                await asyncio.sleep(PORTION_S)

    async def _post(
        self, session: aiohttp.ClientSession, url: str, batch: list[dict[str, Any]]
    ) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):  # unknown: the same ids go again
                async with session.post(url + "/v1/batch", json={"batch": batch}) as answer:
                    if answer.status == 200:
                        self.sent += len(batch)
                        return
            await asyncio.sleep(RETRY_S)

    def _message(self) -> dict[str, Any]:
        random = self._random
        self._number += 1
        name, properties = random.choice(
            (
                ("web.page_viewed", {"page": f"/p/{random.randrange(40)}"}),
                ("web.page_viewed", {"page": f"/p/{random.randrange(40)}"}),
                ("cart.updated", {"total": 150.0, "cart_id": "a", "items": 1}),
                ("Order Completed", {"total": 10.0, "order_id": f"o{self._number}"}),
                ("review.posted", {"sentiment": -0.9, "stars": 1, "product_id": "p"}),
            )
        )
        return {
            "type": "track", "userId": f"u{random.randrange(self.people)}", "event": name,
            "messageId": f"m{self._number}", "properties": properties,
            "context": {"traits": {"tier": "gold"}},
        }  # fmt: skip
