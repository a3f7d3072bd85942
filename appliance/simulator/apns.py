"""An APNs on loopback: HTTP/2, client certificate checked, every bad day on demand."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from appliance.simulator.apns_certificates import TOPIC

_PATH = re.compile(r"/3/device/((?:[0-9a-f]{2})+)")
_MOST_PUSHES_KEPT = 100_000


class Fault(StrEnum):
    """What happens to a push instead of an answer."""

    RESET = "reset"  # RST_STREAM INTERNAL_ERROR
    REFUSED_STREAM = "refused-stream"  # RST_STREAM REFUSED_STREAM
    GOAWAY = "goaway"  # GOAWAY that includes this push, then its answer
    GOAWAY_ABRUPT = "goaway-abrupt"  # GOAWAY that excludes this push, then the end
    SILENCE = "silence"
    DROP = "drop"  # the connection is reset


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsAnswer:
    """One scripted answer; the default is what Apple says to a good push."""

    status: int = 200
    reason: str | None = None
    timestamp_ms: int | None = None
    retry_after: str | None = None
    split_body: bool = False
    with_apns_id: bool = True
    delay_seconds: float = 0
    fault: Fault | None = None

    def body(self) -> bytes:
        """The JSON body, empty if there is no reason to tell."""
        if self.reason is None:
            return b""
        document: dict[str, object] = {"reason": self.reason}
        if self.timestamp_ms is not None:
            document["timestamp"] = self.timestamp_ms
        return json.dumps(document).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedPush:
    """One push as it arrived, good or not."""

    connection: int
    token: bytes
    push_magic: str
    headers: dict[str, str]


@dataclass(slots=True)
class _Request:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class ApnsServer:
    """Listens on loopback and answers by script, else as Apple does to a good push."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        max_concurrent_streams: int = 1000,
        settings_delay_seconds: float = 0,
        pushes_kept: int = _MOST_PUSHES_KEPT,
    ) -> None:
        self.tls = tls
        self.max_concurrent_streams = max_concurrent_streams
        self.settings_delay_seconds = settings_delay_seconds
        self.shutting_down = False  # a GOAWAY right after the first SETTINGS
        self.default = ApnsAnswer()
        self.on_push: Callable[[ReceivedPush], ApnsAnswer | None] | None = None  # delivers it
        self.pushes: deque[ReceivedPush] = deque(maxlen=pushes_kept)
        self.push_count = 0
        self.connection_count = 0
        self.most_in_flight = 0
        self.connections: set[_Connection] = set()
        self.port = 0
        self._scripts: defaultdict[bytes, deque[ApnsAnswer]] = defaultdict(deque)
        self._listener: asyncio.Server | None = None
        self.nobody = asyncio.Event()  # set while there is no connection
        self.nobody.set()

    def script(self, token: bytes, *answers: ApnsAnswer) -> None:
        """Answer the next pushes to `token` in this order, then by default again."""
        self._scripts[token].extend(answers)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 takes a free one, `port` then says which."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Connection(self), host, port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Vanish: stop listening and reset all connections."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.drop()
        async with asyncio.timeout(5):
            await self.nobody.wait()

    def answer_to(self, push: ReceivedPush) -> ApnsAnswer:
        """Record the push; answer by script, else deliver it: its device may be gone."""
        self.pushes.append(push)
        self.push_count += 1
        script = self._scripts.get(push.token)
        answer = script.popleft() if script else self.default
        if answer.status == 200 and answer.fault is None and self.on_push is not None:
            return self.on_push(push) or answer
        return answer


class _H2Connection(H2Connection):
    """h2 looks at all open streams whenever one opens; a benchmark needs it less often."""

    @property
    def open_inbound_streams(self) -> int:
        streams = len(self.streams)
        if streams < self.local_settings.max_concurrent_streams:
            return streams
        return super().open_inbound_streams


class _Connection(asyncio.Protocol):
    """TLS done by hand: asyncio's never sends the alert that refuses a client certificate."""

    def __init__(self, server: ApnsServer) -> None:
        self._server = server
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = server.tls.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._handshaken = False
        self._begun = False
        self._early = bytearray()
        self._h2 = _H2Connection(
            H2Configuration(
                client_side=False, header_encoding="utf-8", validate_outbound_headers=False
            )
        )
        self._requests: dict[int, _Request] = {}
        self._unanswered: set[int] = set()
        self._topic: str | None = None
        self._loop = asyncio.get_running_loop()
        server.connection_count += 1
        self._number = server.connection_count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._server.connections.add(self)
        self._server.nobody.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if not self._server.connections:
            self._server.nobody.set()

    def drop(self) -> None:
        """Reset the TCP connection."""
        self._transport.abort()

    def pause(self) -> None:
        """Read nothing any more, as if a firewall had forgotten us."""
        self._transport.pause_reading()

    def ping(self) -> None:
        """Ask whether the other end is there."""
        self._h2.ping(bytes(8))
        self._flush()

    def goaway(self, last_stream_id: int, reason: str = "Shutdown") -> None:
        """Announce the end; h2's own way would forbid to answer what is in flight."""
        self._flush()
        data = json.dumps({"reason": reason}).encode()
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, additional_data=data)
        self._write(frame.serialize())

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if not self._handshaken:
                self._handshake()
            while plain := self._tls.read(65536):
                self._plain_received(plain)
            self._transport.close()  # the client said goodbye
        except ssl.SSLWantReadError:
            self._send_tls()
        except (ssl.SSLError, ProtocolError):
            self._send_tls()  # the alert
            self._transport.close()

    def _handshake(self) -> None:
        self._tls.do_handshake()
        self._handshaken = True
        certificate = self._tls.getpeercert() or {}
        names = dict(pair[0] for pair in certificate.get("subject", ()))  # type: ignore[misc]
        self._topic = names.get("userId")
        if self._tls.selected_alpn_protocol() != "h2":
            self._transport.close()
        self._loop.call_later(self._server.settings_delay_seconds, self._begin)

    def _begin(self) -> None:
        self._begun = True
        limit = self._server.max_concurrent_streams
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: limit}
        )
        self._h2.initiate_connection()
        if self._server.shutting_down:
            self.goaway(0)
        self._plain_received(b"")

    def _plain_received(self, data: bytes) -> None:
        self._early += data
        if not self._begun:
            return
        data = bytes(self._early)
        self._early.clear()
        for event in self._h2.receive_data(data):
            self._on_event(event)
        self._flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case RequestReceived():
                stream_id = event.stream_id
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self._requests[stream_id] = _Request(headers)
                self._unanswered.add(stream_id)
                in_flight = len(self._unanswered)
                self._server.most_in_flight = max(self._server.most_in_flight, in_flight)
            case DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._requests[event.stream_id].body += event.data
            case StreamEnded():
                self._on_request(event.stream_id, self._requests.pop(event.stream_id))
            case StreamReset():
                self._unanswered.discard(event.stream_id)
            case _:
                pass

    def _on_request(self, stream_id: int, request: _Request) -> None:
        refusal, push = self._read(request)
        answer = refusal or self._server.answer_to(push)
        if answer.delay_seconds:
            self._loop.call_later(answer.delay_seconds, self._answer_late, stream_id, push, answer)
        else:
            self._answer(stream_id, push, answer)

    def _read(self, request: _Request) -> tuple[ApnsAnswer | None, ReceivedPush]:
        """Return the push and, if Apple would not take it, what Apple would answer."""
        headers = request.headers
        path = _PATH.fullmatch(headers[":path"])
        magic = _push_magic(bytes(request.body))
        push = ReceivedPush(
            connection=self._number,
            token=bytes.fromhex(path[1]) if path else b"",
            push_magic=magic or "",
            headers=headers,
        )
        faults = (
            (headers[":method"] != "POST", 405, "MethodNotAllowed"),
            (path is None, 404, "BadPath"),
            ("apns-topic" not in headers, 400, "MissingTopic"),
            (headers.get("apns-topic") != (self._topic or TOPIC), 400, "TopicDisallowed"),
            (headers.get("apns-push-type") != "mdm", 400, "InvalidPushType"),
            (len(request.body) > 4096, 413, "PayloadTooLarge"),
            (magic is None, 400, "PayloadEmpty"),
        )
        for wrong, status, reason in faults:
            if wrong:
                return ApnsAnswer(status=status, reason=reason), push
        return None, push

    def _answer_late(self, stream_id: int, push: ReceivedPush, answer: ApnsAnswer) -> None:
        self._answer(stream_id, push, answer)
        self._flush()

    def _answer(self, stream_id: int, push: ReceivedPush, answer: ApnsAnswer) -> None:
        match answer.fault:
            case Fault.SILENCE:
                return
            case Fault.DROP:
                return self.drop()
            case Fault.RESET:
                self._unanswered.discard(stream_id)
                self._h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
            case Fault.REFUSED_STREAM:
                self._unanswered.discard(stream_id)
                self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            case Fault.GOAWAY_ABRUPT:
                self.goaway(stream_id - 2)
                self._transport.close()
            case Fault.GOAWAY:
                self.goaway(stream_id)
                late = dataclasses.replace(answer, fault=None)
                self._loop.call_later(0.05, self._answer_late, stream_id, push, late)
            case None:
                self._respond(stream_id, push, answer)

    def _respond(self, stream_id: int, push: ReceivedPush, answer: ApnsAnswer) -> None:
        headers = [(":status", str(answer.status))]
        if answer.with_apns_id:
            headers.append(("apns-id", push.headers.get("apns-id", "")))
        if answer.retry_after is not None:
            headers.append(("retry-after", answer.retry_after))
        body = answer.body()
        try:
            self._h2.send_headers(stream_id, headers, end_stream=not body)
            if body and answer.split_body:
                self._h2.send_data(stream_id, body[:5])
                body = body[5:]
            if body:
                self._h2.send_data(stream_id, body, end_stream=True)
        except ProtocolError:
            return  # the client reset the stream, or is gone
        self._unanswered.discard(stream_id)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._tls.write(data)
            self._send_tls()

    def _send_tls(self) -> None:
        data = self._outgoing.read()
        if data:
            self._transport.write(data)


def _push_magic(body: bytes) -> str | None:
    """Return the push magic of a body that is exactly `{"mdm": "…"}`."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    match document:
        case {"mdm": str(magic), **rest} if not rest:
            return magic
        case _:
            return None
