"""Receivers that are added to a running server: told at once, and after kill -9, until removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.receiver import Receiver, receiver
from tests.device.server import Api, RunningServer
from tests.e2e.test_webhooks import until_all_is_sent
from tests.web.test_api_webhooks_added import signs

__all__ = ["receiver"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server that tells nobody."""
    running = start_server(tmp_path / "data")
    yield running
    assert running.stop() == 0


def webhook(server: RunningServer, *arguments: str) -> Any:
    """Run `appliance webhook …`."""
    done = server.cli("webhook", *arguments, "--json")
    return json.loads(done.stdout) if done.stdout else None


async def _enroll(server: RunningServer) -> Device:
    async with server.session() as session:
        return await Api(server, session).enroll()


async def _idle(server: RunningServer, device: Device) -> None:
    async with server.session() as session:
        device.session = session
        assert (await device.idle()).status == 200


def test_a_receiver_comes_and_goes_while_the_server_runs(
    server: RunningServer, receiver: Receiver
) -> None:
    first = asyncio.run(_enroll(server))
    added = webhook(server, "add", receiver.url)
    asyncio.run(_idle(server, first))
    assert [one.json["topic"] for one in receiver.wait_for(1)] == ["mdm.Connect"], "from now on"
    assert signs(receiver.received[0], [added["secret"]])

    until_all_is_sent(server)  # what it has not noted comes again after a kill
    server.kill()
    server.start()
    asyncio.run(_idle(server, first))
    assert signs(receiver.wait_for(2)[1], [added["secret"]])
    rotated = webhook(server, "rotate")
    asyncio.run(_idle(server, first))
    assert signs(receiver.wait_for(3)[2], [rotated["secret"], added["secret"]])

    webhook(server, "rm", added["id"])
    asyncio.run(_idle(server, first))
    assert webhook(server, "list")["items"] == []
    assert len(receiver.received) == 3
    assert "job failed" not in server.log_tail()
