"""A blocked device is told to drop its management; nobody else ever is."""

from __future__ import annotations

from tests.device.device import Device
from tests.device.server import Api


async def test_only_the_blocked_device_is_answered_401(
    api: Api, device: Device, other: Device
) -> None:
    api.server.cli("device", "block", device.id)
    assert (await device.idle()).status == 401
    assert (await device.token_update()).status == 401
    assert (await other.idle()).status == 200
    other.identification = device.identification
    assert (await other.idle()).status == 400, "whoever merely claims its UDID is not"
    claimant = Device(api.session, udid=device.udid)
    await claimant.obtain_identity(await api.profile())
    assert (await claimant.authenticate()).status == 400, "nor with a certificate of its own"
    api.server.cli("device", "unblock", device.id)
    assert (await device.idle()).status == 200
    assert sum(api.server.unauthorized.values()) == 2
    api.server.unauthorized.clear()


async def test_a_device_that_obeyed_returns_once_it_is_unblocked(api: Api, device: Device) -> None:
    api.server.cli("device", "block", device.id)
    assert (await device.idle()).status == 401
    api.server.unauthorized.clear()
    await device.obtain_identity(await api.profile())
    assert (await device.authenticate()).status == 400, "not before"
    api.server.cli("device", "unblock", device.id)
    await device.enroll_from_profile(await api.profile())
    assert (await device.idle()).status == 200

    stranger = Device(api.session, udid=device.udid)
    await stranger.obtain_identity(await api.profile())
    assert (await stranger.authenticate()).status == 400, "it is protected anew"
