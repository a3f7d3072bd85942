"""Fleets against the real server: enrolled by SCEP, woken by push, answering."""

from __future__ import annotations

import base64
import plistlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.simulator import faults
from appliance.simulator.faults import Fault
from tests.device.server import Api
from tests.simulator.fake_mdm import mdm_payload, pkcs12_payload, profile
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
        shown_all = [await api.command(command["id"]) for command in sent]
        assert {shown["status"] for shown in shown_all} == {"acknowledged"}, shown_all
        # Not of each: a device may have answered before Apple's answer about its push was noted.
        assert any(shown["pushed_at"] for shown in shown_all), shown_all
        name = (await api.command(sent[3]["id"]))["result"]["QueryResponses"]["DeviceName"]
        assert name == watched.fleet.devices[3].state.device_name


async def test_the_servers_profile_is_verified_by_who_trusts_its_root(site: Site, api: Api) -> None:
    async with running_fleet(site, seed=20) as watched:
        await watched.fleet.enroll(await site.source(api, 1))
        assert watched.of("enrolled")[0]["profile"] == "verified"


async def test_a_renewed_identity_is_used_from_then_on(site: Site, api: Api) -> None:
    async with running_fleet(site, seed=21) as watched:
        await watched.fleet.enroll(await site.source(api, 1))
        (device,) = watched.fleet.devices
        before = device.state.identity_certificate
        answer = await api.post(f"/api/v1/devices/{device.state.udid}/renew-identity")
        assert answer.status in (200, 202), answer
        await watched.until(lambda: bool(watched.of("answered")))
        await watched.fleet.settled(0)
        assert device.state.identity_certificate != before
        uuid = await api.queue(device.state.udid)
        await watched.until(lambda: len(watched.of("answered")) == 2)
        assert (await api.command(uuid))["status"] == "acknowledged"
        events = await api.get(f"/api/v1/devices/{device.state.udid}/commands")
        assert [one["status"] for one in events.json["items"]] == ["acknowledged"] * 2
        assert not watched.of("unenrolled")
        assert not watched.of("trouble")


async def test_what_waits_behind_a_renewal_is_answered_with_the_new_identity(
    site: Site, api: Api
) -> None:
    async with running_fleet(site, seed=23) as watched:
        await watched.fleet.enroll(await site.source(api, 1))
        (device,) = watched.fleet.devices
        udid = device.state.udid
        watched.fleet.silence(udid)  # it comes when all is queued
        assert (await api.post(f"/api/v1/devices/{udid}/renew-identity")).status == 202
        waiting = [await api.queue(udid, "ProfileList", push=False) for _ in range(2)]
        watched.fleet.wake(device)
        await watched.fleet.settled(0)
        assert [(await api.command(one))["status"] for one in waiting] == ["acknowledged"] * 2
        assert not watched.of("trouble")


async def test_another_profile_does_not_take_an_enrolled_device_over(site: Site, api: Api) -> None:
    async with running_fleet(site, seed=22) as watched:
        await watched.fleet.enroll(await site.source(api, 1))
        (device,) = watched.fleet.devices
        identity = pkcs12_payload()
        other = profile(identity, mdm_payload("https://other.example.org", identity))
        parameters = {"Payload": base64.b64encode(other).decode()}
        confirm = {"serial_number": (await api.device(device.state.udid))["serial_number"]}
        uuid = await api.queue(
            device.state.udid, "InstallProfile", parameters=parameters, confirm=confirm
        )
        await watched.until(lambda: bool(watched.of("answered")))
        chain = (await api.command(uuid))["error_chain"]
        assert [error["error_code"] for error in chain] == [1009, 12001]


@pytest.mark.parametrize("years", [-26, 20])
async def test_a_device_whose_clock_is_years_off_is_managed_all_the_same(
    site: Site, api: Api, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    """The server believes no device's clock: neither in SCEP nor in signatures."""
    monkeypatch.setattr(faults, "_SKEWS", (timedelta(days=365 * years),))
    async with running_fleet(site, seed=100 + years, faults={Fault.WRONG_CLOCK: 1}) as watched:
        await watched.fleet.enroll(await site.source(api, 1))
        assert watched.of("enrolled"), watched.events
        assert watched.of("enrolled")[0]["profile"] == "unverified"  # its root is not valid then
        (device,) = watched.fleet.devices
        uuid = await api.queue(device.state.udid)
        await watched.until(lambda: bool(watched.of("answered")))
        shown = await api.command(uuid)
        assert shown["status"] == "acknowledged"
        seen = (await api.device(device.state.udid))["last_seen"]
        assert abs(datetime.now(UTC) - datetime.fromisoformat(seen)) < timedelta(minutes=5)
