"""The short way for nearly all of the traffic: a signed message of a device, a short answer.

A connection begins here, and stays while it brings plain signed messages, one at a time. With the
first thing that is anything else it becomes aiohttp's for good, with all that was received and not
answered: other requests and framings, and also what is refused, for the application refuses it
again and gives the reasons. So what is understood here may be little, and is never the last word.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import cast

from appliance.config import Config
from appliance.services import Services
from appliance.web import mdm
from appliance.web.identity import signer_of
from appliance.web.plain_message import PlainMessage, read_plain_message

_WHOLE_WITHIN_SECONDS = 1.0  # what takes longer to arrive is not plain


class Front:
    """Makes the protocol of each new connection, and ends those that are still its own."""

    def __init__(
        self,
        config: Config,
        services: Services,
        application: Callable[[], asyncio.Protocol],
        *,
        keepalive_seconds: float,
    ) -> None:
        """Take what makes aiohttp's protocol for one connection."""
        kib = min(config.limits.checkin_body_kib, config.limits.result_body_kib)
        self.longest = min(mdm.SHORT_BODY, kib * 1024)
        self.starts = frozenset(f"PUT {path} HTTP/1.1".encode() for path in mdm.paths(config))
        self.services = services
        self.application = application
        self.keepalive_seconds = keepalive_seconds
        self.connections: set[_Connection] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of one connection."""
        return _Connection(self)

    async def close(self, seconds: float) -> None:
        """End its connections, each after the answer that is under way or after `seconds`."""
        answers = [connection.finish() for connection in tuple(self.connections)]
        if waiting := [answer for answer in answers if answer is not None]:
            await asyncio.wait(waiting, timeout=seconds)


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _timer: asyncio.TimerHandle

    def __init__(self, front: Front) -> None:
        self._front = front
        self._loop = asyncio.get_running_loop()
        self._received = b""  # and not answered
        self._answering: asyncio.Task[None] | None = None
        self._is_last = False
        self._is_writing_paused = False
        self._active_at = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses
        self._front.connections.add(self)
        self._timer = self._loop.call_later(self._front.keepalive_seconds, self._end_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False

    def data_received(self, data: bytes) -> None:
        if self._answering is not None:
            self._received += data
            self._transport.pause_reading()  # or it could grow without end
            return
        if self._received:
            data = self._received + data
        else:
            self._active_at = self._loop.time()
        message = read_plain_message(data, self._front.starts, self._front.longest)
        if message is None or self._is_writing_paused:
            self._received = data
            self._hand_over()
        elif message.is_whole:
            self._received = data
            self._answering = self._loop.create_task(self._answer(message, len(data)))
        else:
            if not self._received:
                self._loop.call_later(_WHOLE_WITHIN_SECONDS, self._end_waiting)
            self._received = data

    def finish(self) -> asyncio.Task[None] | None:
        """Close after the answer that is under way, which is returned."""
        self._is_last = True
        if self._answering is None:
            self._transport.close()
        return self._answering

    async def _answer(self, message: PlainMessage, length: int) -> None:
        front = self._front
        try:
            signer = signer_of(message.signature, message.body)
            body = await mdm.answer(front.services, message.content_type, signer, message.body)
        except Exception:  # the application says what is wrong
            self._answering = None
            self._hand_over()
            return
        self._answering = None
        self._transport.write(_response(body))
        self._received = self._received[length:]
        if self._is_last:
            self._transport.close()
        elif self._received:
            self._hand_over()

    def _hand_over(self) -> None:
        self._leave()
        if self._transport.is_closing():
            return
        application = self._front.application()
        self._transport.set_protocol(application)
        application.connection_made(self._transport)
        if self._is_writing_paused:
            application.pause_writing()
        application.data_received(self._received)
        self._transport.resume_reading()

    def _leave(self) -> None:
        self._timer.cancel()
        self._front.connections.discard(self)

    def _end_waiting(self) -> None:
        if self in self._front.connections and self._answering is None and self._received:
            self._hand_over()

    def _end_if_silent(self) -> None:
        left = self._active_at + self._front.keepalive_seconds - self._loop.time()
        if self._answering is None and left <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(max(left, 1.0), self._end_if_silent)


def _response(body: bytes) -> bytes:
    head = (_HEAD if body else _EMPTY_HEAD) % (_date(int(time.time())), len(body))
    return head + body


# RFC 9110 section 6.6.1 wants the date.
_EMPTY_HEAD = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
_HEAD = _EMPTY_HEAD.replace(b"\r\n\r\n", f"\r\nContent-Type: {mdm.XML}\r\n\r\n".encode())


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
