"""The collector called as an ASGI app, over a log in memory."""

import asyncio
import base64
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson

from engine.adapters.files import read_contracts
from engine.adapters.memory import MemoryLog
from engine.api.collect import Collector
from engine.clock import parse_iso
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.events.model import Event
from engine.ingest.sources import Source, Sources
from engine.runtime.observe import Meter

ROOT = Path(__file__).parents[3]
CONTRACTS = parse_contracts(read_contracts(str(ROOT / "topics")))
NOW = parse_iso("2026-05-01T10:00:00Z")
PARTITIONS = 8
SHOP = Source("shop", "shop-key", custom=True)
SITE = Source("site", "site-key", origins=("https://shop.example",))
SLOW = Source("slow", "slow-key", events_per_s=10)


class Still:
    """A clock that stands."""

    def now(self) -> int:
        """Return the same instant, always."""
        return NOW


class Answer:
    """What came back."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status: int = sent[0]["status"]
        self.headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        self.body = b"".join(part.get("body", b"") for part in sent[1:])


class Front:
    """A collector with three sources; `events` and `dead` are what it wrote."""

    def __init__(self, *, any_key: str = "", routes: Callable[[str], str] | None = None) -> None:
        self.log = MemoryLog({topics.EVENTS: PARTITIONS, topics.DEAD_EVENTS: 1})
        self.meter = Meter()
        self.collector = Collector(
            sources=Sources({s.name: s for s in (SHOP, SITE, SLOW)}),
            contracts=CONTRACTS,
            publisher=self.log,
            clock=Still(),
            meter=self.meter,
            partition_count=PARTITIONS,
            secret=b"a secret of thirty-two characters",
            any_key=any_key,
            routes=routes,
        )

    def send(
        self,
        path: str,
        body: Any = b"",
        *,
        key: str = "shop-key",
        method: str = "POST",
        parts: int = 1,
        query: str = "",
        **headers: str,
    ) -> Answer:
        """Send one request; a body that is no bytes goes as JSON, `_` in a header name is `-`."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        head = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            head.setdefault("authorization", basic(key))
        return asyncio.run(self._ask(path, raw, method, parts, query, head))

    async def _ask(
        self, path: str, raw: bytes, method: str, parts: int, query: str, headers: dict[str, str]
    ) -> Answer:
        size = -(-len(raw) // parts) or 1
        chunks = [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]
        waiting = [
            {"type": "http.request", "body": chunk, "more_body": chunk is not chunks[-1]}
            for chunk in chunks
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "path": path, "method": method, "scheme": "http",
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        }  # fmt: skip
        await self.collector(scope, receive, send)
        return Answer(sent)

    @property
    def events(self) -> list[Event]:
        """Return the events in the log."""
        return [msgspec.json.decode(r.value, type=Event) for r in self.log.records(topics.EVENTS)]

    @property
    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters, their originals as bytes."""
        letters = [orjson.loads(r.value) for r in self.log.records(topics.DEAD_EVENTS)]
        return [{**x, "original": base64.b64decode(x["original"])} for x in letters]

    def counted(self, name: str, **labels: str) -> float:
        """Return what a counter stands at."""
        return self.meter.registry.get_sample_value(name, labels) or 0.0


def basic(key: str) -> str:
    """Return a Basic authorization as SDKs send it: the key, a colon, no password."""
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def zipped(value: Any) -> bytes:
    """Return gzip bytes of a JSON value."""
    return gzip.compress(orjson.dumps(value))
