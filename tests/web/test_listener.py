"""The listener begins no more handshakes than it can bring to an end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from appliance.config import Config
from appliance.web.connections import Connections
from appliance.web.listener import Listener
from tests.device.server import free_port

_AT_ONCE = 384  # of the listener
_CROWD = 450

Crowd = Callable[[int], Awaitable[None]]


@pytest.fixture
async def connections(tmp_path: Path) -> AsyncIterator[Connections]:
    open_ = Connections(Config(data=tmp_path), 1000)
    yield open_
    await open_.finish()


@pytest.fixture
async def crowd(connections: Connections) -> AsyncIterator[Crowd]:
    """Lets so many clients connect that say nothing."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    port = free_port()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await Listener(runner, "127.0.0.1", port, tls=lambda: tls, connections=connections).start()

    with ExitStack() as clients:

        async def come(count: int) -> None:
            for _ in range(count):
                client = clients.enter_context(socket.socket())
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))

        yield come
    await runner.cleanup()


async def _count(connections: Connections, *, reaches: int, seconds: float) -> int:
    async with asyncio.timeout(seconds):
        while len(connections) < reaches:
            await asyncio.sleep(0.01)
    return len(connections)


async def test_f_01_of_a_crowd_a_part_begins_its_handshakes(
    connections: Connections, crowd: Crowd
) -> None:
    await crowd(_CROWD)
    assert await _count(connections, reaches=_AT_ONCE, seconds=10) == _AT_ONCE
    await asyncio.sleep(0.3)
    assert len(connections) == _AT_ONCE, "the others wait in the kernel's queue"


async def test_f_01_clients_that_say_nothing_keep_the_next_ones_waiting_for_two_seconds_only(
    connections: Connections, crowd: Crowd
) -> None:
    await crowd(_CROWD)
    assert await _count(connections, reaches=_CROWD, seconds=10) == _CROWD
