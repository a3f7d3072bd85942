"""A listening address that takes on no more than the process can serve.

asyncio accepts all that knock and begins a TLS handshake with each, half a millisecond of the
only core: a fleet that comes back at once would stop everything else. Here a few are accepted in
each turn of the event loop; the rest wait in the kernel's queue, at no cost.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from appliance.web.addresses import parse_address
from appliance.web.connections import Connections, Watched

_BACKLOG = 4096
_IN_A_TURN = 16
_PAUSE_SECONDS = 0.05
# More handshakes at the same time only make each of them last longer, and until it is through one
# takes 50 KB, four times what its connection takes then. One that its peer draws out counts no
# more: it would keep devices out, and `Connections` bounds it.
_HANDSHAKES = 384
_DRAWN_OUT_SECONDS = 2.0
_GOODBYE_SECONDS = 5.0  # for the peer's part of closing TLS


class Listener(web.BaseSite):
    """One address; a site of aiohttp's runner, which closes it."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        tls: Callable[[], ssl.SSLContext],
        connections: Connections,
    ) -> None:
        """`tls` is asked for each connection, as its certificate is renewed."""
        super().__init__(runner, ssl_context=tls(), backlog=_BACKLOG)
        self._host = host
        self._port = port
        self._tls = tls
        self._connections = connections
        self._sockets: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._counted: set[asyncio.Task[None]] = set()  # those of them that are not drawn out
        self._pauses: set[asyncio.TimerHandle] = set()

    @property
    def name(self) -> str:
        """The address as a URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._port}"

    async def start(self) -> None:
        """Listen at every address of the name.

        Raises:
            OSError: another program listens there, or it may not be used.
        """
        await super().start()
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            listening = socket.create_server(address, family=family, backlog=_BACKLOG)
            listening.setblocking(False)
            self._sockets.append(listening)
            self._watch(listening)

    async def stop(self) -> None:
        """Accept no more; the requests that are at work go on."""
        loop = asyncio.get_running_loop()
        for pause in self._pauses:
            pause.cancel()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()
        for handshake in self._handshakes:
            handshake.cancel()
        await self._connections.finish()
        await super().stop()

    def _watch(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _pause(self, listening: socket.socket) -> None:
        """Leave the next ones in the kernel's queue for a moment."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def resume() -> None:
            self._pauses.discard(timer)
            self._watch(listening)

        timer = loop.call_later(_PAUSE_SECONDS, resume)
        self._pauses.add(timer)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_IN_A_TURN):
            if len(self._counted) >= _HANDSHAKES or not self._connections.has_room():
                self._pause(listening)
                return
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptors or no memory, here or in the system
                self._connections.trouble(error)
                self._pause(listening)
                return
            self._take(accepted, str(peer[0]))

    def _take(self, accepted: socket.socket, peer: str) -> None:
        address = parse_address(peer)
        server = self._runner.server
        if server is None or not self._connections.admits(address):
            accepted.close()
            return
        accepted.setblocking(False)
        connection = self._connections.open(server, address)
        loop = asyncio.get_running_loop()
        handshake = loop.create_task(self._greet(connection, accepted))
        connection.handshake = handshake
        for under_way in (self._handshakes, self._counted):
            under_way.add(handshake)
            handshake.add_done_callback(under_way.discard)
        loop.call_later(_DRAWN_OUT_SECONDS, self._counted.discard, handshake)

    async def _greet(self, connection: Watched, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls(),
                ssl_handshake_timeout=self._connections.head_seconds,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError:  # not TLS, too slow, or gone: nobody who could be answered
            self._connections.discard(connection)
        except asyncio.CancelledError:
            self._connections.discard(connection)
            raise
