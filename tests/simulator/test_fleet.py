"""Fleets against the real server: enrolled by SCEP, woken by push, answering."""

from __future__ import annotations

import base64
import plistlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.device.server import Api
from tests.simulator.fleets import Site, running_fleet

CLIP = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadIdentifier": "org.example.clip",
    "PayloadUUID": "0B0AD4B0-4E9B-4B5C-8C3E-5B2A9D8B6F11",
    "PayloadContent": [],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    running = Site.start(folder)
    yield running
    assert running.server.stop() == 0


@pytest_asyncio.fixture
async def api(site: Site) -> AsyncIterator[Api]:
    async with site.server.session() as session:
        yield Api(site.server, session)


async def test_devices_enroll_are_pushed_to_and_answer(site: Site, api: Api) -> None:
    async with running_fleet(site, devices=10) as watched:
        await watched.fleet.enroll(await site.source(api, 10))
        assert len(watched.of("enrolled")) == 10, watched.events
        udids = [device.state.udid for device in watched.fleet.devices]
        shown = await api.device(udids[3])
        assert shown["serial_number"] == watched.fleet.devices[3].state.serial_number
        payload = base64.b64encode(plistlib.dumps(CLIP)).decode()
        sent = [
            *await api.enqueue(udids, "DeviceInformation", parameters={"Queries": ["DeviceName"]}),
            *await api.enqueue(udids, "InstallProfile", parameters={"Payload": payload}),
        ]
        await watched.until(lambda: len(watched.of("answered")) == 20)
        for command in sent:
            shown = await api.command(command["id"])
            assert shown["status"] == "acknowledged", shown
            assert shown["pushed_at"] is not None
        name = (await api.command(sent[3]["id"]))["result"]["QueryResponses"]["DeviceName"]
        assert name == watched.fleet.devices[3].state.device_name
