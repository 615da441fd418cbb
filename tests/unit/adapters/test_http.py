"""What is known of a request after a receiver has broken HTTP, or was not there."""

import asyncio

import pytest

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
