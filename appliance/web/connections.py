"""Connections: how many there may be, and which one must go when there are too many.

A connection that keeps the server waiting (for its handshake, its request, the rest of a body, or
until it reads an answer) may be closed at any time, the longest waiting first: a device opens
another. One whose request is at work is never closed for room.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import resource
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_network
from typing import Any, TypeAlias

from aiohttp import StreamReader, web
from aiohttp.streams import EMPTY_PAYLOAD

from appliance import logs
from appliance.config import Config
from appliance.services.throttle import place
from appliance.web.addresses import Address, within

logger = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 60.0
# `Mdm-Signature` with its chain passes 8 KB; a GET PKIOperation carries a message in its line.
_LONGEST_HEADER = 65_536
# What every connection is made with, ours and those of the local socket.
OPTIONS: dict[str, Any] = {
    "access_log": None,
    "keepalive_timeout": KEEPALIVE_SECONDS,
    "max_line_size": _LONGEST_HEADER,
    "max_field_size": _LONGEST_HEADER,
    "auto_decompress": False,
}
# Of a whole head, and of what stands around a body: aiohttp bounds each line, and their number.
_LONGEST_UNUSED = 98_304
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)
_DESCRIPTORS = (65_536, 10_240)  # asked of the system; the second is the most that macOS gives
_RESERVED_DESCRIPTORS = 96  # the store, the push server, the local socket, files being sent
_FEWEST = 16
_GRACE_SECONDS = 1.0  # one that waits for less is not closed: it would only come back
_FRESH_GRACE_SECONDS = 2.0  # nor one that was not served yet, so that a crowd gets through
_CLOSED_AT_ONCE = 32
_LOOK_SECONDS = 1.0
READ_SECONDS = 60.0  # for the next 64 KB of an answer
_LOG_SECONDS = 10.0
_FINISH_SECONDS = 1.0


class Watched(asyncio.Protocol, ABC):
    """One open connection, as far as room for others goes."""

    address: Address | None
    handshake: asyncio.Task[None] | None  # until it is through

    @property
    @abstractmethod
    def waits_since(self) -> float | None:
        """Since when the server waits for the peer, as loop time; None: it is the server's turn."""

    @property
    @abstractmethod
    def was_served(self) -> bool:
        """Whether it has brought a request."""

    def may_go(self, now: float) -> bool:
        """Tell whether it has waited long enough to be closed for another."""
        since = self.waits_since
        grace = _GRACE_SECONDS if self.was_served else _FRESH_GRACE_SECONDS
        return since is not None and now - since > grace

    @abstractmethod
    def is_overdue(self, now: float, seconds: float) -> bool:
        """Tell whether a request that began `seconds` ago, or an answer, got stuck."""

    @abstractmethod
    def drop(self) -> None:
        """Close it without waiting for the peer."""

    @abstractmethod
    def finish(self) -> asyncio.Task[None] | None:
        """Close it after the answer that is at work; return what is to be waited for."""


class Connection(web.RequestHandler, Watched):
    """aiohttp's connection, which also knows since when the server waits for its peer.

    The only place that looks at the private state of aiohttp's connections.
    """

    __slots__ = (
        "_among", "_head_at", "_opened_at", "_progress", "_receiving", "_unread_since", "_unused",
        "address", "handshake",
    )  # fmt: skip

    def __init__(
        self,
        server: web.Server,
        among: Connections,
        address: Address | None,
        *,
        begun_at: float | None = None,
    ) -> None:
        """Take since when its first request has been arriving, as loop time; None: from now on."""
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, **OPTIONS)
        self.address = address
        self.handshake = None
        self._among = among
        self._opened_at = self._head_at = loop.time() if begun_at is None else begun_at
        self._unread_since = 0.0
        self._receiving: StreamReader = EMPTY_PAYLOAD  # the body of the last request
        self._progress = (0, 0)
        self._unused = 0

    def data_received(self, data: bytes) -> None:
        """Note when a request begins to arrive, and refuse a head that does not end."""
        if self._waiter is not None and self._head_at <= self._idle_since:
            self._head_at = self._loop.time()
        super().data_received(data)
        self._count_unused(len(data))

    def _count_unused(self, size: int) -> None:
        """Bound what arrives without a request or a byte of a body coming of it: it is kept."""
        if self._messages:
            self._receiving = self._messages[-1][1]
        progress = self._request_count, self._receiving.total_bytes
        if progress != self._progress or self._buffer_paused or self._reading_paused:
            self._progress, self._unused = progress, 0
            return
        self._unused += size
        if self._unused <= _LONGEST_UNUSED or self.transport is None:
            return
        if self._waiter is None:  # an answer may be on its way
            self.drop()
        else:
            self.transport.write(_TOO_LARGE)
            self.force_close()

    def pause_writing(self) -> None:
        """Note since when the peer reads nothing."""
        self._unread_since = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._unread_since = 0.0
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP; aiohttp's own answer repeats what was sent."""
        answer = super().handle_error(request, status, exc, message)
        if status >= 500:
            return answer
        refusal = web.Response(status=status, text="this is not a request that HTTP allows\n")
        refusal.headers["Server"] = ""
        refusal.force_close()
        return refusal

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for another."""
        self._among.discard(self)
        super().connection_lost(exc)

    @property
    def waits_since(self) -> float | None:
        if self._unread_since:
            return self._unread_since
        request = self._current_request
        if request is not None and request.content.is_eof():
            return None
        return max(self._head_at, self._idle_since)

    @property
    def was_served(self) -> bool:
        return self._request_count > 0

    def is_overdue(self, now: float, seconds: float) -> bool:
        if self._unread_since:
            return now - self._unread_since > READ_SECONDS
        if self._waiter is None:  # a body has a deadline of its own
            return False
        begun = self._request_count == 0 or self._head_at > self._idle_since
        return begun and now - max(self._head_at, self._idle_since) > seconds

    def drop(self) -> None:
        self._among.discard(self)
        if self.transport is not None:
            self.transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def finish(self) -> asyncio.Task[None] | None:
        """Nothing: aiohttp's server ends its own."""
        return None

    @property
    def _idle_since(self) -> float:
        """When it was opened, or the last answer was sent; aiohttp stores when that is too old."""
        return max(self._next_keepalive_close_time - KEEPALIVE_SECONDS, self._opened_at)


Make: TypeAlias = "Callable[[web.Server, Connections, Address | None], Watched]"


class Connections:
    """The open connections of some listeners, within a number for all and one for an address."""

    def __init__(self, config: Config, most: int, *, make: Make = Connection) -> None:
        """Take what makes the protocol of a connection."""
        limits = config.limits
        self.most = most
        self.head_seconds = float(limits.body_seconds)
        self._make = make
        self._most_of_address = limits.connections_per_address
        # A proxy's connections are those of many.
        networks = (*limits.exempt, *config.server.trusted_proxies)
        self._exempt = [ip_network(network) for network in networks]
        self._open: set[Watched] = set()
        self._of_place: dict[str, set[Watched]] = {}
        self._loop = asyncio.get_running_loop()
        self._logged_at = -_LOG_SECONDS
        self._closed = self._refused = 0
        self._problem = ""
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def __len__(self) -> int:
        return len(self._open)

    def has_room(self) -> bool:
        """Tell whether one more may be opened, closing some that wait if that helps."""
        return len(self._open) < self.most or self.make_room() > 0

    def make_room(self) -> int:
        """Close those that wait longest; return their number."""
        return self._drop_waiting(self._open, min(_CLOSED_AT_ONCE, max(1, self.most // 8)))

    def admits(self, address: Address | None) -> bool:
        """Tell whether `address` may have one more, closing one of its own if that helps.

        An IPv6 /64 is one address.
        """
        own = None if address is None else self._of_place.get(place(address))
        if own is None or len(own) < self._most_of_address:
            return True
        if self._drop_waiting(own, 1):
            return True
        self._refused += 1
        return False

    def open(self, server: web.Server, address: Address | None) -> Watched:
        """Make a connection and count it."""
        connection = self._make(server, self, address)
        self.add(connection)
        return connection

    def add(self, connection: Watched) -> None:
        """Count a connection that was opened."""
        self._open.add(connection)
        address = connection.address
        if address is not None and not within(address, self._exempt):
            self._of_place.setdefault(place(address), set()).add(connection)

    def discard(self, connection: Watched) -> None:
        """Count it no more."""
        self._open.discard(connection)
        where = place(connection.address)
        own = self._of_place.get(where)
        if own is not None:
            own.discard(connection)
            if not own:
                del self._of_place[where]

    def trouble(self, error: OSError) -> None:
        """Note that the system opens no more."""
        self._problem = str(error.strerror)
        self.make_room()

    async def finish(self) -> None:
        """Look after them no more; each ends after the answer that is at work."""
        self._timer.cancel()
        answers = [connection.finish() for connection in tuple(self._open)]
        if waiting := [answer for answer in answers if answer is not None]:
            _, late = await asyncio.wait(waiting, timeout=_FINISH_SECONDS)
            for answer in late:
                answer.cancel()

    def _drop_waiting(self, among: Iterable[Watched], count: int) -> int:
        now = self._loop.time()
        waiting = (connection for connection in among if connection.may_go(now))
        chosen = heapq.nsmallest(count, waiting, key=lambda one: one.waits_since or now)
        for connection in chosen:
            connection.drop()
        self._closed += len(chosen)
        return len(chosen)

    def _look(self) -> None:
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        now = self._loop.time()
        for connection in [c for c in self._open if c.is_overdue(now, self.head_seconds)]:
            connection.drop()
        if (self._closed or self._refused or self._problem) and (
            now - self._logged_at >= _LOG_SECONDS
        ):
            self._log(now)

    def _log(self, now: float) -> None:
        """One line for everything since the last one: strangers decide how often this happens."""
        reason = f"{self._closed} that waited were closed for room, {self._refused} refused"
        if self._problem:
            reason += f"; the system says: {self._problem}"
        logger.warning(
            "too many connections", extra={logs.COUNT: len(self._open), logs.REASON: reason}
        )
        self._logged_at = now
        self._closed = self._refused = 0
        self._problem = ""


def most_connections(wanted: int) -> int:
    """Return how many connections there may be: `wanted`, or what the system has descriptors for.

    Raises the process's limit of descriptors as far as the system lets it.
    """
    descriptors = _raise_limit()
    most = max(min(wanted, descriptors - _RESERVED_DESCRIPTORS), _FEWEST)
    if most < wanted:
        logger.warning("few descriptors: fewer connections", extra={logs.COUNT: most})
    return most


def _raise_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _DESCRIPTORS[0]
    for most in _DESCRIPTORS:
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if soft >= wanted:
            break
        with suppress(OSError, ValueError):  # macOS has a lower limit than it admits
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft
