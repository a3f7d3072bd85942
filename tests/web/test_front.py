"""The front of the listeners keeps a connection only while it is used as devices use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.app import Parts
from appliance.web.front import Front

HEAD = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nMdm-Signature: AAAA\r\nContent-Length: 5\r\n\r\n"
SECONDS = 5


class Application(asyncio.Protocol):
    """Answers all that it is given with the same bytes, and is never silent long."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"handed over: " + data)


@asynccontextmanager
async def listening(parts: Parts, *, keepalive: float = 60) -> AsyncIterator[tuple[Front, int]]:
    front = Front(parts.config, parts.services, Application, keepalive_seconds=keepalive)
    listener = await asyncio.get_running_loop().create_server(front, "127.0.0.1", 0)
    try:
        yield front, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def test_a_silent_connection_is_closed(parts: Parts) -> None:
    async with listening(parts, keepalive=0.1) as (_, port), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", HEAD[:30], HEAD + b"1234", HEAD + b"12345",
     HEAD + b"123456"],
)  # fmt: skip
async def test_what_is_not_plain_or_not_right_is_handed_over_whole(
    parts: Parts, data: bytes
) -> None:
    async with listening(parts) as (_, port), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        expected = b"handed over: " + data
        assert await reader.readexactly(len(expected)) == expected
        writer.close()


async def test_a_waiting_connection_is_closed_when_the_server_stops(parts: Parts) -> None:
    async with listening(parts) as (front, port), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not front.connections:
            await asyncio.sleep(0.01)
        await front.close(1)
        assert await reader.read() == b""
        writer.close()
