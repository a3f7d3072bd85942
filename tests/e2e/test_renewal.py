"""A new identity for an enrolled device: by renewal it keeps everything, by a link nothing."""

from __future__ import annotations

from tests.device.device import Device
from tests.device.server import Api


async def _renewed(api: Api, device: Device) -> None:
    """The device installs the profile that the server queues to renew its identity."""
    answer = await api.post(f"/api/v1/devices/{device.id}/renew-identity")
    assert answer.status in (200, 202), answer
    command = (await device.idle()).command
    assert command is not None
    assert command.request_type == "InstallProfile"
    await device.enroll_from_profile(command.payload["Payload"])
    await device.acknowledge(command)


async def test_a_renewal_keeps_queue_and_bootstrap_token(api: Api, device: Device) -> None:
    await device.set_bootstrap_token(b"bootstrap")
    before = device.identity
    await _renewed(api, device)
    assert device.identity is not before
    waiting = await api.queue(device.id)
    assert await device.get_bootstrap_token() == b"bootstrap"
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == waiting


async def test_the_identity_before_a_renewal_counts_no_more(api: Api, device: Device) -> None:
    before = device.identity
    await _renewed(api, device)
    device.identity = before
    assert (await device.idle()).status == 400
    assert (await device.authenticate()).status == 400


async def test_a_renewal_that_the_device_takes_back_leaves_it_its_identity(
    api: Api, device: Device
) -> None:
    """The answer to Authenticate is lost, or another payload of the profile fails."""
    assert (await api.post(f"/api/v1/devices/{device.id}/renew-identity")).status == 202
    command = (await device.idle()).command
    assert command is not None
    before = device.identity
    await device.obtain_identity(command.payload["Payload"])
    assert (await device.authenticate()).status == 200

    begun, device.identity = device.identity, before
    waiting = await api.queue(device.id)
    reply = await device.error(command)
    assert reply.status == 200
    assert reply.command is not None and reply.command.uuid == waiting
    assert (await device.token_update()).status == 200

    device.identity = begun
    assert (await device.idle()).status == 400, "only its TokenUpdate proves it"
    assert (await device.authenticate()).status == 200, "it tries again"
    assert (await device.set_bootstrap_token(b"bootstrap")).status == 200
    assert (await device.token_update()).status == 200
    assert (await device.idle()).status == 200
    device.identity = before
    assert (await device.idle()).status == 400
    assert (await device.token_update()).status == 400


async def test_a_forgotten_device_returns_by_a_link_and_not_by_its_old_identity(
    api: Api, device: Device
) -> None:
    assert (await api.post(f"/api/v1/devices/{device.id}/forget")).status in (200, 204)
    assert (await device.idle()).status == 400
    assert (await device.authenticate()).status == 400
    await device.enroll_from_profile(await api.profile())
    assert (await device.idle()).status == 200


async def test_a_revoked_device_may_enroll_again_by_a_link(api: Api, device: Device) -> None:
    answer = await api.post("/api/v1/certificate-authority/revoke", {"name": device.id})
    assert answer.status == 200, answer
    assert (await device.idle()).status == 400
    await device.enroll_from_profile(await api.profile())
    assert (await device.idle()).status == 200


async def test_a_serial_number_that_two_devices_claim_names_neither(
    api: Api, device: Device, other: Device
) -> None:
    for one in (device, other):
        await api.queue(one.id, "DeviceInformation", parameters={"Queries": ["SerialNumber"]})
        command = (await one.idle()).command
        assert command is not None
        await one.acknowledge(command, QueryResponses={"SerialNumber": "C02CLAIMED"})
    body = {"targets": ["C02CLAIMED"], "request_type": "ProfileList"}
    answer = await api.post("/api/v1/commands", body)
    assert (answer.status, answer.json["code"]) == (409, "device.ambiguous")


async def test_a_device_that_takes_anothers_id_for_its_serial_number_is_not_mistaken_for_it(
    api: Api, device: Device, other: Device
) -> None:
    await api.queue(other.id, "DeviceInformation", parameters={"Queries": ["SerialNumber"]})
    command = (await other.idle()).command
    assert command is not None
    await other.acknowledge(command, QueryResponses={"SerialNumber": device.id})
    await api.queue(device.id)
    assert (await other.idle()).command is None
    assert (await device.idle()).command is not None
    assert (await api.device(device.id))["id"] == device.id
