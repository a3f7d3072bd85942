"""The short way for nearly all of the traffic: a signed message of a device, a short answer.

A connection begins here, and stays while it brings plain signed messages, one at a time. With the
first thing that is anything else it becomes aiohttp's for good, with all that was received and not
answered: other requests and framings, and also what is refused, for the application refuses it
again and gives the reasons. So what is understood here may be little, and is never the last word.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from typing import cast

from aiohttp import web

from appliance.config import Config
from appliance.services import Services
from appliance.web import mdm
from appliance.web.addresses import Address
from appliance.web.admission import Admission
from appliance.web.connections import (
    KEEPALIVE_SECONDS,
    READ_SECONDS,
    Connection,
    Connections,
    Watched,
)
from appliance.web.identity import signer_of
from appliance.web.plain_message import PlainMessage, read_plain_message

_WHOLE_WITHIN_SECONDS = 1.0  # what takes longer to arrive is not plain


class Front:
    """Makes the connections of a listener that devices use."""

    def __init__(self, config: Config, services: Services, admission: Admission) -> None:
        kib = min(config.limits.checkin_body_kib, config.limits.result_body_kib)
        self.longest = min(mdm.SHORT_BODY, kib * 1024)
        self.starts = frozenset(f"PUT {path} HTTP/1.1".encode() for path in mdm.paths(config))
        self._services = services
        self._admission = admission

    def connection(
        self, server: web.Server, among: Connections, address: Address | None
    ) -> Watched:
        """Return the protocol of a new connection, which becomes one of `server` when need be."""
        return _Connection(self, server, among, address)

    async def answer(self, message: PlainMessage) -> bytes:
        """Return the response; raises what the application will have to refuse."""
        async with self._admission:
            signer = signer_of(message.signature, message.body)
            body = await mdm.answer(self._services, message.content_type, signer, message.body)
        head = _HEADS[mdm.content_type_of(body)] if body else _EMPTY_HEAD
        return head % (_date(int(time.time())), len(body)) + body


class _Connection(Watched):
    _transport: asyncio.Transport | None = None

    def __init__(
        self, front: Front, server: web.Server, among: Connections, address: Address | None
    ) -> None:
        self.address = address
        self.handshake = None
        self._front = front
        self._server = server
        self._among = among
        self._loop = asyncio.get_running_loop()
        self._received = b""  # and not answered
        self._answering: asyncio.Task[None] | None = None
        self._is_new = True
        self._is_last = False
        self._waits_since = self._loop.time()
        self._unread_since = 0.0
        self._deadline: asyncio.TimerHandle | None = None  # of a message that is not whole yet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.discard(self)
        self._transport = None
        self._forget_deadline()

    def pause_writing(self) -> None:
        self._unread_since = self._loop.time()

    def resume_writing(self) -> None:
        self._unread_since = 0.0

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        is_begun = bool(self._received)
        self._received = data = self._received + data if is_begun else data
        if self._answering is not None:
            self._transport.pause_reading()  # or it could grow without end
            return
        if not is_begun:
            self._waits_since = self._loop.time()
        message = read_plain_message(data, self._front.starts, self._front.longest)
        if message is None or self._unread_since:
            self._hand_over()
        elif message.is_whole:
            self._forget_deadline()
            self._answering = self._loop.create_task(self._answer(message, len(data)))
        elif not is_begun:
            self._deadline = self._loop.call_later(_WHOLE_WITHIN_SECONDS, self._hand_over)

    async def _answer(self, message: PlainMessage, length: int) -> None:
        try:
            response = await self._front.answer(message)
        except Exception:  # the application says what is wrong
            self._answering = None
            self._hand_over()
            return
        self._answering = None
        if self._transport is None:
            return
        self._transport.write(response)
        self._received = self._received[length:]
        self._is_new = False
        self._waits_since = self._loop.time()
        if self._is_last:
            self._transport.close()
        elif self._received:
            self._hand_over()

    def _hand_over(self) -> None:
        transport = self._transport
        self._transport = None
        self._among.discard(self)
        self._forget_deadline()
        if transport is None or transport.is_closing():
            return
        connection = Connection(self._server, self._among, self.address, begun_at=self._waits_since)
        self._among.add(connection)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._unread_since:
            connection.pause_writing()
        transport.resume_reading()  # before aiohttp may pause it for reasons of its own
        connection.data_received(self._received)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    @property
    def waits_since(self) -> float | None:
        if self._answering is not None:
            return None
        return self._unread_since or self._waits_since

    @property
    def was_served(self) -> bool:
        return not self._is_new

    def is_overdue(self, now: float, seconds: float) -> bool:
        if self._unread_since:
            return now - self._unread_since > READ_SECONDS
        patience = seconds if self._is_new else KEEPALIVE_SECONDS
        return self._answering is None and now - self._waits_since > patience

    def drop(self) -> None:
        self._among.discard(self)
        if self._transport is not None:
            self._transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def finish(self) -> asyncio.Task[None] | None:
        self._is_last = True
        if self._answering is None and self._transport is not None:
            self._transport.close()
        return self._answering


# RFC 9110 section 6.6.1 wants the date.
_EMPTY_HEAD = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
_HEADS = {
    kind: _EMPTY_HEAD.replace(b"\r\n\r\n", f"\r\nContent-Type: {kind}\r\n\r\n".encode())
    for kind in (mdm.XML, mdm.JSON)
}


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
