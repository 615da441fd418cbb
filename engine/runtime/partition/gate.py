"""Many go through side by side, or one goes alone: whoever dies then has died of that one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """For the folds of one process; in the order of asking, so that nobody waits for ever."""

    def __init__(self) -> None:
        self._door = asyncio.Lock()
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Go through with others, but not while one is alone."""
        async with self._door:
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Go through when all others are out, and let none in meanwhile."""
        async with self._door:
            await self._empty.wait()
            yield
