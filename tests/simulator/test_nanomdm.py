"""Against other people's servers: NanoMDM and micromdm/scep, behind TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import plistlib
import ssl
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.mdm.checkin import parse_checkin
from appliance.mdm.command import parse_result
from appliance.mdm.event import event_of
from appliance.simulator.apns_certificates import ApnsAuthority
from appliance.simulator.fleet import ProfileSource
from appliance.wire.plist import loads
from tests.device.receiver import Received, Receiver
from tests.device.server import free_port
from tests.programs import program
from tests.simulator.fake_mdm import mdm_payload, payload, profile
from tests.simulator.fleets import Watched, running_fleet

_DEVICES = 5
_API_KEY = "test"
_CHALLENGE = "static"
_TOPIC = "com.apple.mgmt.External.7e7e7e7e-0000-4000-8000-000000000001"
_START_SECONDS = 60


@contextlib.contextmanager
def started(port: int, log: Path, *command: str) -> Iterator[None]:
    """Run a program until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(["bash", "-c", f"</dev/tcp/127.0.0.1/{port}"], check=False,
                             capture_output=True).returncode:  # fmt: skip
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """A running NanoMDM and its SCEP server, both plain HTTP."""

    nanomdm: int
    scep: int
    ca: Path
    told: Receiver  # NanoMDM's own webhooks

    def profile(self, url: str, root: x509.Certificate) -> bytes:
        """An enrollment profile made by hand, as NanoMDM's documentation shows one."""
        scep = {
            "URL": f"http://127.0.0.1:{self.scep}/scep",
            "Challenge": _CHALLENGE,
            "Keysize": 2048,
            "Key Type": "RSA",
            "Key Usage": 5,
            "Subject": [[["O", "Peers"]], [["CN", "%SerialNumber%"]]],
        }
        identity = payload("com.apple.security.scep", PayloadContent=scep)
        mdm = mdm_payload(
            url,
            identity,
            Topic=_TOPIC,
            CheckInURL=f"{url}/checkin",
            ServerCapabilities=["com.apple.mdm.per-user-connections"],
        )
        anchor = payload("com.apple.security.root", PayloadContent=root.public_bytes(Encoding.DER))
        return profile(anchor, identity, mdm)

    async def enqueue(self, udids: list[str], command: dict[str, Any]) -> str:
        """Queue one command by NanoMDM's API; returns its UUID."""
        command_uuid = str(uuid.uuid4())
        body = plistlib.dumps({"CommandUUID": command_uuid, "Command": command})
        url = f"http://127.0.0.1:{self.nanomdm}/v1/enqueue/{','.join(udids)}?nopush=1"
        headers = {"Authorization": aiohttp.encode_basic_auth("nanomdm", _API_KEY)}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.put(url, data=body) as response:
                assert response.status == 200, await response.text()
        return command_uuid


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    nanomdm, scepserver = program("nanomdm"), program("scepserver")
    folder = tmp_path_factory.mktemp("peers")
    depot = str(folder / "depot")
    subprocess.run([scepserver, "ca", "-init", "-depot", depot, "-keySize", "2048"], check=True)
    told = Receiver()
    told.start()
    ca = folder / "depot" / "ca.pem"
    found = Peers(nanomdm=free_port(), scep=free_port(), ca=ca, told=told)
    scep = [scepserver, "-depot", depot, "-challenge", _CHALLENGE, "-allowrenew", "0"]
    scep += ["-http-addr", f"127.0.0.1:{found.scep}"]
    mdm = [nanomdm, "-listen", f"127.0.0.1:{found.nanomdm}", "-ca", str(found.ca)]
    mdm += ["-api", _API_KEY, "-storage", "filekv", "-storage-dsn", str(folder / "db"), "-checkin"]
    mdm += ["-webhook-url", told.url]
    with started(found.scep, folder / "scep.log", *scep):
        with started(found.nanomdm, folder / "nanomdm.log", *mdm):
            yield found
    told.stop()


@contextlib.asynccontextmanager
async def tls_before(port: int, folder: Path) -> AsyncIterator[tuple[str, x509.Certificate]]:
    """TLS in front of a plain port: its URL, and the root to trust."""
    authority = ApnsAuthority()
    pair = authority.server()
    (folder / "tls.pem").write_bytes(pair.certificate_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()  # the test may be over before the other side says farewell

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):  # the test is over
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    try:
        yield (
            f"https://localhost:{server.sockets[0].getsockname()[1]}",
            x509.load_pem_x509_certificate(authority.certificate_pem),
        )
    finally:
        server.close()


async def test_devices_enroll_at_nanomdm_and_answer_its_commands(
    peers: Peers, tmp_path: Path
) -> None:
    async with (
        tls_before(peers.nanomdm, tmp_path) as (url, root),
        running_fleet(devices=_DEVICES, cast="office") as watched,
    ):
        await watched.fleet.enroll(ProfileSource(data=peers.profile(url, root)))
        assert watched.journal.enrolled == _DEVICES, watched.journal.failures
        udids = [device.state.udid for device in watched.fleet.devices]
        await _queue_and_poll(peers, watched, udids)
        assert watched.journal.answered == {
            ("DeviceInformation", "Acknowledged"): _DEVICES,
            ("RemoveProfile", "Acknowledged"): _DEVICES,
        }
        assert watched.journal.left.total() == _DEVICES
        assert not watched.journal.troubles
    check_events(peers.told.received)


def check_events(received: list[Received]) -> None:
    """What NanoMDM said of each message, our event of the same message says as well."""
    topics = {one.json["topic"] for one in received}
    assert topics >= {"mdm.Authenticate", "mdm.TokenUpdate", "mdm.Connect", "mdm.CheckOut"}
    for one in received:
        body = loads(one.payload)
        said = parse_checkin(body) if "MessageType" in body else parse_result(body)
        at, tally = datetime.now(UTC), one.about.get("token_update_tally")
        event = event_of(said, one.payload, event_id="E", at=at, tally=tally)
        assert event is not None
        ours, theirs, its = json.loads(event.body), one.json, one.about
        about = ours.get("checkin_event") or ours["acknowledge_event"]
        assert (ours["topic"], ours.keys() - {"event_id"}) == (
            theirs["topic"], theirs.keys() - {"event_id"},
        )  # fmt: skip
        if ours["topic"] == "mdm.TokenUpdate":  # we keep the push token and its magic to ourselves
            assert about.pop("raw_payload") != its.pop("raw_payload")
        differing = {key for key, value in its.items() if value and about.get(key) != value}
        assert not differing, (its, about)


async def _queue_and_poll(peers: Peers, watched: Watched, udids: list[str]) -> None:
    await peers.enqueue(udids, {"RequestType": "DeviceInformation", "Queries": ["OSVersion"]})
    remove = {"RequestType": "RemoveProfile", "Identifier": "org.example.Configuration"}
    await peers.enqueue(udids, remove)
    watched.fleet.wake_all()
    await watched.until(lambda: len(watched.of("unenrolled")) == _DEVICES)
