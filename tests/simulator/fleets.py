"""A server of ours, an APNs on the port it pushes to, and fleets that live a test long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.simulator.apns import ApnsServer
from appliance.simulator.apns_certificates import ApnsFiles, write_certificates
from appliance.simulator.device import Surroundings
from appliance.simulator.faults import Fault
from appliance.simulator.fleet import Composition, Fleet, ProfileSource
from appliance.simulator.journal import Journal
from appliance.simulator.simulation import read_anchors
from appliance.simulator.transport import Patience, Transport
from tests.device.server import Api, RunningServer, free_port

PATIENCE_SECONDS = 60
QUICK = Patience(attempts=4, first_pause=0.05, longest_pause=0.2, timeout=10)


def pushing_server(data: Path, files: ApnsFiles, port: int) -> RunningServer:
    """A ready server that pushes to the APNs of `files` on `port`."""
    environment = {
        "APPLIANCE_PUSH__HOST": "localhost",
        "APPLIANCE_PUSH__PORT": str(port),
        "APPLIANCE_PUSH__CA_FILE": str(files.ca),
    }
    server = RunningServer(data, environment=environment)
    server.topic = files.topic()
    server.initialise()
    server.start()
    server.cli("push-cert", "import", str(files.push), str(files.push_key))
    return server


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server that pushes to `port`, where a test may listen."""

    server: RunningServer
    files: ApnsFiles
    port: int

    @classmethod
    def start(cls, folder: Path) -> Site:
        """Initialise and start the server, with the push certificate of our APNs."""
        port = free_port()
        files = write_certificates(folder / "apns")
        server = pushing_server(folder / "data", files, port)
        return cls(server=server, files=files, port=port)

    async def source(self, api: Api, uses: int) -> ProfileSource:
        """A link with so many uses."""
        link = await api.new_link(uses=uses)
        anchors = read_anchors(self.server.root_file.read_bytes())
        return ProfileSource(url=link.profile_url, anchors=anchors)


class Watched:
    """A fleet with its journal: a test waits for what the journal says."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self.journal = Journal(self._record)
        self.fleet: Fleet
        self.apns: ApnsServer | None = None

    def _record(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind so far."""
        return [event for event in self.events if event["event"] == kind]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the events make it true."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def running_fleet(
    site: Site | None = None,
    *,
    devices: int = 1,
    faults: Mapping[Fault, int] | None = None,
    unlocks_after: float | None = None,
    cast: str = "office",
    seed: int = 1,
    slowness: float = 5.0,
) -> AsyncIterator[Watched]:
    """A fleet that has not enrolled yet; with the site's APNs if there is one."""
    watched = Watched()
    composition = Composition(devices=devices, seed=seed, cast=cast, faults=faults or {})
    async with Transport(patience=QUICK) as transport:
        surroundings = Surroundings(
            transport=transport,
            journal=watched.journal,
            unlocks_after=unlocks_after,
            slowness=slowness,
            refusal=0.1,
        )
        watched.fleet = Fleet(composition, surroundings)
        if site is not None:
            watched.apns = ApnsServer(site.files.ssl_context())
            watched.apns.on_push = watched.fleet.push
            await watched.apns.start(site.port)
        try:
            yield watched
        finally:
            await watched.fleet.close()
            if watched.apns is not None:
                await watched.apns.stop()
