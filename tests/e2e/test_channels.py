"""Bootstrap tokens, user channels, User Enrollment and Shared iPad."""

from __future__ import annotations

import uuid

import pytest

from tests.device.device import Device
from tests.device.server import Api


async def test_the_bootstrap_token_comes_back_byte_for_byte(device: Device) -> None:
    token = bytes(range(256))
    assert await device.get_bootstrap_token() == b""
    assert (await device.set_bootstrap_token(token)).status == 200
    assert await device.get_bootstrap_token() == token


@pytest.mark.parametrize("nothing", [None, b""], ids=["absent", "empty"])
async def test_an_absent_or_empty_bootstrap_token_deletes_it(
    device: Device, nothing: bytes | None
) -> None:
    await device.set_bootstrap_token(b"escrowed")
    assert (await device.set_bootstrap_token(nothing)).status == 200
    assert await device.get_bootstrap_token() == b""


async def test_check_out_drops_the_bootstrap_token(api: Api, device: Device) -> None:
    await device.set_bootstrap_token(b"escrowed")
    await device.check_out()
    await device.enroll_from_profile(await api.profile())
    assert await device.get_bootstrap_token() == b""


async def test_what_this_server_does_not_offer_is_declined_as_apple_says(device: Device) -> None:
    reply = await device.check_in("GetToken", TokenServiceType="com.apple.maid")
    assert reply.status == 400
    answer = (await device.check_in("ReturnToService")).plist
    assert answer == {"ReturnToService": {"Enabled": False}}


async def test_secrets_are_not_readable_in_the_data_directory(api: Api, device: Device) -> None:
    bootstrap, unlock = b"bootstrap-" + device.udid.encode(), b"unlock-" + device.udid.encode()
    await device.set_bootstrap_token(bootstrap)
    assert (await device.token_update(UnlockToken=unlock)).status == 200
    files = [path for path in api.server.data.rglob("*") if path.is_file()]
    assert files
    for path in [*files, api.server.log]:
        content = path.read_bytes()
        assert bootstrap not in content, path
        assert unlock not in content, path


async def test_a_user_channel_has_its_own_queue(api: Api, device: Device) -> None:
    user = device.user()
    user_id = f"{device.udid}:{user.identification['UserID']}"
    assert (await user.token_update()).status == 200
    shown = await api.device(user_id)
    assert shown["channel"] == "user"
    assert shown["enrolled"] is True
    for_user = await api.queue(user_id)
    for_device = await api.queue(device.id)
    command = (await user.idle()).command
    assert command is not None
    assert command.uuid == for_user
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == for_device
    assert (await user.acknowledge(for_user)).command is None
    assert (await api.command(for_user))["status"] == "acknowledged"


async def test_user_authenticate_is_declined_with_410(device: Device) -> None:
    user = device.user("network-user")
    assert (await user.check_in("UserAuthenticate")).status == 410
    assert (await device.idle()).status == 200, "the device channel does not mind"


async def test_a_new_user_needs_an_enrolled_device(api: Api) -> None:
    device = Device(api.session)
    await device.obtain_identity(await api.profile())
    assert (await device.user().token_update()).status == 400


async def test_a_user_enrollment_is_known_by_its_enrollment_id(api: Api) -> None:
    device = Device(api.session, enrollment_id=str(uuid.uuid4()).upper())
    await device.enroll_from_profile(await api.profile())
    shown = await api.device(device.id)
    assert shown["id"] == device.enrollment_id
    assert not shown["udid"]
    queued = await api.queue(device.id)
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == queued
    user = device.user()
    assert (await user.token_update()).status == 200
    user_id = f"{device.id}:{user.identification['EnrollmentUserID']}"
    assert (await api.device(user_id))["enrolled"] is True


async def test_users_of_a_shared_ipad_are_told_apart_by_name(api: Api, device: Device) -> None:
    first, second = device.shared_user("a@example.org"), device.shared_user("b@example.org")
    assert (await first.token_update()).status == 200
    assert (await second.token_update()).status == 200
    queued = await api.queue(f"{device.udid}:b@example.org")
    assert (await first.idle()).command is None
    command = (await second.idle()).command
    assert command is not None
    assert command.uuid == queued


async def test_check_out_ends_the_user_channels_as_well(api: Api, device: Device) -> None:
    user = device.user()
    await user.token_update()
    await device.check_out()
    shown = await api.device(f"{device.udid}:{user.identification['UserID']}")
    assert shown["enrolled"] is False


async def test_the_case_of_an_identifier_is_kept(api: Api) -> None:
    device = Device(api.session, udid="00008030-" + uuid.uuid4().hex[:16].lower() + "Ab")
    await device.enroll_from_profile(await api.profile())
    assert (await api.device(device.udid))["id"] == device.udid


async def test_what_a_user_channel_says_of_its_device_names_no_other(
    api: Api, device: Device
) -> None:
    user = device.user()
    user_id = f"{device.udid}:{user.identification['UserID']}"
    assert (await user.token_update()).status == 200
    await api.queue(user_id, "DeviceInformation", parameters={"Queries": ["SerialNumber"]})
    command = (await user.idle()).command
    assert command is not None
    await user.acknowledge(command, QueryResponses={"SerialNumber": device.serial_number})
    assert (await api.device(device.serial_number))["id"] == device.id
    shown = await api.device(user_id)
    assert shown["serial_number"] is None
    assert (await api.command(command.uuid))["status"] == "acknowledged"
