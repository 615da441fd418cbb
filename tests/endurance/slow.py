"""A TCP proxy that lets everything through, later: stands for a Redis that is far away or busy."""

import asyncio
from types import TracebackType

READ_SIZE = 256 * 1024


class SlowProxy:
    """Delays each piece of either direction by half of `trip_s`; order and bytes stay."""

    def __init__(self, port: int, *, trip_s: float) -> None:
        self._target = port
        self._half_s = trip_s / 2
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> "SlowProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while piece := await source.read(READ_SIZE):
            loop.call_later(self._half_s, target.write, piece)
        loop.call_later(self._half_s, target.close)
