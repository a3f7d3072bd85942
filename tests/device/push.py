"""A server of ours beside a loopback push server, so that what it pushes is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.simulator.apns import ApnsServer
from appliance.simulator.apns_certificates import ApnsAuthority, Pair, server_ssl_context

from .server import Api, RunningServer

_PATIENCE_SECONDS = 60


class Woken:
    """A server of ours, the test APNs it pushes to, and its administrator."""

    def __init__(self, apns: ApnsServer, authority: ApnsAuthority, server: RunningServer) -> None:
        self.apns = apns
        self.authority = authority
        self.server = server
        self.api: Api

    async def import_certificate(self, pair: Pair) -> int:
        """Give the server another push certificate; returns the status."""
        body = {
            "certificate": pair.certificate_pem.decode(),
            "private_key": pair.key_pem.decode(),
        }
        return (await self.api.put("/api/v1/push-certificate", body)).status

    def pushes_to(self, token: bytes) -> int:
        """How often a device was woken."""
        return sum(push.token == token for push in self.apns.pushes)

    async def pushed(self, command_uuid: str) -> None:
        """Wait until the command shows that Apple accepted its push."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (await self.api.command(command_uuid))["pushed_at"] is None:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def waking(
    folder: Path, *, per_second: int = 200, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Woken]:
    """A ready server that pushes to a loopback APNs; both end with the block."""
    authority = ApnsAuthority()
    apns = ApnsServer(server_ssl_context(authority, folder))
    await apns.start()
    (folder / "apns.pem").write_bytes(authority.certificate_pem)
    settings = {
        "APPLIANCE_PUSH__HOST": "localhost",
        "APPLIANCE_PUSH__PORT": str(apns.port),
        "APPLIANCE_PUSH__CA_FILE": str(folder / "apns.pem"),
        "APPLIANCE_PUSH__PER_SECOND": str(per_second),
        **(environment or {}),
    }
    server = RunningServer(folder / "data", environment=settings)
    await asyncio.to_thread(server.initialise)
    await asyncio.to_thread(server.start)
    story = Woken(apns, authority, server)
    try:
        async with server.session() as session:
            story.api = Api(server, session)
            assert await story.import_certificate(authority.push(server.topic)) == 200
            yield story
    finally:
        status = await asyncio.to_thread(server.stop)
        await apns.stop()
    assert status == 0


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.02)
