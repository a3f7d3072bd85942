"""A test APNs, and senders that present a push certificate to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from appliance.apns import PushSender, PushTarget, push_ssl_context
from appliance.simulator.apns import ApnsServer
from appliance.simulator.apns_certificates import TOPIC, ApnsAuthority, server_ssl_context

TARGET = PushTarget(token=b"\x01\x02\x03\xff", push_magic='magic-"ü"', topic=TOPIC)

MakeSender = Callable[..., PushSender]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


def target(number: int) -> PushTarget:
    """One of many devices."""
    return PushTarget(token=number.to_bytes(32, "big"), push_magic=f"magic-{number}", topic=TOPIC)


@pytest.fixture(scope="session")
def authority() -> ApnsAuthority:
    """Both ends' certificate authority."""
    return ApnsAuthority()


@pytest.fixture
async def apns(authority: ApnsAuthority, tmp_path: Path) -> AsyncIterator[ApnsServer]:
    """A running test APNs."""
    server = ApnsServer(server_ssl_context(authority, tmp_path))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def client_tls(authority: ApnsAuthority, tmp_path: Path) -> ssl.SSLContext:
    """TLS with a good push certificate, trusting the test APNs."""
    return client_context(authority, authority, tmp_path)


@pytest.fixture
async def make_sender(apns: ApnsServer, client_tls: ssl.SSLContext) -> AsyncIterator[MakeSender]:
    """Build senders to the test APNs; they are closed at the end."""
    senders: list[PushSender] = []

    def make(
        *, tls: ssl.SSLContext = client_tls, timeout_seconds: float = 10, connections: int = 1
    ) -> PushSender:
        sender = PushSender(
            host="127.0.0.1",
            port=apns.port,
            ssl_context=tls,
            connections=connections,
            timeout_seconds=timeout_seconds,
        )
        senders.append(sender)
        return sender

    yield make
    for sender in senders:
        await sender.close()


@pytest.fixture
def sender(make_sender: MakeSender) -> PushSender:
    """A sender with one connection."""
    return make_sender()


def client_context(
    issuer: ApnsAuthority, trusted: ApnsAuthority, directory: Path, *, valid: bool = True
) -> ssl.SSLContext:
    """TLS with a push certificate of `issuer`, trusting `trusted` and nobody else."""
    ca_file = directory / "anchor.pem"
    ca_file.write_bytes(trusted.certificate_pem)
    pair = issuer.push(valid=valid)
    return push_ssl_context(pair.certificate_pem, pair.key_pem, str(ca_file), str(directory))
