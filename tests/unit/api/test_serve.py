"""An answer is one write, and nothing of it stays behind."""

import asyncio
from collections.abc import Callable

import pytest

from engine.api.serve import Joined


class Wire:
    """A transport that notes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Note it."""
        self.written.append(data)

    def close(self) -> None:
        """Note that nothing comes any more."""
        self.written.append(b"closed")

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return b"closed" in self.written


def close(transport: Joined) -> None:
    transport.write(b"head ")
    transport.close()
    assert transport.is_closing()


def answer(transport: Joined) -> None:
    transport.write(b"head ")
    transport.write(b"body")


def stream(transport: Joined) -> None:
    for part in (b"head ", b"one ", b"two"):
        transport.write(part)


@pytest.mark.parametrize(
    ("act", "at_once", "later"),
    [
        (answer, [b"head body"], [b"head body"]),
        (stream, [b"head one "], [b"head one ", b"two"]),
        (close, [b"head ", b"closed"], [b"head ", b"closed"]),
        (lambda transport: transport.write(b"head "), [], [b"head "]),  # and a body much later
    ],
    ids=["answer", "stream", "close", "head alone"],
)
def test_head_and_body_are_one_write(
    act: Callable[[Joined], None], at_once: list[bytes], later: list[bytes]
) -> None:
    async def run() -> None:
        wire = Wire()
        act(Joined(wire, asyncio.get_running_loop()))
        assert wire.written == at_once
        await asyncio.sleep(0)
        assert wire.written == later

    asyncio.run(run())
