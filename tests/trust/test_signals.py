"""Signals: how the server ends under load, and what SIGHUP does."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from appliance.app import open_appliance
from appliance.config import Config, ServerConfig
from appliance.simulator import keys
from appliance.simulator.cms import pem
from tests.device.fixtures import start_server
from tests.device.server import PROGRAM, Api, RunningServer
from tests.trust.witness import Witness, until_lost

_SLOW = 100
_HALF = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n<plist"
_PATIENCE_SECONDS = 60


@pytest.mark.parametrize("signals", [1, 2])
async def test_e_15_sigterm_under_load_ends_within_five_seconds_and_loses_nothing(
    tmp_path: Path, signals: int
) -> None:
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=5.0) >= 5:  # a machine may stall, once
        data = tmp_path / f"data-{len(seconds)}"
        seconds.append(await seconds_to_end(data, signals))
    assert min(seconds) < 5, seconds


async def seconds_to_end(data: Path, signals: int) -> float:
    """Let a server work and end it; what it confirmed is there."""
    server = await asyncio.to_thread(start_server, data)
    witness = Witness()
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        witness.devices.append(device)

        async def enqueue() -> None:
            while True:
                await witness.enqueue(api, device)

        async def answer() -> None:
            while True:
                await witness.answer_all(device)

        works = [asyncio.create_task(until_lost(work)) for work in (enqueue(), enqueue(), answer())]
        slow = await asyncio.gather(*(connect(server) for _ in range(_SLOW)))
        await asyncio.sleep(0.3)
        assert server.process is not None
        began = time.monotonic()
        for _ in range(signals):
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
        status = await asyncio.to_thread(server.process.wait, _PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        await asyncio.gather(*works)
        for writer in slow:
            writer.transport.abort()
    assert status == 0, server.log_tail()
    assert witness.acknowledged
    assert witness.statuses <= {200, 202, 503}
    witness.check_store(server.data)
    assert "Traceback" not in server.log_tail()
    return seconds


async def connect(server: RunningServer) -> asyncio.StreamWriter:
    """A client that sends half a request and then nothing."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=server.tls, server_hostname="localhost"
    )
    writer.write(_HALF)
    await writer.drain()
    return writer


class OwnCertificate:
    """A server with certificate files of the administrator's."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "own.pem", folder / "own.key"
        self.replace()
        environment = {
            "APPLIANCE_SERVER__TLS_CERTIFICATE": str(self.certificate),
            "APPLIANCE_SERVER__TLS_KEY": str(self.key),
        }
        self.server = _Own(folder / "data", environment=environment)
        self.server.certificate = self.certificate

    def replace(self) -> None:
        """Write a new pair, as a renewal tool does."""
        pair = keys.self_signed(keys.name(("CN", "localhost")))
        self.key.write_bytes(keys.key_pem(pair.key))
        self.certificate.write_bytes(pem(pair.certificate))

    def presented(self) -> str:
        """The certificate that the server shows to who connects now."""
        return ssl.get_server_certificate(("127.0.0.1", self.server.port))

    def until(self, certificate: str) -> None:
        """Wait until the server shows it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.presented() != certificate:
            assert time.monotonic() < deadline, self.server.log_tail()
            time.sleep(0.05)


class _Own(RunningServer):
    certificate: Path

    @property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        return context


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnCertificate]:
    """It runs; without a terminal, as a service does."""
    made = OwnCertificate(tmp_path)
    made.server.initialise()
    made.server.start()
    yield made
    assert made.server.stop() == 0


def test_e_15_sighup_reads_the_certificate_again(own: OwnCertificate) -> None:
    assert own.server.process is not None
    before = own.presented()
    own.replace()
    assert own.presented() == before
    own.server.process.send_signal(signal.SIGHUP)
    own.until(own.certificate.read_text())


def test_e_15_no_handshake_is_cut_off_while_certificates_are_replaced(own: OwnCertificate) -> None:
    with ThreadPoolExecutor(4) as clients:
        for _ in range(20):
            own.replace()
            assert own.server.process is not None
            own.server.process.send_signal(signal.SIGHUP)
            shown = list(clients.map(lambda _: own.presented(), range(24)))
            assert len(shown) == 24
    own.until(own.certificate.read_text())


def test_e_16_a_job_that_fails_is_seen_and_runs_again(own: OwnCertificate) -> None:
    """The certificate's job stands for all: its files are what a person can break."""
    assert own.server.process is not None
    shown = own.presented()
    own.key.rename(own.key.with_name("away"))
    own.server.process.send_signal(signal.SIGHUP)
    wait_for(own.server, ready=False)
    said = own.server.cli("status")
    assert "problem: job server certificate failed" in said.stderr
    assert own.presented() == shown, "what was loaded is served on"
    own.key.with_name("away").rename(own.key)
    wait_for(own.server, ready=True)
    assert "Traceback" not in own.server.log_tail()


def wait_for(server: RunningServer, *, ready: bool) -> None:
    """Wait until `/readyz` says so."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while server._ready() is not ready:
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.05)


def test_e_15_a_closed_terminal_ends_a_server_in_the_foreground(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    ours, terminal = pty.openpty()
    command = [*PROGRAM, "serve", "--data", str(server.data)]
    command += ["--listen", f"127.0.0.1:{server.port}"]
    process = subprocess.Popen(
        command, stdin=terminal, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(server, ready=True)
        process.send_signal(signal.SIGHUP)
        assert process.wait(_PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        os.close(ours)
        os.close(terminal)


@pytest.mark.parametrize("hangs", ["push", "webhooks"])
async def test_e_15_what_hangs_at_the_end_takes_no_time_from_others(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    closed = []
    shutil.copytree(template, tmp_path / "data")
    config = Config(data=tmp_path / "data", server=ServerConfig(url="https://localhost:8443"))

    async def close(name: str) -> None:
        await asyncio.sleep(_PATIENCE_SECONDS if name == hangs else 0.5)
        closed.append(name)

    async with open_appliance(config) as parts:
        monkeypatch.setattr(parts.services.push, "close", partial(close, "push"))
        monkeypatch.setattr(parts.services.webhooks.senders, "close", partial(close, "webhooks"))
        began = time.monotonic()
    assert time.monotonic() - began < 4
    assert len(closed) == 1 and hangs not in closed
