"""One HTTP/2 connection to APNs: aioapns' protocol, with its answers to bad days replaced.

Line numbers are those of aioapns 4.0's `connection.py`; each comment names the fault there.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aioapns import NotificationRequest
from aioapns.connection import APNsTLSClientProtocol
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from appliance.apns.http2 import MAX_IN_FLIGHT, PushH2Connection
from appliance.apns.outcome import Answer, StreamLost

MAX_PAYLOAD_BYTES = 4096  # of a push, says Apple; nor is any error body longer

# HTTP/2 numbers streams up to 2**31 - 1 and never again; go while some are left.
_LAST_STREAM_ID = 2**31 - 1000

_PING_AFTER_SECONDS = 3600  # Apple: at most hourly
_PING_TIMEOUT_SECONDS = 30


@dataclass(slots=True, kw_only=True)
class _Exchange:
    answer: asyncio.Future[Answer | StreamLost]
    reads_before: int
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class PushConnection(APNsTLSClientProtocol):
    """One connection; `lost` says why it ended.

    `on_freed` is called when a stream ended, `on_change` when the connection got wider,
    drains or is lost.
    """

    # 4.0 closes after 10 s without traffic (:149); Apple asks for long-lived connections.
    INACTIVITY_TIME = _PING_AFTER_SECONDS

    def __init__(
        self,
        authority: str,
        on_freed: Callable[[], None],
        on_change: Callable[[PushConnection], None],
    ) -> None:
        super().__init__(apns_topic="", loop=asyncio.get_running_loop())
        self._authority = authority
        self._on_freed = on_freed
        self._on_change = on_change
        self.conn = PushH2Connection()
        # 4.0 adds to `request_streams` with each success and never removes (:216): this is
        # emptied by whoever awaits the answer, however the wait ends.
        self._exchanges: dict[int, _Exchange] = {}
        self._flush_scheduled = False
        self._draining: str | None = None
        self.settled = asyncio.Event()  # set with the first SETTINGS, or when lost before
        self.closed = asyncio.Event()
        self.lost: str | None = None
        self.lost_error: Exception | None = None
        self.reads = 0  # how often anything arrived: a clock would be too coarse to compare
        self.answered = 0
        self._window_used_up = False

    @property
    def has_room(self) -> bool:
        """Whether `request` may be called now: neither limit of the server is reached."""
        return (
            self.usable
            and len(self._exchanges)
            < min(MAX_IN_FLIGHT, self.conn.remote_settings.max_concurrent_streams)
            and self.conn.outbound_flow_control_window >= MAX_PAYLOAD_BYTES
        )

    @property
    def usable(self) -> bool:
        """Whether new requests may be sent on it, now or when there is room again."""
        return self.lost is None and self._draining is None and self.settled.is_set()

    @property
    def fruitless(self) -> bool:
        """Whether requests were sent and not one was answered."""
        return self.answered == 0 and self.conn.highest_outbound_stream_id > 0

    async def request(self, request: NotificationRequest) -> Answer | StreamLost:
        """Send one push and return the answer to it. Call only while `has_room`.

        There is no timeout here: a caller that is cancelled resets its stream and no other
        (4.0: an InvalidStateError that hangs all others, :251).
        """
        try:
            stream_id = self._send(request)
        except ProtocolError as error:
            self.abort(f"cannot send: {error}")
            return StreamLost(reason=f"cannot send: {error}", resend=False)
        exchange = self._exchanges[stream_id]
        try:
            return await exchange.answer
        finally:
            del self._exchanges[stream_id]
            if not exchange.answer.done() or exchange.answer.cancelled():
                self._reset(stream_id)
            self._close_if_drained()
            self._on_freed()

    def abort(self, reason: str) -> None:
        """Give the connection up at once; what is in flight is lost."""
        self._lose(reason, resend=False)
        if self.transport is not None:
            self.transport.abort()

    def drain(self, reason: str) -> None:
        """Send nothing more, and close once the last answer is in."""
        self._draining = self._draining or reason
        self._close_if_drained()
        self._on_change(self)

    def _close_if_drained(self) -> None:
        if self._draining is not None and not self._exchanges:
            self.flush()
            self.close()

    def _send(self, request: NotificationRequest) -> int:
        stream_id = self.conn.get_next_available_stream_id()
        body = json.dumps(request.message).encode()
        self.conn.send_headers(stream_id, self._headers(request))
        self.conn.send_data(stream_id, body, end_stream=True)
        self._exchanges[stream_id] = _Exchange(
            answer=self.loop.create_future(), reads_before=self.reads
        )
        self._window_used_up = self.conn.outbound_flow_control_window < MAX_PAYLOAD_BYTES
        self._flush_soon()
        if stream_id > _LAST_STREAM_ID:
            self.drain("stream identifiers used up")
        return stream_id

    def _headers(self, request: NotificationRequest) -> list[HeaderTuple]:
        """What differs per push is never indexed: it would only push the rest out of the table."""
        headers = [
            HeaderTuple(b":method", b"POST"),
            HeaderTuple(b":scheme", b"https"),
            HeaderTuple(b":authority", self._authority.encode()),
            NeverIndexedHeaderTuple(b":path", f"/3/device/{request.device_token}".encode()),
            HeaderTuple(b"content-type", b"application/json"),
            NeverIndexedHeaderTuple(b"apns-id", request.notification_id.encode()),
        ]
        if request.apns_topic is not None:
            headers.append(HeaderTuple(b"apns-topic", request.apns_topic.encode()))
        if request.push_type is not None:
            headers.append(HeaderTuple(b"apns-push-type", request.push_type.value.encode()))
        if request.priority is not None:
            headers.append(HeaderTuple(b"apns-priority", str(request.priority).encode()))
        if request.time_to_live is not None:
            # 0 has a meaning of its own: try once, do not store.
            expires_at = int(time.time()) + request.time_to_live if request.time_to_live else 0
            headers.append(NeverIndexedHeaderTuple(b"apns-expiration", str(expires_at).encode()))
        return headers

    def _reset(self, stream_id: int) -> None:
        if self.lost is not None:
            return
        try:
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
        except StreamClosedError:
            return
        self._flush_soon()

    def _flush_soon(self) -> None:
        """One write for all that is sent in one turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what h2 has ready; unlike 4.0 never to a transport that is gone."""
        self._flush_scheduled = False
        data = self.conn.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Feed h2; a server that breaks the protocol costs the connection, not the process."""
        self.reads += 1
        try:
            for event in self.conn.receive_data(data):
                self._on_event(event)
        except (ProtocolError, ValueError) as error:
            self.flush()
            self.abort(f"HTTP/2 protocol error: {error}")
            return
        self.flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._on_response(event.stream_id, event.headers)
            case DataReceived():
                self._on_data(event.stream_id, event.data, event.flow_controlled_length)
            case StreamEnded():
                self._on_end(event.stream_id)
            case StreamReset():
                self._on_reset(event.stream_id, event.error_code)
            case ConnectionTerminated():
                self._on_goaway(event.last_stream_id or 0, event.additional_data or b"")
            case RemoteSettingsChanged():
                self.settled.set()
                self._on_change(self)
            case WindowUpdated() if self._window_used_up:
                self._window_used_up = False
                self._on_change(self)
            case _:
                pass  # acknowledgements and extensions need no action

    def _on_response(self, stream_id: int, headers: list[tuple[bytes, bytes]] | None) -> None:
        # Found by stream: 4.0 goes by apns-id and hangs when it is missing (:283).
        exchange = self._exchanges.get(stream_id)
        if exchange is not None:
            exchange.headers = {bytes(name): bytes(value) for name, value in headers or ()}
            exchange.status = int(exchange.headers[b":status"])

    def _on_data(self, stream_id: int, data: bytes, flow_controlled_length: int) -> None:
        # 4.0 never does this (:100): after 1,213 error replies the window is used up for good.
        self.conn.acknowledge_received_data(flow_controlled_length, stream_id)
        exchange = self._exchanges.get(stream_id)
        # Collected until the end: 4.0 parses each frame as a whole document (:271).
        if exchange is not None and len(exchange.body) + len(data) <= MAX_PAYLOAD_BYTES:
            exchange.body += data

    def _on_end(self, stream_id: int) -> None:
        # The end of the stream is the answer: 4.0 waits for a body that may never come (:268).
        exchange = self._exchanges.get(stream_id)
        if exchange is not None and not exchange.answer.done():
            self.answered += 1
            exchange.answer.set_result(
                Answer(status=exchange.status, headers=exchange.headers, body=bytes(exchange.body))
            )

    def _on_reset(self, stream_id: int, error_code: int | None) -> None:
        # 4.0 logs "Unknown event" and never answers the caller (:117).
        exchange = self._exchanges.get(stream_id)
        if exchange is not None and not exchange.answer.done():
            refused = error_code == ErrorCodes.REFUSED_STREAM  # RFC 9113: not processed at all
            reason = f"stream reset by APNs, error code {int(error_code or 0)}"
            exchange.answer.set_result(StreamLost(reason=reason, resend=refused))

    def _on_goaway(self, last_stream_id: int, debug_data: bytes) -> None:
        # 4.0 closes at once and loses what APNs is about to answer (:298).
        reason = f"GOAWAY {debug_data[:100].decode(errors='replace')}".rstrip()
        for stream_id, exchange in self._exchanges.items():
            if stream_id > last_stream_id and not exchange.answer.done():
                exchange.answer.set_result(StreamLost(reason=reason, resend=True))
        self.drain(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everyone who waits; 4.0 sets a result on cancelled callers as well (:251)."""
        if self.inactivity_timer is not None:
            self.inactivity_timer.cancel()
        self.lost_error = exc
        if self.lost is None:
            reason = self._draining or (f"connection lost: {exc}" if exc else "closed by APNs")
            # A connection that served before and said nothing since was dead before we
            # wrote: the usual fate of an idle one behind a firewall.
            self._lose(reason, resend=self.answered > 0)
        self.closed.set()

    def _lose(self, reason: str, *, resend: bool) -> None:
        self.lost = self.lost or reason
        for exchange in self._exchanges.values():
            if not exchange.answer.done():
                stale = self.reads == exchange.reads_before
                exchange.answer.set_result(StreamLost(reason=reason, resend=resend and stale))
        self.settled.set()
        self._on_change(self)

    def refresh_inactivity_timer(self) -> None:
        """Arm the PING; called by 4.0 when the connection is made, then by each PING."""
        self.inactivity_timer = self.loop.call_later(self.INACTIVITY_TIME, self._ping, self.reads)

    def _ping(self, reads_before: int) -> None:
        if self.lost is None:
            self.refresh_inactivity_timer()
            if self.reads == reads_before:
                self.conn.ping(os.urandom(8))
                self.flush()
                self.loop.call_later(_PING_TIMEOUT_SECONDS, self._check_ping, self.reads)

    def _check_ping(self, reads_before: int) -> None:
        if self.lost is None and self.reads == reads_before:
            self.abort("no answer to PING")
