"""Channel systems that misbehave: dead, slow, answers lost, 410, 5xx; and what they have got."""

import asyncio
from collections import defaultdict

from engine.delivery.model import Endpoint, Reply, Request
from tests.simulation.faults import Chance, Process

KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ENDPOINTS = (
    Endpoint("crm", "https://crm.example/", (KEY,), timeout_s=2.0, concurrency=4),
    Endpoint("desk", "https://desk.example/", (KEY,), rules=("big-order", "left-cart"),
             timeout_s=2.0, on_unknown="park"),
    Endpoint("old", "https://old.example/", (KEY,), rules=("hurry", "looks"), timeout_s=2.0),
)  # fmt: skip
MOODS = ("dead", "slow", "lost", "500", "503", "429", "400", "garbage")


class Channels:
    """All channel systems; `got`: per endpoint, trigger id -> the bodies that came."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.mood = {endpoint.url: "200" for endpoint in ENDPOINTS}
        self.got: dict[str, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        self.accepted: dict[str, set[str]] = defaultdict(set)
        self.names = {endpoint.url: endpoint.name for endpoint in ENDPOINTS}

    def sender(self, process: Process) -> "Sender":
        """Return one process's way to them (ports.Sender)."""
        return Sender(self, process)

    def change_mood(self) -> None:
        """Let one of them be well, or ill in a way of its own; the old one may be gone for good."""
        acts = self.chance.acts
        url = acts.choice(sorted(self.mood))
        mood = "200" if acts.random() < 0.5 else acts.choice(MOODS)
        if self.names[url] == "old" and acts.random() < 0.2:
            mood = "410"
        if mood != "200":
            self.chance.injected[f"receiver_{mood}"] += 1
        self.mood[url] = mood

    def heal(self) -> None:
        """Let all be well."""
        self.mood = dict.fromkeys(self.mood, "200")


class Sender:
    """Hands requests over."""

    def __init__(self, channels: Channels, process: Process) -> None:
        self._channels = channels
        self._process = process

    async def send(self, request: Request) -> Reply:
        """Answer as the mood is."""
        channels = self._channels
        await self._process.step()
        mood = channels.mood[request.url]
        if mood == "dead":
            return Reply(0, error="no connection", sent=False)
        if mood in ("400", "410", "429", "500", "503"):
            return Reply(int(mood), {"retry-after": "3"} if mood == "429" else {})
        name = channels.names[request.url]
        trigger = request.headers["webhook-id"]
        channels.got[name][trigger].append(request.body)
        if mood == "slow":
            await asyncio.sleep(request.timeout_s)
        await self._process.step()
        if mood != "200":
            return Reply(0, error="timeout")
        channels.accepted[name].add(trigger)
        return Reply(200)

    async def close(self) -> None:
        """Nothing to close."""


__all__ = ["ENDPOINTS", "Channels"]
