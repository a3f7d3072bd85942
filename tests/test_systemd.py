"""What systemd hears from a server, through a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance import systemd
from tests.device.server import RunningServer


@contextmanager
def _listener(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        yield listener


def test_a_server_says_that_it_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}
    with _listener(address) as listener:
        server = RunningServer(tmp_path / "data", environment=environment)
        server.initialise()
        server.start()
        messages = [listener.recv(4096).decode().splitlines() for _ in range(3)]
        assert server.stop() == 0
        assert "READY=1" in messages[0]
        assert all("WATCHDOG=1" in message for message in messages[1:])
        while "STOPPING=1" not in listener.recv(4096).decode().splitlines():
            pass


async def test_ready_waits_until_nothing_stands_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = ["the store does not answer"]

    async def obstacles() -> list[str]:
        return reasons

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    reporter = systemd.Reporter(obstacles)
    with _listener(str(tmp_path / "notify")) as listener:
        await reporter.report()
        assert listener.recv(4096) == b"STATUS=the store does not answer"
        reasons.clear()
        await reporter.report()
        assert listener.recv(4096) == b"STATUS=ready\nREADY=1"
        reasons.append("job push fails")
        await reporter.report()
        assert listener.recv(4096) == b"STATUS=job push fails\nWATCHDOG=1"


def test_an_abstract_address_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")
    with _listener(f"\0{tmp_path}") as listener:
        systemd.notify("READY=1")
        assert listener.recv(4096) == b"READY=1"
