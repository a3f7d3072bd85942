"""Reads server-sent events as a browser does (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One dispatched event."""

    event: str
    data: dict[str, Any]
    last_event_id: str


class EventStream:
    """One connection; `last_event_id` is what a browser would send when it comes back."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self.last_event_id = ""
        self.retry: int | None = None
        self.comments: list[str] = []

    async def next(self, *, seconds: float = _SECONDS) -> Heard | None:
        """The next event; None at the end of the stream."""
        async with asyncio.timeout(seconds):
            return await self._next()

    async def take(self, count: int, *, seconds: float = _SECONDS) -> list[Heard]:
        """So many events; less if the stream ends."""
        heard: list[Heard] = []
        async with asyncio.timeout(seconds):
            while len(heard) < count and (event := await self._next()) is not None:
                heard.append(event)
        return heard

    async def opened(self) -> None:
        """Wait until the server listens for us: its first block has no event."""
        async with asyncio.timeout(_SECONDS):
            while await self._line():
                pass

    async def _next(self) -> Heard | None:
        event, data = "message", ""
        while True:
            line = await self._line()
            if line is None:
                return None
            name, _, value = line.partition(": ")
            match name:
                case "event":
                    event = value
                case "data":
                    data += value
                case "" if data:
                    return Heard(
                        event=event, data=json.loads(data), last_event_id=self.last_event_id
                    )

    async def _line(self) -> str | None:
        raw = await self._content.readline()
        if not raw:
            return None
        line = raw.decode().rstrip("\n")
        name, _, value = line.partition(": ")
        if name == "id":
            self.last_event_id = value
        elif name == "retry":
            self.retry = int(value)
        elif line.startswith(":"):
            self.comments.append(value)
        return line


@asynccontextmanager
async def listen(
    session: aiohttp.ClientSession,
    url: str,
    token: str | None,
    *,
    last_event_id: str | None = None,
    cookie: str | None = None,
) -> AsyncIterator[EventStream]:
    """Listen at `url` with a token or a cookie; the server is ready when the body begins."""
    headers = {"Accept": "text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if cookie is not None:
        headers["Cookie"] = cookie
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(url, headers=headers, timeout=timeout) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        assert "Content-Encoding" not in response.headers
        stream = EventStream(response.content)
        await stream.opened()
        yield stream
