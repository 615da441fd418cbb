"""A process of the engine that can be killed or frozen between two steps of the protocol.

`python -m tests.chaos.points ROLE` is `engine run ROLE` with other ports: nothing of this is in the
engine. Whoever wants a fault at a step writes `STEP ACT` into the file `$POINT_FILE`; the process
takes the file away when it comes to that step, and does it. Steps are those of PROTOCOL.md 1.4.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from engine.adapters.http import HttpSender
from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.transactions import KafkaTransactions
from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.store import RedisStore
from engine.cli import run
from engine.cli.main import main
from engine.config import Settings
from engine.delivery.model import Reply, Request
from engine.errors import LogError, StoreError
from engine.events.record import Outgoing
from engine.keys import Space
from engine.runtime import roles
from tests.instead import put

POINT_FILE = "POINT_FILE"
STEPS = {
    "work": ("acquired", "loaded", "folded", "applied", "publishing", "sent", "published"),
    "deliver": ("acquired", "loaded", "folded", "applied", "handed-over", "sent", "published"),
}
ACTS = ("kill", "freeze", "lose")  # lose: it has happened, and the answer does not come
SENT_S = 0.006  # a producer lingers for 5 ms
Call = Callable[..., Awaitable[Any]]  # of a port, whatever it takes
Port = TypeVar("Port")
Committing = TypeVar("Committing", RedisStore, RedisLedger)


class Points:
    """Where this process may be struck."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def at(self, step: str) -> str:
        """Die, freeze, or return what is to be done otherwise; mostly nothing."""
        try:
            wanted, act = self._path.read_text().split()
        except (FileNotFoundError, ValueError):
            return ""
        if wanted != step:
            return ""
        try:
            self._path.rename(self._path.with_suffix(".struck"))
        except FileNotFoundError:  # two tasks came by at once
            return ""
        if act == "lose":
            return act
        os.kill(os.getpid(), signal.SIGKILL if act == "kill" else signal.SIGSTOP)
        return ""

    def after(self, step: str, call: Call, error: type[Exception]) -> Call:
        """Return a call with a point behind its effect."""

        async def struck(*arguments: Any, **named: Any) -> Any:
            result = await call(*arguments, **named)
            if await self.at(step):
                raise error(f"the answer of `{step}` is lost")
            return result

        return struck


class Struck:
    """A port with points: what is not named here is the port's own."""

    def __init__(self, port: object, calls: Mapping[str, Call]) -> None:
        self._port = port
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def struck(port: Port, **calls: Call) -> Port:
    """Return a port some of whose calls are others."""
    assert all(hasattr(port, name) for name in calls), f"{port!r} has not all of {[*calls]}"
    return cast(Port, Struck(port, calls))


def publisher(inner: KafkaPublisher, points: Points) -> KafkaPublisher:
    """Return a publisher that can be struck behind the last proof, inside and after its send."""

    async def publish(records: Sequence[Outgoing]) -> None:
        await _sent(points, inner.publish(records))

    return struck(inner, publish=publish)


def transactions(inner: KafkaTransactions, points: Points) -> KafkaTransactions:
    """Return transactions that can be struck where a publisher can."""

    async def publish(partition: int, records: Sequence[Outgoing]) -> None:
        await _sent(points, inner.publish(partition, records))

    return struck(inner, publish=publish)


async def _sent(points: Points, send: Coroutine[Any, Any, None]) -> None:
    await points.at("publishing")
    sending = asyncio.create_task(send)
    await asyncio.sleep(SENT_S)  # by now some have left, or all, and no ack is here yet
    await points.at("sent")
    await sending
    if await points.at("published"):
        raise LogError("the ack is lost")


def store(inner: Committing, points: Points) -> Committing:
    """Return a store, or a ledger, that can be struck around its commit."""
    commit: Call = inner.apply

    async def apply(*arguments: Any) -> None:
        await points.at("folded")
        await commit(*arguments)
        if await points.at("applied"):
            raise StoreError("the answer of APPLY is lost")

    return struck(
        inner,
        apply=apply,
        acquire=points.after("acquired", inner.acquire, StoreError),
        load=points.after("loaded", inner.load, StoreError),
    )


def sender(inner: HttpSender, points: Points) -> HttpSender:
    """Return a sender that can be struck when the receiver has the webhook."""

    async def send(request: Request) -> Reply:
        reply = await inner.send(request)
        lost = await points.at("handed-over")
        return Reply(0, error="the answer is lost") if lost else reply

    return struck(inner, send=send)


def plant(points: Points) -> None:
    """Give the roles of this process ports with points."""

    class Engine(roles.Engine):
        """The connections of one process, with points."""

        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.store = store(self.store, points)
            self.publisher = publisher(self.publisher, points)
            if self.transactions is not None:
                self.transactions = transactions(self.transactions, points)

    def ledger_of(url: str, space: Space) -> RedisLedger:
        return store(RedisLedger(url, space), points)

    def sender_of() -> HttpSender:
        return sender(HttpSender(), points)

    put(
        (run, "Engine", Engine),
        (roles, "RedisLedger", ledger_of),
        (roles, "HttpSender", sender_of),
    )


if __name__ == "__main__":
    plant(Points(Path(os.environ[POINT_FILE])))
    sys.exit(main(["run", *sys.argv[1:]]))
