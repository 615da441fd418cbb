"""The live view of the demo: what comes in, what fires and why, how fast."""

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any

import aiohttp
import orjson
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.clock import iso
from engine.runtime.totals import Totals

SHOWN = 8


class View:
    """A renderable that is drawn anew several times a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._totals = Totals()
        self._seen: deque[tuple[float, int]] = deque(maxlen=6)

    @property
    def totals(self) -> Totals:
        """The totals as last seen."""
        return self._totals

    @totals.setter
    def totals(self, totals: Totals) -> None:
        self._totals = totals
        self._seen.append((monotonic(), totals.events_applied))

    async def follow(self, url: str, stop: asyncio.Event) -> None:
        """Read the feed and keep the last triggers."""
        timeout = aiohttp.ClientTimeout(total=None)
        while not stop.is_set():
            with suppress(aiohttp.ClientError):
                async with (
                    aiohttp.ClientSession(timeout=timeout) as session,
                    session.get(url + "/api/feed") as answer,
                ):
                    async for line in answer.content:
                        if line.startswith(b"data: "):
                            self._last.append(orjson.loads(line[6:]))
            await asyncio.sleep(0.5)

    def __rich__(self) -> RenderableType:
        return Group(self._figures(), self._rules(), self._triggers())

    def _figures(self) -> RenderableType:
        t = self._totals
        p50, p99 = t.latency_ms.get("p50"), t.latency_ms.get("p99")
        table = Table.grid(padding=(0, 3))
        names = (
            "events/s",
            "applied",
            "customers",
            "triggers",
            "delivered",
            "under way",
            "p50 / p99 ms",
        )
        latency = "-" if p50 is None else f"{p50:.0f} / {p99:.0f}"
        values = (
            f"{self._rate():.0f}", f"{t.events_applied:,}", f"{t.customers:,}",
            f"{t.triggers:,}", f"{t.delivered:,}", f"{t.lost:,}", latency,
        )  # fmt: skip
        table.add_row(*(Text(name, style="dim") for name in names))
        table.add_row(*(Text(value, style="bold") for value in values))
        return Panel(table, title="Touchpoint", subtitle=f"{self._url}/", title_align="left")

    def _rules(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        by_rule = sorted(self._totals.triggers_by_rule.items(), key=lambda item: -item[1])
        for name, count in by_rule:
            table.add_row(f"{count:>5}", name)
        return Panel(table, title="rules", title_align="left")

    def _triggers(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True, style="dim")
        table.add_column(ratio=1, overflow="fold")
        for trigger in reversed(self._last):
            reason = trigger["reason"]
            lang = "zh" if trigger.get("title") == reason["zh"].split("。")[0] else "en"
            action = trigger["action"]
            table.add_row(iso(trigger["at"])[5:19], f"{reason[lang]}")
            ways = " > ".join(trigger.get("channels") or [])
            table.add_row("", Text(f"{action['type']} {action['name']}  {ways}", style="green"))
        return Panel(table, title="triggers, with their reasons", title_align="left")

    def _rate(self) -> float:
        if len(self._seen) < 2:
            return 0.0
        (t0, n0), (t1, n1) = self._seen[0], self._seen[-1]
        return max(0.0, (n1 - n0) / max(0.001, t1 - t0))
