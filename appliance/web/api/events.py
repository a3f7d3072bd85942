"""`/api/v1/events`: what happens, as it happens, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from typing import TypeAlias

from aiohttp import web

from appliance.errors import (
    Busy,
    InvalidRequest,
    NotAuthenticated,
    NotAuthorized,
    ScopeMissing,
    TooMany,
)
from appliance.services.live import Filter, Message, Subscription
from appliance.web.api.operation import (
    Operation,
    caller_of,
    query_of,
    services_of,
)
from appliance.web.api.schema import EventsQuery
from appliance.web.authentication import GATE
from appliance.web.cookies import LIVE_STREAM

_RETRY_MS = 2_000
_PING_SECONDS = 15.0
_LOOK_SECONDS = 1.0  # a client that has gone, frees its place this soon
_ADMITTED_SECONDS = 30.0
_WRITE_SECONDS = 10.0
_LONGEST_ID = 18  # digits: fits the store's integers

_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would keep the events until its buffer is full
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_Stream: TypeAlias = web.StreamResponse


async def stream(request: web.Request) -> web.StreamResponse:
    """The live stream; it ends when the server stops or the caller is let in no more."""
    query = query_of(request, EventsQuery)
    device = None
    if query.device:
        device = (await services_of(request).devices.details(query.device)).device.id
    groups = frozenset((query.types or "").replace(",", " ").split()) or None
    listening = services_of(request).live.subscribe(
        caller_of(request).name, Filter(groups=groups, device=device), after=_after(request, query)
    )
    async with listening as subscription:
        response = web.StreamResponse(headers=_HEADERS)
        response.content_type = "text/event-stream"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            await _send(request, response, subscription)
        except (ConnectionError, TimeoutError):  # gone, or too slow: it comes back by replay
            response.force_close()
        return response


async def _send(request: web.Request, response: _Stream, subscription: Subscription) -> None:
    first = f"retry: {_RETRY_MS}\nid: {subscription.start}\n\n"
    if subscription.was_reset:
        first += "event: reset\ndata: {}\n\n"
    await _write(response, first.encode())
    written = admitted = time.monotonic()
    while (messages := await subscription.take(_LOOK_SECONDS)) is not None:
        now = time.monotonic()
        if request.transport is None or request.transport.is_closing():
            return
        if subscription.is_doubted or now - admitted >= _ADMITTED_SECONDS:
            if not await _is_admitted(request, subscription):
                return
            admitted = now
        if messages or now - written >= _PING_SECONDS:
            await _write(response, b"".join(map(_event, messages)) or b": ping\n\n")
            written = now


async def _write(response: _Stream, text: bytes) -> None:
    async with asyncio.timeout(_WRITE_SECONDS):
        await response.write(text)


def _event(message: Message) -> bytes:
    head = f"event: {message.group}\ndata: ".encode()
    if message.id is not None:
        head = b"id: %d\n%b" % (message.id, head)
    return head + message.data + b"\n\n"


async def _is_admitted(request: web.Request, subscription: Subscription) -> bool:
    doubted, subscription.is_doubted = subscription.is_doubted, False
    try:
        await request.app[GATE].require(request, "read")
    except (NotAuthenticated, NotAuthorized, ScopeMissing):
        return False
    except TooMany:  # which is said to those alone who are let in
        pass
    except Busy:  # says nothing of the caller's rights; whoever has them comes back
        return not doubted
    return True


def _after(request: web.Request, query: EventsQuery) -> int | None:
    """Return the last id that the client has; the header is the browser's own, so it goes first."""
    header = request.headers.get("Last-Event-ID", "").strip()
    if not header:
        return query.last_event_id
    if not header.isdecimal() or not header.isascii() or len(header) > _LONGEST_ID:
        raise InvalidRequest("Last-Event-ID is not one of ours", pointer="Last-Event-ID")
    return int(header)


operations = (
    Operation(
        method="GET", path=LIVE_STREAM, handler=stream, query=EventsQuery, answer=bytes,
        summary="Listen to what happens (server-sent events; `Last-Event-ID` replays)",
        content_type="text/event-stream",
    ),
)  # fmt: skip
