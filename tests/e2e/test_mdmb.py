"""mdmb, a device simulator that others wrote, enrolls and answers."""

from __future__ import annotations

import asyncio
import base64
import os
import plistlib
import subprocess
from pathlib import Path

import pytest

from appliance.simulator.profile import Profile
from tests.device.server import Api
from tests.programs import program

DEVICES = int(os.environ.get("MDMB_DEVICES", "5"))


class Simulator:
    """One simulator's database of devices."""

    def __init__(self, folder: Path, root_file: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "SSL_CERT_FILE": str(root_file)}
        self._program = program("mdmb")

    async def run(self, *arguments: str) -> str:
        """One subcommand; mdmb reports failures only in what it prints."""
        done = await asyncio.to_thread(
            subprocess.run,
            [self._program, *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[:3000]
        return done.stdout + done.stderr

    async def create(self, count: int) -> list[str]:
        """UDIDs of fresh devices."""
        return (await self.run("devices-create", "-n", str(count))).split("\n")[1:-1]

    async def install(self, udid: str, xml: bytes) -> str:
        """Install a profile; mdmb reads only unsigned ones."""
        file = self._folder / f"{udid}.mobileconfig"
        file.write_bytes(xml)
        return await self.run("-uuids", udid, "devices-profiles-install", "-f", file.name)

    async def connect(self) -> str:
        """Let all devices work off their queues."""
        # One worker: of several, mdmb 0.1.0 now and then ends in a panic of its own.
        return await self.run("-uuids", "all", "devices-connect", "-w", "1")


WEB_CLIP = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadIdentifier": "org.example.clip",
    "PayloadUUID": "0B0AD4B0-4E9B-4B5C-8C3E-5B2A9D8B6F11",
    "PayloadContent": [],
}


@pytest.mark.timeout(180 + 5 * DEVICES)
async def test_mdmb_enrolls_takes_commands_and_its_answers_are_readable(
    api: Api, tmp_path: Path
) -> None:
    simulator = Simulator(tmp_path, api.server.root_file)
    udids = await simulator.create(DEVICES)
    assert len(udids) == DEVICES
    link = await api.new_link(uses=DEVICES)
    for udid in udids:
        profile = Profile.read(await api.download(link))
        printed = await simulator.install(udid, profile.xml)
        answer = await api.get(f"/api/v1/devices/{udid}")
        assert answer.status == 200, printed
        assert answer.json["enrolled"] is True, printed
    sent = {
        "InstallProfile": {"Payload": base64.b64encode(plistlib.dumps(WEB_CLIP)).decode()},
        "ProfileList": {},
        "DeviceInformation": {"Queries": ["UDID", "SerialNumber", "DeviceName"]},
    }
    commands = {
        request_type: await api.enqueue(udids, request_type, parameters=parameters)
        for request_type, parameters in sent.items()
    }
    printed = await simulator.connect()
    for request_type, queued in commands.items():
        for command in queued:
            shown = await api.command(command["id"])
            assert shown["status"] == "acknowledged", (request_type, shown, printed)
            if request_type == "DeviceInformation":
                assert shown["result"]["QueryResponses"]["UDID"] == command["target"]
            if request_type == "ProfileList":
                assert "org.example.clip" in str(shown["result"]["ProfileList"])
