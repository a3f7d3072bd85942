"""Reading a body: never more than its limit, never longer than its deadline, never unpacked."""

from __future__ import annotations

import asyncio
import re

from aiohttp import ClientError, HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from appliance.errors import Busy, MalformedMessage, TooLarge
from appliance.web.errors import Handler
from appliance.web.keys import CONFIG

# What reading raises when the sender goes away, or breaks the framing of its own body.
_BROKEN_OFF = (ConnectionError, ClientError, HttpProcessingError, web.RequestPayloadError)
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")  # RFC 9110 section 7.2
_LONGEST_TYPE = 256
_HELD = web.RequestKey("bytes_held", int)


class Bodies:
    """The memory that all the bodies take together, until their requests are answered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def hold(self, request: web.Request, size: int) -> None:
        """Count what has arrived.

        Raises:
            Busy: there is no room for it; none of this body may be kept.
        """
        if self._held + size > self._most:
            raise Busy("too many long messages at the same time")
        self._held += size
        request[_HELD] = request.get(_HELD, 0) + size

    def release(self, request: web.Request) -> None:
        """Count it no more."""
        self._held -= request.get(_HELD, 0)


BODIES = web.AppKey("bodies", Bodies)


async def expectation(request: web.Request) -> None:
    """Invite the body that `Expect: 100-continue` announces, unless it is larger than any."""
    if request.version < HttpVersion11:
        return
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    most = request.app[CONFIG].limits.result_body_kib * 1024
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=0)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # as aiohttp's own does: the answer has not begun


@web.middleware
async def bodies_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let go of what the body took, once the request is answered."""
    if not request.raw_path.startswith("/"):  # a proxy's form, which names another host
        raise web.HTTPBadRequest
    if _is_odd(request):
        refusal = web.Response(status=400, text="this is not a request that HTTP allows\n")
        refusal.force_close()
        return refusal
    try:
        return await handler(request)
    finally:
        request.app[BODIES].release(request)


def _is_odd(request: web.Request) -> bool:
    if request.version not in (HttpVersion10, HttpVersion11):  # aiohttp takes 0.9 and 2.0, too
        return True
    if request.version < HttpVersion11 and "Transfer-Encoding" in request.headers:
        # RFC 9112 section 6.1: whoever came before us may not have understood where it ends.
        return True
    # aiohttp reads it as e-mail does, with comments: 60 KB of semicolons took a minute and a half.
    kind = request.headers.get("Content-Type", "")
    if len(kind) > _LONGEST_TYPE or "(" in kind:
        return True
    # What is no name is no host either; pages show it, and some of it cannot be written.
    return _HOST.fullmatch(request.headers.get("Host", "")) is None


def media_type(request: web.Request) -> str:
    """Return what the body is said to be, in lower case and without parameters."""
    return kind_of(request.headers.get("Content-Type", ""))


def kind_of(content_type: str) -> str:
    """Return a content type in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


# What a form with files makes aiohttp raise: too slow, no form, an unknown charset or encoding.
BROKEN_FORM = (TimeoutError, ValueError, LookupError, RuntimeError)


def arrived(content: StreamReader) -> bytes:
    """Return a body of which all is there.

    Raises:
        MalformedMessage: its sender went away before anybody looked at it.
    """
    try:
        return content.read_nowait()
    except _BROKEN_OFF as error:
        raise MalformedMessage("the sender went away") from error


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        TooLarge: more than `limit` bytes; nothing beyond them is read.
        Busy: all the bodies together take too much memory.
        MalformedMessage: it took too long, or ended before its announced length.
        HTTPUnsupportedMediaType: it is compressed.
    """
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType
    announced = request.content_length
    if announced is not None and announced > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    content = request.content
    if content.is_eof() and announced is not None:  # the whole of it came with the header
        return arrived(content)
    bodies = request.app[BODIES]
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(request.app[CONFIG].limits.body_seconds):
            while chunk := await content.readany():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes")
                bodies.hold(request, len(chunk))
                chunks.append(chunk)
    except TimeoutError as error:
        raise MalformedMessage("the body did not arrive in time") from error
    except _BROKEN_OFF as error:
        raise MalformedMessage("the body ended early") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
