"""Names to addresses for aiohttp, few at the same time."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from appliance.names import look_up

_MOST_LOOKUPS = 4  # at the same time; one that nobody waits for any more counts until it ends


class OwnResolver(AbstractResolver):
    """Asks the system, as the event loop would, but not in the threads that all else shares."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_MOST_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; OSError when there are none."""
        await self._free.acquire()
        lookup = look_up(host, port, family)
        lookup.add_done_callback(lambda _: self._free.release())
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in await asyncio.shield(lookup)
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is open."""
