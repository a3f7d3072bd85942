"""Identity by TLS client certificate: connections live on, permissions do not."""

from __future__ import annotations

import asyncio
import plistlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509

from appliance.simulator import keys
from appliance.simulator.keys import Identity
from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose listener asks for client certificates."""
    environment = {"APPLIANCE_SERVER__CLIENT_CERTIFICATES": "true"}
    running = start_server(tmp_path_factory.mktemp("mutual") / "data", environment=environment)
    yield running
    running.stop()


@pytest_asyncio.fixture
async def certified(mutual: RunningServer) -> AsyncIterator[Api]:
    """The API of that server."""
    async with mutual.session() as session:
        yield Api(mutual, session)


def context_for(server: RunningServer, identity: Identity, folder: Path) -> ssl.SSLContext:
    """A client context that presents the identity."""
    file = folder / "identity.pem"
    file.write_bytes(identity.pem)
    context = server.tls
    context.load_cert_chain(file)
    return context


def idle_request(device: Device) -> bytes:
    """An Idle report as raw HTTP, unsigned."""
    body = plistlib.dumps({**device.identification, "Status": "Idle"})
    head = f"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection:
    """One blocking TLS connection, whose session can be resumed."""

    def __init__(
        self, server: RunningServer, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        plain = socket.socket()
        plain.settimeout(60)
        # Wrapped before it connects: a reset while a connected socket is wrapped loses the socket.
        self.tls = context.wrap_socket(plain, server_hostname="localhost", session=session)
        self.tls.connect(("127.0.0.1", server.port))

    def status(self, request: bytes) -> int:
        """HTTP status of one request."""
        self.tls.sendall(request)
        answer = self.tls.recv(65536)
        assert answer, "closed without an answer"
        return int(answer.split(b" ", 2)[1])


def resumed_status(
    server: RunningServer, context: ssl.SSLContext, session: ssl.SSLSession | None, request: bytes
) -> tuple[bool, int]:
    """Open a second connection from a session: whether it was resumed, and the answer."""
    connection = Connection(server, context, session)
    status = connection.status(request)
    connection.tls.close()
    return bool(connection.tls.session_reused), status


@pytest.mark.parametrize("verb", ["revoke", "block"])
async def test_a16_a_kept_or_resumed_connection_does_not_outlive_the_permission(
    mutual: RunningServer, certified: Api, tmp_path: Path, verb: str
) -> None:
    device = await certified.enroll()
    assert device.identity is not None
    context = context_for(mutual, device.identity, tmp_path)
    request = idle_request(device)
    kept = await asyncio.to_thread(Connection, mutual, context)
    assert await asyncio.to_thread(kept.status, request) == 200
    session = kept.tls.session
    resumed, status = await asyncio.to_thread(resumed_status, mutual, context, session, request)
    assert status == 200
    words = ("ca", "revoke") if verb == "revoke" else ("device", "block")
    mutual.cli(*words, device.id)
    refused = {400} if verb == "revoke" else {401, 403}
    assert await asyncio.to_thread(kept.status, request) in refused
    kept.tls.close()
    again, status = await asyncio.to_thread(resumed_status, mutual, context, session, request)
    assert status in refused
    assert again == resumed


async def test_a06_a_forged_client_certificate_is_refused(
    mutual: RunningServer, certified: Api
) -> None:
    device = await certified.enroll()
    device.signs = False
    device.presents_certificate = True
    assert (await device.idle()).status == 200
    genuine = device.identity
    assert genuine is not None
    ca_file = mutual.data / "keys" / "ca.pem"
    same_name = keys.self_signed(x509.load_pem_x509_certificate(ca_file.read_bytes()).subject)
    subject, serial_number = genuine.certificate.subject, genuine.certificate.serial_number
    for forged in (
        keys.self_signed(subject, serial_number=serial_number),
        keys.issued_by(same_name, subject, serial_number=serial_number),
    ):
        device.identity = forged
        try:
            assert (await device.idle()).status == 400
        except aiohttp.ClientError:
            continue  # refused in the handshake
