"""The few connections to APNs: opened when needed, replaced when lost, never in a hurry."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl

import aiohappyeyeballs
from aioapns import NotificationRequest

from appliance import logs
from appliance.apns.connection import PushConnection
from appliance.apns.outcome import Answer, CertificateRefused, Retry, StreamLost
from appliance.names import look_up

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 60.0
_NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305 section 5, "Connection Attempt Delay"

# How OpenSSL names the TLS alerts that a server sends about a client certificate.
_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")

_CLOSED = Retry(reason="the push sender was closed")


class Unreachable(Exception):
    """No connection can be had now; `outcome` is what to tell the caller."""

    def __init__(self, outcome: Retry | CertificateRefused) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class _Backoff:
    """When the next connection may be tried, and why not before."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0
        self._outcome: Retry | CertificateRefused | None = None

    def failed(self, outcome: Retry | CertificateRefused, *, now: float) -> None:
        longest = min(_FIRST_BACKOFF_SECONDS * 2**self._failures, _LONGEST_BACKOFF_SECONDS)
        self._failures = min(self._failures + 1, 16)
        self._until = now + longest * random.uniform(0.5, 1.0)  # noqa: S311 - spread, no secret
        self._outcome = outcome

    def succeeded(self) -> None:
        self._failures = 0
        self._outcome = None

    def outcome(self, *, now: float) -> Retry | CertificateRefused | None:
        """Return what to tell a caller meanwhile, None if a connection may be tried."""
        match self._outcome:
            case Retry(reason=reason) if now < self._until:
                return Retry(reason=reason, after_seconds=self._until - now)
            case CertificateRefused() if now < self._until:
                return self._outcome
            case _:
                return None


class ConnectionPool:
    """Up to `size` connections, shared by all senders.

    4.0's pool opens connections without a timeout and under its lock (:373), and when all
    of a full pool are lost it polls every 10 ms for ever (:392).
    """

    def __init__(
        self, host: str, port: int, ssl_context: ssl.SSLContext, size: int, timeout_seconds: float
    ) -> None:
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._size = size
        self._timeout_seconds = timeout_seconds
        self._connections: list[PushConnection] = []
        self._connecting = asyncio.Lock()
        self._waiting: dict[asyncio.Future[None], None] = {}  # in order of arrival
        self._backoff = _Backoff()
        self._answered = 0
        self._closed = False

    async def request(self, request: NotificationRequest) -> Answer | StreamLost:
        """Send on the first connection with room and return the answer, or why there is none.

        Raises:
            Unreachable: there is no connection, and none may be tried yet.
        """
        connection = await self._acquire()
        answered_before = connection.answered
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await connection.request(request)
        except TimeoutError:
            reason = f"no answer within {self._timeout_seconds:g} s"
            if connection.answered == answered_before:
                # It answers nobody, even if it still pings: 4.0 would keep it for ever.
                connection.abort(reason)
            return StreamLost(reason=reason, resend=False)
        if isinstance(answer, Answer):
            self._answered += 1
            self._backoff.succeeded()
        return answer

    async def close(self) -> None:
        """Let what is in flight finish within the timeout, then close."""
        self._closed = True
        self._wake_all()
        connections = list(self._connections)
        for connection in connections:
            connection.drain(_CLOSED.reason)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for connection in connections:
                    await connection.closed.wait()
        except TimeoutError:
            for connection in connections:
                connection.abort(_CLOSED.reason)

    async def _acquire(self) -> PushConnection:
        while True:
            if self._closed:
                raise Unreachable(_CLOSED)
            for connection in self._connections:
                if connection.has_room:
                    return connection
            usable = self._usable_connections()
            unreachable = self._unreachable()
            if unreachable is not None and usable == 0:
                raise Unreachable(unreachable)
            if unreachable is None and usable < self._size:
                await self._grow(usable)
            else:
                await self._wait_for_room()

    def _usable_connections(self) -> int:
        return sum(connection.usable for connection in self._connections)

    def _unreachable(self) -> Retry | CertificateRefused | None:
        return self._backoff.outcome(now=asyncio.get_running_loop().time())

    async def _grow(self, usable_before: int) -> None:
        """Open one connection, unless someone else did or failed to while we waited."""
        async with self._connecting:
            grown = self._usable_connections() > usable_before
            if grown or self._closed or self._unreachable() is not None:
                return
            outcome = await self._connect()
            if outcome is not None:
                self._failed(outcome)
        self._wake_all()

    async def _connect(self) -> Retry | CertificateRefused | None:
        """Open one connection and wait for APNs' SETTINGS; return what prevented it."""
        connection = PushConnection(f"{self._host}:{self._port}", self._freed, self._changed)
        limit_seconds = 2 * self._timeout_seconds
        try:
            async with asyncio.timeout(limit_seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    sock=await self._open_socket(),
                    ssl=self._ssl_context,
                    server_hostname=self._host,
                )
                # TLS 1.3 reports a refused client certificate only now.
                await connection.settled.wait()
        except TimeoutError:
            connection.abort("too slow to connect")
            return Retry(reason=f"no connection to {self._host} within {limit_seconds:g} s")
        except OSError as error:
            return _why_not_connected(error)
        except asyncio.CancelledError:
            connection.abort("caller cancelled")
            raise
        if connection.lost is not None:
            return _why_not_connected(connection.lost_error or OSError(connection.lost))
        if self._closed or not connection.usable:
            connection.abort("of no use")
            return _CLOSED if self._closed else Retry(reason="the push server is shutting down")
        self._connections.append(connection)
        return None

    async def _open_socket(self) -> socket.socket:
        """Connect to the first address that answers: a network may promise IPv6 and have none."""
        found = await asyncio.shield(look_up(self._host, self._port))
        return await aiohappyeyeballs.start_connection(
            found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
        )

    async def _wait_for_room(self) -> None:
        """Wait until something changed, as long as APNs answers anyone at all."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answered = self._answered
        self._waiting[waiter] = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await waiter
        except TimeoutError:
            self._leave(waiter)
            if self._answered == answered:
                raise Unreachable(Retry(reason="APNs accepts no further streams")) from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        """Stop waiting; if we were woken meanwhile, pass it on."""
        self._waiting.pop(waiter, None)
        if not waiter.cancelled():
            self._freed()

    def _freed(self) -> None:
        """One stream ended: wake the sender that waits longest."""
        while self._waiting:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    def _changed(self, connection: PushConnection) -> None:
        """Called when a connection got wider, drains or is lost."""
        if connection.lost is not None and connection in self._connections:
            self._connections.remove(connection)
            if connection.fruitless and not self._closed:
                self._failed(Retry(reason=connection.lost))
        self._wake_all()

    def _failed(self, outcome: Retry | CertificateRefused) -> None:
        logger.warning("push server unreachable", extra={logs.REASON: outcome.reason})
        self._backoff.failed(outcome, now=asyncio.get_running_loop().time())


def _why_not_connected(error: Exception) -> Retry | CertificateRefused:
    match error:
        case ssl.SSLCertVerificationError():
            reason = f"the push server's certificate is not trusted: {error.verify_message}"
            return Retry(reason=reason)
        case ssl.SSLError(reason=str(alert)) if "ALERT" in alert and any(
            name in alert for name in _CERTIFICATE_ALERTS
        ):
            return CertificateRefused(reason=f"TLS alert {alert}")
        case _:
            return Retry(reason=f"cannot connect to the push server: {str(error) or repr(error)}")
