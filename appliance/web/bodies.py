"""Reading a body: never more than its limit, never longer than its deadline, never unpacked."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from appliance.errors import MalformedMessage, TooLarge
from appliance.web.keys import CONFIG

# What reading raises when the sender goes away, or breaks the framing of its own body.
_BROKEN_OFF = (ConnectionError, ClientError, HttpProcessingError, web.RequestPayloadError)


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        TooLarge: more than `limit` bytes; nothing beyond them is read.
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
        return content.read_nowait()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(request.app[CONFIG].limits.body_seconds):
            while chunk := await content.readany():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes")
                chunks.append(chunk)
    except TimeoutError as error:
        raise MalformedMessage("the body did not arrive in time") from error
    except _BROKEN_OFF as error:
        raise MalformedMessage("the body ended early") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
