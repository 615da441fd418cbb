"""What is known of a request after a receiver has broken HTTP, or was not there."""

import asyncio
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.adapters.http import HttpSender
from engine.delivery.model import Reply, Request
from engine.simulation.receiver import Desk
from tests.receiver import receiver


@pytest.mark.parametrize("answer", ["hang", "garbage", "lost"])
def test_a_receiver_that_breaks_http_leaves_it_unknown(answer: str) -> None:
    async def scenario(desk: Desk, url: str) -> Reply:
        desk.answer = answer
        sender = HttpSender()
        try:
            return await sender.send(Request(url, {}, b"{}", True, 0.2))
        finally:
            desk.released.set()
            await sender.close()

    with receiver() as (desk, url):
        reply = asyncio.run(scenario(desk, url))
    assert (reply.status, reply.sent) == (0, True)


def test_a_closed_port_was_not_sent_to() -> None:
    async def scenario() -> Reply:
        sender = HttpSender()
        try:
            return await sender.send(Request("http://127.0.0.1:1/", {}, b"{}", True, 1.0))
        finally:
            await sender.close()

    reply = asyncio.run(scenario())
    assert (reply.status, reply.sent) == (0, False)


class Deaf(AbstractResolver):
    """A name server that never answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    async def close(self) -> None: ...


def test_a_name_that_nobody_answers_for_is_looked_up_once_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.adapters.http.CONNECT_S", 0.2)

    async def scenario() -> tuple[list[Reply], int]:
        deaf = Deaf()
        sender = HttpSender(deaf)
        request = Request("https://crm.example/", {}, b"{}", timeout_s=30.0)
        try:
            return await asyncio.gather(*(sender.send(request) for _ in range(8))), deaf.asked
        finally:
            await sender.close()

    replies, asked = asyncio.run(scenario())
    assert asked == 1, "a look-up holds a thread"
    assert {(reply.status, reply.sent) for reply in replies} == {(0, False)}
