"""Turns: work that takes the event loop half a millisecond, one piece in each of its turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_TOGETHER = 16  # eight milliseconds of work, which is what the first of them waits


class Turns:
    """Lets one piece of work be done in a turn of the event loop, and everybody else be heard.

    Not in a thread, for that would not help: while cryptography works, it keeps the interpreter
    locked, so all others wait in any case, and for the changes of thread as well.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._coming = 0  # begin soon, and will be `together` with those who are
        self._gathered: list[asyncio.Future[None]] = []

    async def begin(self, function: Callable[..., T], *args: object) -> T:
        """Do the first piece of work of a request that is going to write."""
        self._coming += 1
        try:
            return await self.take(function, *args)
        finally:
            self._coming -= 1
            if not self._coming:
                self._release()

    async def take(self, function: Callable[..., T], *args: object) -> T:
        """Do a piece of work when its turn has come."""
        async with self._turn:
            await asyncio.sleep(0)
            return function(*args)

    async def together(self) -> None:
        """Wait until those who are to `begin` have come here too: they share a commit."""
        if not self._coming:
            return
        released = asyncio.get_running_loop().create_future()
        self._gathered.append(released)
        if len(self._gathered) == _TOGETHER:
            self._release()
        await released

    def _release(self) -> None:
        for waiting in self._gathered:
            if not waiting.done():  # its client may have gone
                waiting.set_result(None)
        self._gathered.clear()
