"""The end of the process: soon, whoever is connected."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.device.server import RunningServer

from .api_client import enroll

_CLIENTS = 30


async def _seconds_to_end(server: RunningServer, command: str) -> float:
    """Half a body, an idle connection, and a long wait; then SIGTERM."""
    writers = []

    async def open_(request: bytes) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls,
                                                       server_hostname="localhost")  # fmt: skip
        writer.write(request)
        await writer.drain()
        writers.append(writer)
        return reader

    for number in range(_CLIENTS):
        path, length = ("/mdm", 5000) if number % 2 else ("/checkin", 50)
        half = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n<plist"
        idle = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await open_((half if number % 3 else idle).encode())
    waiting = await open_(
        f"GET /api/v1/commands/{command}?wait=60 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n".encode()
    )
    await asyncio.sleep(0.5)
    assert not waiting.at_eof()
    began = time.monotonic()
    assert await asyncio.to_thread(server.stop) == 0, server.log_tail()
    seconds = time.monotonic() - began
    for writer in writers:
        writer.transport.abort()
    return seconds


def test_sigterm_ends_the_server_within_five_seconds(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    with closing(sqlite3.connect(server.data / "appliance.db")) as db, db:
        enroll(db, "D1", "Mac")

    def seconds() -> float:
        server.start()
        try:
            sent = server.cli("command", "send", "D1", "ProfileList", "--no-push")
            return asyncio.run(_seconds_to_end(server, sent.stdout.strip()))
        finally:
            server.stop()

    assert any(seconds() < 5 for _ in range(3)), server.log_tail()
    assert "Traceback" not in server.log_tail()
