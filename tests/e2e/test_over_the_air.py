"""Enrolling by proof: over the air in three phases, and by MachineInfo in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device.apple import AppleLike
from tests.device.fixtures import start_server
from tests.device.over_the_air import ProvingDevice
from tests.device.server import Api, Link, RunningServer


@pytest.fixture(scope="module")
def server(believing: RunningServer) -> RunningServer:
    """Not the shared one."""
    return believing


async def is_proven(api: Api, enrollment_id: str) -> Any:
    return (await api.device(enrollment_id))["facts"]["is_identity_proven"]


async def stage(api: Api, link: Link) -> Any:
    async with api.session.get(f"{link.url}/progress") as response:
        return await response.json()


async def test_a_device_that_proves_itself_enrolls(api: Api, apple: AppleLike) -> None:
    link = await api.new_link()
    proving = ProvingDevice(api, apple)
    device = await proving.enroll(link)
    assert await is_proven(api, device.id)
    shown = await api.device(device.id)
    assert (shown["state"], shown["serial_number"]) == ("enrolled", device.serial_number)
    assert device.identity != proving.exchange_identity
    assert (await device.idle()).status == 200
    progress = await stage(api, link)
    assert progress["link"] == "used_up", "the exchange's own identity is no use of the link"
    assert [one["stage"] for one in progress["devices"]] == ["enrolled"]


@pytest.mark.parametrize("options", [(), ("-noattr",), ("-stream", "-indef")])
async def test_signatures_of_every_form_are_read(
    api: Api, apple: AppleLike, options: tuple[str, ...]
) -> None:
    proving = ProvingDevice(api, apple)
    proving.options = options
    await proving.enroll(await api.new_link())


async def test_machine_info_enrolls_and_is_no_proof(api: Api, apple: AppleLike) -> None:
    link = await api.new_link()
    proving = ProvingDevice(api, apple)
    posted = await proving.post(proving.message(), link.url)
    assert posted.status == 200
    await proving.device.enroll_from_profile(posted.body)
    assert not await is_proven(api, proving.device.id), "the message could be another's, repeated"
    assert (await proving.post(proving.message(), link.url)).status == 409, "it is used up"


async def test_who_enrolls_without_proof_is_not_proven(api: Api) -> None:
    assert not await is_proven(api, (await api.enroll()).id)


async def test_a_device_that_becomes_another_is_proven_no_more(api: Api, apple: AppleLike) -> None:
    device = await ProvingDevice(api, apple).enroll(await api.new_link())
    for serial_number, proven in ((device.serial_number, True), ("C0THERS", False)):
        await api.queue(device.id, "DeviceInformation", parameters={"Queries": ["SerialNumber"]})
        command = (await device.idle()).command
        assert command is not None
        await device.acknowledge(command, QueryResponses={"SerialNumber": serial_number})
        assert await is_proven(api, device.id) is proven


async def test_a_renewal_keeps_the_proof(api: Api, apple: AppleLike) -> None:
    device = await ProvingDevice(api, apple).enroll(await api.new_link())
    assert (await api.post(f"/api/v1/devices/{device.id}/renew-identity")).status in (200, 202)
    command = (await device.idle()).command
    assert command is not None
    await device.obtain_identity(command.payload["Payload"])
    assert (await device.authenticate()).status == 200
    assert await is_proven(api, device.id)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningServer]:
    """A server that believes anybody's key, and knows nobody's."""
    environment = {"APPLIANCE_ENROLL__LAB_IDENTITIES": "true"}
    running = start_server(tmp_path / "data", environment=environment)
    yield running
    running.stop()


async def test_in_a_lab_any_key_will_do_and_proves_nothing(
    lab: RunningServer, apple: AppleLike
) -> None:
    async with lab.session() as session:
        api = Api(lab, session)
        proving = ProvingDevice(api, apple)
        link = await api.new_link(uses=2)
        message = proving.message(await proving.challenge(link))
        assert (await proving.post(message)).status == 200
        assert (await proving.post(message)).status == 400, "the challenge counts all the more"
        assert (await proving.post(proving.message())).status == 400, "there is none"
        assert (await proving.post(proving.message("guessed"))).status == 400
        device = await proving.enroll(link)
        assert not await is_proven(api, device.id)


def test_a_file_without_certificates_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "authorities.pem"
    file.write_text("nothing")
    server = RunningServer(
        tmp_path / "data", environment={"APPLIANCE_ENROLL__DEVICE_CA_FILE": str(file)}
    )
    server.cli("init", "--url", server.url)
    refused = server.cli("serve", check=False)
    assert refused.returncode != 0
    assert "enroll.device_ca_file cannot be used" in refused.stderr
    assert "fix:" in refused.stderr
