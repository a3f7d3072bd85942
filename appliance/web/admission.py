"""How much of the devices' work is in hand at once; what goes beyond is asked to come back."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from aiohttp import web

from appliance.errors import Busy

_IN_A_TURN = 64


class Admission:
    """Counts the requests being worked on, and lets few begin in one turn of the event loop.

    One whose body is still arriving does not count, or slow clients could keep all others out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._begun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def check(self) -> None:
        """Refuse a request before anything is spent on it.

        Raises:
            Busy: as many as there may be are being worked on.
        """
        if self._count >= self._most:
            raise Busy("too many requests of devices at the same time")

    async def __aenter__(self) -> None:
        self.check()
        self._count += 1
        if self._begun == 0:
            asyncio.get_running_loop().call_soon(self._next_turn)
        if self._begun < _IN_A_TURN:
            self._begun += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._count -= 1
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count -= 1

    def _next_turn(self) -> None:
        """Let others be heard first, then the next ones begin."""
        self._begun = 0
        while self._waiting and self._begun < _IN_A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # its client may have gone
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)


ADMISSION = web.AppKey("admission", Admission)
