"""The front of the listeners keeps a connection only while it is used as devices use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from appliance.app import Parts
from appliance.web.admission import Admission
from appliance.web.connections import Connections
from appliance.web.front import Front
from appliance.web.plain_message import read_plain_message
from appliance.web.scep import ScepLimit

HEAD = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nMdm-Signature: AAAA\r\nContent-Length: 5\r\n\r\n"
SECONDS = 60


async def application(request: web.BaseRequest) -> web.Response:
    return web.Response(body=b"handed over: " + await request.read())


@asynccontextmanager
async def connected(
    parts: Parts, handler: Callable[[web.BaseRequest], Awaitable[web.Response]] = application
) -> AsyncIterator[tuple[Connections, asyncio.StreamReader, asyncio.StreamWriter]]:
    server = web.Server(handler)
    make = Front(
        parts.config, parts.services, Admission(1), ScepLimit(parts.config.limits)
    ).connection
    connections = Connections(parts.config, 10, make=make)
    listener = await asyncio.get_running_loop().create_server(
        lambda: connections.open(server, None), "127.0.0.1", 0
    )
    try:
        async with asyncio.timeout(SECONDS):
            port = listener.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not connections:
                await asyncio.sleep(0.01)
            yield connections, reader, writer
            writer.close()
            await writer.wait_closed()
    finally:
        listener.close()
        await connections.finish()
        await server.shutdown(1)


async def test_a_connection_without_a_request_is_closed(parts: Parts) -> None:
    config = replace(parts.config, limits=replace(parts.config.limits, body_seconds=1))
    async with connected(replace(parts, config=config)) as (connections, reader, _):
        assert await reader.read() == b""
        assert not len(connections)


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], b""),
        ([HEAD + b"12345"], b"12345"),  # what is not signed by anybody
        ([HEAD[:30], HEAD[30:] + b"12345"], b"12345"),
        ([HEAD, b"12345"], b"12345"),
        ([HEAD + b"12345" + HEAD + b"12345"], b"12345"),
        ([HEAD + b"12345", HEAD + b"12345"], b"12345"),
    ],
)
async def test_what_is_not_plain_or_not_right_is_handed_over_whole(
    parts: Parts, pieces: list[bytes], body: bytes
) -> None:
    async with connected(parts) as (connections, reader, writer):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        answers = max(1, b"".join(pieces).count(HEAD))
        for _ in range(answers):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(13 + len(body)) == b"handed over: " + body
        assert len(connections) == 1


async def test_a_waiting_connection_is_closed_when_the_server_stops(parts: Parts) -> None:
    async with connected(parts) as (connections, reader, _):
        await connections.finish()
        assert await reader.read() == b""


async def test_who_was_handed_over_is_still_kept_from_sending_without_end(parts: Parts) -> None:
    answer = asyncio.Event()

    async def slow(_request: web.BaseRequest) -> web.Response:
        await answer.wait()
        return web.Response()

    async with connected(parts, slow) as (_, _reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 800_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 1.5)
        writer.transport.abort()
        answer.set()


@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t"])
def test_a_field_of_blanks_takes_no_time(blank: bytes) -> None:
    start = b"PUT /mdm HTTP/1.1"
    fields = b"\r\nHost: x\r\nX:" + blank * (900 // len(blank)) + b"\x80"
    began = time.thread_time()
    message = start + fields + b"\r\nMdm-Signature: AAAA\r\nContent-Length: 0\r\n\r\n"
    assert read_plain_message(message, {start: True}, 4096) is None
    assert time.thread_time() - began < 0.02
