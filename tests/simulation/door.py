"""What enters the log from outside during a storm: events, rubbish, new rules and models."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import orjson

from engine.churn.model import initial_model
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity import mac
from tests.simulation import script
from tests.simulation.faults import Topics
from tests.simulation.script import TENANT, Input, Order
from tests.simulation.virtual import WorldClock
from tests.simulation.worker import SECRET

NOBODY = "0u" + "9" * 16  # no person of any story


@dataclass
class Door:
    """Produces to the log, and remembers what it has produced.

    `sent`: event id -> (input, its time UTC ms). `copies`: how often each went out. `bad`: places
    of records that must become dead letters, with the reason.
    """

    log: Topics
    clock: WorldClock
    count: int
    random: Any
    sent: dict[str, tuple[Input, int]] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)
    bad: dict[str, str] = field(default_factory=dict)
    _bytes: dict[str, bytes] = field(default_factory=dict)

    def send(self, found: Input) -> None:
        """Produce an event at its home, as the collector does; a copy may come by another way."""
        again = found.id in self._bytes
        if not again:
            now = self.clock.now()
            at = now - found.shift_ms
            self._bytes[found.id] = script.encode(found, at=at, received_at=now)
            self.sent[found.id] = found, at
        key = found.ids[0]
        if found.hint and again and len(found.person.ids) > 1:
            key = self.random.choice(found.person.ids)
        self.copies[found.id] += 1
        self._put(key, self._bytes[found.id])

    def rubbish(self, kind: str) -> None:
        """Produce a record that nobody can read, or that pretends to be the engine's."""
        event = {"v": 1, "id": "0" * 32, "tenant": "t", "source": "sim", "type": "web.searched",
                 "at": 1, "original_at": 1, "received_at": 1, "ids": [NOBODY], "ev": 0,
                 "data": {}}  # fmt: skip
        key, headers = NOBODY, ()
        if kind == "no json":
            value, reason = b"\x00{", "log/unreadable"
        elif kind == "no ids":
            value, reason = orjson.dumps({**event, "ids": []}), "identity/missing"
        elif kind == "bad id":
            value, reason = orjson.dumps({**event, "id": "order-17 (no hex)"}), "contract/type"
        elif kind == "unbearable":  # no contract has checked it, and the fold breaks on it
            body = {**event, "type": "order.placed", "data": {"value": "a lot"}}
            value, reason = orjson.dumps(body), "log/poison"
        elif kind == "forged tick":
            value, reason = orjson.dumps({"now": 2**42, "passed": 2**42}), "control/mac"
            headers = (("kind", b"tick"), ("mac", b"0" * 16))  # type: ignore[assignment]
        else:
            value, reason = b"{}", "control/kind"
            headers = (("kind", b"reset"),)  # type: ignore[assignment]
        record = self._put(key, value, headers)
        self.bad[f"{record.topic}:{record.partition}:{record.offset}"] = reason

    async def version(self, kind: str, version: str, *, gap_s: float = 0.0) -> None:
        """Announce a version of the rule set, or of the model, in one partition after another."""
        value, key = orjson.dumps({"version": version}), kind.encode()
        headers = (("kind", key), ("mac", mac.sign(kind, key, value, SECRET)))
        for number in range(self.count):
            self.log.append(Outgoing(topics.EVENTS, number, key, value, headers))
            await asyncio.sleep(gap_s)

    def order(self, given: Order) -> None:
        """Tell the registrar what staff wants, as `engine erase`, `split` and `link` do."""
        body: dict[str, Any] = {"tenant": TENANT, "name": given.name}
        kind = given.kind
        if kind == "erase":
            body["at"] = self.clock.now()
        elif kind == "split":
            body["ids"] = given.ids
        else:
            kind, (by, *names) = "claim", sorted(given.ids)
            body = {"tenant": TENANT, "by": by, "names": names, "ev": 0}
        value = orjson.dumps(body)
        self._put(
            "R", value, (("kind", kind.encode()), ("mac", mac.sign(kind, b"R", value, SECRET)))
        )

    async def disable(self, rule: str, version: str, *, gap_s: float) -> None:
        """Switch a version of a rule off, in one partition after another."""
        value = orjson.dumps({"rule": rule, "version": version})
        headers = (("kind", b"disable"), ("mac", mac.sign("disable", b"disable", value, SECRET)))
        for number in range(self.count):
            self.log.append(Outgoing(topics.EVENTS, number, b"disable", value, headers))
            await asyncio.sleep(gap_s)

    async def model(self, version: str, *, mix: float, gap_s: float = 0.0) -> None:
        """Publish a model, and announce it."""
        model = initial_model()
        model.version, model.mix, model.bias = version, mix, 0.7
        model.horizon_days = 0.0005
        key = f"churn@{version}".encode()
        self.log.append(Outgoing(topics.MODELS, 0, key, model.to_json()))
        await self.version("model", version, gap_s=gap_s)

    def _put(self, key: str, value: bytes, headers: Any = ()) -> Any:
        partition = crc32(key.encode()) % self.count
        return self.log.append(Outgoing(topics.EVENTS, partition, key.encode(), value, headers))
