"""A receiver of webhooks on loopback, in threads of its own; as bad as it is told to be."""

from __future__ import annotations

import base64
import json
import plistlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import pytest

Behaviour: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The event."""
        return json.loads(self.body)

    @property
    def about(self) -> Any:
        """What the event says of the device's message."""
        return self.json.get("acknowledge_event") or self.json.get("checkin_event")

    @property
    def payload(self) -> bytes:
        """The device's message."""
        return base64.b64decode(self.about["raw_payload"], validate=True)

    @property
    def message(self) -> Any:
        """The device's message, read."""
        return plistlib.loads(self.payload)


class Receiver:
    """What was posted to it, in order; `behave` answers, 200 unless told otherwise."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.behave: Behaviour = answer(200)
        self.stopped = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(
                    Received(path=self.path, headers=dict(self.headers), body=body)
                )
                with suppress(OSError):  # the sender has had enough
                    receiver.behave(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Speak HTTPS; a handshake that fails is the sender's affair."""
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://localhost:{self.port}/hook"

    @property
    def topics(self) -> list[str]:
        """Those of the events, in order."""
        return [one.json["topic"] for one in self.received]

    def wait_for(self, count: int, *, seconds: float = 30) -> list[Received]:
        """Wait until so many events have come."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, self.topics
            time.sleep(0.02)
        return self.received

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(port: int = 0, *, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver for as long as the block takes."""
    receiver = Receiver(port)
    if tls is not None:
        receiver.use_tls(tls)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def answer(status: int, **headers: str) -> Behaviour:
    """Answer with a status and nothing more."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return behave


def close(handler: BaseHTTPRequestHandler) -> None:
    """Hang up without an answer."""
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Take the request and say nothing for a minute."""
    time.sleep(60)
    handler.close_connection = True


def drip_head(handler: BaseHTTPRequestHandler) -> None:
    """Answer a byte a second."""
    _drip(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    """Answer at once, and send the body a byte a second."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
    _drip(handler, b"x" * 60)


def _drip(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.close_connection = True
    for byte in content:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(1)


class Huge:
    """Answers with a gigabyte; `sent` is how much of it was taken."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        piece = b"x" * 65536
        for _ in range(1 << 14):
            handler.wfile.write(piece)
            self.sent += len(piece)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that is well, until it is told to be bad."""
    with receiving() as receiver:
        yield receiver
