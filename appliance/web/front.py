"""The short way for nearly all of the traffic: a message of a device, a short answer.

A connection begins here, and stays while it brings plain messages, one at a time: of MDM, with a
signature, and of SCEP. With the first thing that is anything else it becomes aiohttp's for good,
with all that was received and not answered: other requests and framings, and also what is refused
before it was acted on, for the application refuses it again and gives the reasons. So what is
understood here may be little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TypeAlias, cast

from aiohttp import web

from appliance.config import Config
from appliance.errors import InvalidRequest, NotFound, UserChannelRefused
from appliance.services import Services
from appliance.web import mdm, scep
from appliance.web.addresses import Address
from appliance.web.admission import Admission
from appliance.web.connections import (
    KEEPALIVE_SECONDS,
    READ_SECONDS,
    Connection,
    Connections,
    Watched,
)
from appliance.web.devices import refused_with
from appliance.web.identity import signer_of
from appliance.web.plain_message import PlainMessage, read_plain_message
from appliance.web.scep import ScepLimit

_WHOLE_WITHIN_SECONDS = 1.0  # what takes longer to arrive is not plain

_Answer: TypeAlias = "Callable[[PlainMessage, Address | None], Awaitable[bytes]]"


class Front:
    """Makes the connections of a listener that devices use."""

    def __init__(
        self, config: Config, services: Services, admission: Admission, limit: ScepLimit
    ) -> None:
        kib = min(config.limits.checkin_body_kib, config.limits.result_body_kib)
        self.longest = min(mdm.SHORT_BODY, kib * 1024, config.limits.scep_body_kib * 1024)
        self._services = services
        self._admission = admission
        self._limit = limit
        signed = [f"PUT {path} HTTP/1.1".encode() for path in mdm.paths(config)]
        unsigned: dict[bytes, _Answer] = {}
        if not config.server.trusted_proxies:  # a field would say whom they speak for
            unsigned = {
                b"GET /scep?operation=GetCACaps HTTP/1.1": self._ca_capabilities,
                b"GET /scep?operation=GetCACert HTTP/1.1": self._ca_certificate,
                b"POST /scep?operation=PKIOperation HTTP/1.1": self._pki_operation,
            }
        self._answers: dict[bytes, _Answer] = dict.fromkeys(signed, self._mdm) | unsigned
        self.starts = dict.fromkeys(signed, True) | dict.fromkeys(unsigned, False)

    def connection(
        self, server: web.Server, among: Connections, address: Address | None
    ) -> Watched:
        """Return the protocol of a new connection, which becomes one of `server` when need be."""
        return _Connection(self, server, among, address)

    async def answer(self, message: PlainMessage, address: Address | None) -> bytes:
        """Return the response; raises what the application will have to refuse."""
        return await self._answers[message.start](message, address)

    async def _mdm(self, message: PlainMessage, address: Address | None) -> bytes:
        try:
            async with self._admission:
                signer = signer_of(message.signature, message.body)
                body = await mdm.answer(self._services, message.content_type, signer, message.body)
        except (UserChannelRefused, InvalidRequest, NotFound) as error:
            # It was acted on, and told to webhooks: the application would do so once more.
            path = message.start.split()[1].decode()
            return _refusal(refused_with(error, path=path, address=str(address or "")))
        return _response(mdm.content_type_of(body) if body else "", body)

    async def _ca_capabilities(self, _message: PlainMessage, _address: Address | None) -> bytes:
        return _response(scep.CA_CAPABILITIES, self._services.ca.capabilities.encode())

    async def _ca_certificate(self, _message: PlainMessage, _address: Address | None) -> bytes:
        return _response(scep.CA_CERTIFICATE, self._services.ca.certificate_der)

    async def _pki_operation(self, message: PlainMessage, address: Address | None) -> bytes:
        self._admission.check()
        self._limit.count(address)  # what is handed over then counts twice
        async with self._admission:
            body = await self._services.ca.answer(message.body)
        return _response(scep.PKI_MESSAGE, body)


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
            response = await self._front.answer(message, self.address)
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


def _refusal(status: int) -> bytes:
    return _REFUSAL_HEAD % (status, HTTPStatus(status).phrase.encode(), _date(int(time.time())))


def _response(content_type: str, body: bytes) -> bytes:
    return _HEADS[content_type] % (_date(int(time.time())), len(body)) + body


# RFC 9110 section 6.6.1 wants the date.
_EMPTY_HEAD = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
_REFUSAL_HEAD = b"HTTP/1.1 %d %b\r\nDate: %b\r\nContent-Length: 0\r\n\r\n"
_HEADS = {
    kind: _EMPTY_HEAD.replace(b"\r\n\r\n", f"\r\nContent-Type: {kind}\r\n\r\n".encode())
    for kind in (mdm.XML, mdm.JSON, scep.CA_CAPABILITIES, scep.CA_CERTIFICATE, scep.PKI_MESSAGE)
} | {"": _EMPTY_HEAD}


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
