"""The push server's name: a resolver that hangs, and an address that does not answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.apns import Accepted, PushSender
from appliance.simulator.apns import ApnsServer
from tests.apns.conftest import TARGET

_HANGS_SECONDS = 20


@pytest.fixture
def dead() -> Iterator[int]:
    """A port of 127.0.0.2 at which no connection is refused and none comes about."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.2", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", port))
        yield port
        for one in waiting:
            one.close()


async def test_an_address_that_does_not_answer_keeps_no_push_from_the_next(
    apns: ApnsServer, client_tls: ssl.SSLContext, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a network that promises IPv6 and has none."""
    found = [("127.0.0.2", dead), ("127.0.0.1", apns.port)]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in found],
    )
    sender = PushSender(
        host="localhost", port=apns.port, ssl_context=client_tls, timeout_seconds=10
    )
    began = time.monotonic()
    outcome = await sender.send(TARGET, expires_in_seconds=60)
    assert isinstance(outcome, Accepted), outcome
    assert time.monotonic() - began < 10
    await sender.close()


def test_e_15_a_name_that_is_still_looked_up_keeps_no_process_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, ended = threading.Event(), threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        ended.wait(_HANGS_SECONDS)
        return []

    async def push() -> None:
        sender = PushSender(host="apns.example", port=443, ssl_context=None)
        sending = asyncio.create_task(sender.send(TARGET, expires_in_seconds=60))
        while not asked.is_set():
            await asyncio.sleep(0.01)
        sending.cancel()
        await sender.close()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    began = time.monotonic()
    asyncio.run(push())
    assert time.monotonic() - began < _HANGS_SECONDS / 2
    ended.set()
