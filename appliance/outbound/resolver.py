"""Names to addresses, in threads of its own: a dead resolver holds nobody else up."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

_Found: TypeAlias = "list[ResolveResult] | OSError"

_MOST_LOOKUPS = 4  # at the same time; one that nobody waits for any more counts until it ends


class OwnResolver(AbstractResolver):
    """Asks the system, as the event loop would, but not in the threads that all else shares.

    The system's call cannot be stopped and may take a minute. Its threads do not keep the process
    alive either.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_MOST_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; OSError when there are none."""
        loop = asyncio.get_running_loop()
        await self._free.acquire()
        future: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def look() -> None:
            try:
                outcome: _Found = _look_up(host, port, family)
            except (OSError, UnicodeError) as error:
                outcome = OSError(None, f"the name cannot be found: {error}")
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._tell, future, outcome)

        threading.Thread(target=look, name="webhook lookup", daemon=True).start()
        return await future

    def _tell(self, future: asyncio.Future[list[ResolveResult]], outcome: _Found) -> None:
        self._free.release()
        if future.done():  # who asked has given up
            return
        if isinstance(outcome, OSError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    async def close(self) -> None:
        """Nothing is open."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, proto, _, address in infos
    ]  # fmt: skip
