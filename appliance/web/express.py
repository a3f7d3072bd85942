"""The short way for nearly all of the traffic: a signed message of a device, a short answer.

Router, middlewares and a response that anybody may still change cost a fifth of such a request.
Here it is answered before them; everything else goes on to the application, whose endpoint gives
the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from appliance.config import Config
from appliance.services import Services
from appliance.web import mdm
from appliance.web.admission import Admission
from appliance.web.bodies import arrived
from appliance.web.devices import device_endpoint
from appliance.web.identity import signer_of

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_SHORT_REPLY = 64 * 1024


def express(
    config: Config, services: Services, admission: Admission, application: Handler
) -> Handler:
    """Return the handler of all requests, which passes on to `application` what is not short."""
    paths = frozenset(mdm.paths(config))
    kib = min(config.limits.checkin_body_kib, config.limits.result_body_kib)
    longest = min(mdm.SHORT_BODY, kib * 1024)

    @device_endpoint
    async def message(request: web.BaseRequest) -> web.StreamResponse:
        body, headers = arrived(request.content), request.headers
        with admission:
            signer = signer_of(headers["Mdm-Signature"], body)
            content_type = headers.get("Content-Type", "")
            reply = await mdm.answer(services, content_type, signer, body)
        if len(reply) > _SHORT_REPLY:
            return mdm.reply(reply)
        return cast(web.StreamResponse, _Reply(reply))

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path in paths and _is_plain(request, longest):
            return await message(request)
        return await application(request)

    return handle


def _is_plain(request: web.BaseRequest, longest: int) -> bool:
    """Tell whether a signed message came in one piece, on a connection that will be kept."""
    headers, length = request.headers, request.content_length
    return (
        request.method == "PUT"
        and "Mdm-Signature" in headers
        and length is not None
        and length <= longest
        and request.content.is_eof()
        and request.keep_alive
        and request.version == HttpVersion11
        and "Content-Encoding" not in headers
        and "Expect" not in headers
    )


class _Reply:
    """What aiohttp asks of a response, for a short 200 whose head nobody changes any more."""

    __slots__ = ("_body", "_writer")

    keep_alive = True
    _writer: AbstractStreamWriter

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def prepare(self, request: web.BaseRequest) -> None:
        """Take the connection."""
        self._writer = request.writer

    async def write_eof(self) -> None:
        """Send head and body at once, then wait for a peer that reads slowly."""
        body = self._body
        head = (_HEAD if body else _EMPTY_HEAD) % (_date(int(time.time())), len(body))
        await self._writer.write(head + body)
        await self._writer.drain()


# RFC 9110 section 6.6.1 wants the date.
_EMPTY_HEAD = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
_HEAD = _EMPTY_HEAD.replace(b"\r\n\r\n", f"\r\nContent-Type: {mdm.XML}\r\n\r\n".encode())


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
