"""Identities that were asked for in advance: they end with the one that asked for them."""

from __future__ import annotations

import pytest

from appliance.simulator import keys
from appliance.simulator.keys import Identity
from tests.device.device import Device
from tests.device.scep import ScepFailure
from tests.trust.authority import Authority


async def heir_of(authority: Authority, device: Device) -> Identity:
    """A renewed identity that the device keeps to itself."""
    assert device.identity is not None
    return await authority.client.renew(device.identity)


async def valid(authority: Authority) -> int:
    """Certificates in force, of all devices."""
    shown = await authority.api.get("/api/v1/certificate-authority")
    count: int = shown.json["valid"]
    return count


async def renewal_profile(authority: Authority, device: Device) -> bytes:
    """What the server sends the device to renew its identity."""
    answer = await authority.api.post(f"/api/v1/devices/{device.id}/renew-identity")
    assert answer.status == 202, answer
    command = (await device.idle()).command
    assert command is not None
    profile: bytes = command.payload["Payload"]
    return profile


async def ended_by(authority: Authority, device: Device, how: str) -> None:
    """The enrollment ends, or its identity does."""
    api = authority.api
    if how == "revoke":
        revoked = await api.post("/api/v1/certificate-authority/revoke", {"name": device.id})
        assert revoked.status == 200, revoked
    elif how == "forget":
        assert (await api.post(f"/api/v1/devices/{device.id}/forget")).status == 200
    else:
        assert (await device.check_out()).status == 200


ENDS = pytest.mark.parametrize("how", ["revoke", "forget", "check out"])


@ENDS
@pytest.mark.parametrize("begun", [False, True], ids=["unused", "begun"])
async def test_a_16_an_identity_that_has_ended_leaves_no_heirs(
    authority: Authority, how: str, begun: bool
) -> None:
    """Nor one that has begun to take its place."""
    device = await authority.api.enroll()
    heir = await heir_of(authority, device)
    if begun:
        device.identity, before = heir, device.identity
        assert (await device.authenticate()).status == 200
        device.identity = before
    await ended_by(authority, device, how)
    device.identity = heir
    assert (await device.token_update()).status == 400
    assert (await device.authenticate()).status == 400
    assert (await device.idle()).status == 400


async def test_a_16_of_two_that_have_begun_the_last_is_good(authority: Authority) -> None:
    device = await authority.api.enroll()
    heirs = []
    for _ in range(2):
        heirs.append(await heir_of(authority, device))
        own, device.identity = device.identity, heirs[-1]
        assert (await device.authenticate()).status == 200
        device.identity = own
    device.identity = heirs[0]
    assert (await device.token_update()).status == 400
    device.identity = heirs[1]
    assert (await device.token_update()).status == 200
    assert (await device.idle()).status == 200


@ENDS
async def test_a_16_nor_can_a_profile_of_before_be_used(authority: Authority, how: str) -> None:
    device = await authority.api.enroll()
    profile = await renewal_profile(authority, device)
    await ended_by(authority, device, how)
    with pytest.raises(ScepFailure):
        await Device(authority.api.session, udid=device.udid).obtain_identity(profile)


async def test_a_07_a_former_owner_does_not_take_the_next_enrollment(authority: Authority) -> None:
    former = await authority.api.enroll()
    heir = await heir_of(authority, former)
    await ended_by(authority, former, "forget")
    now = await authority.api.enroll(Device(authority.api.session, udid=former.udid))
    await now.set_bootstrap_token(b"of the next owner")
    waiting = await authority.api.queue(now.id)
    former.identity = heir
    assert (await former.authenticate()).status == 400
    assert (await former.check_in("GetBootstrapToken")).status == 400
    assert (await former.idle()).status == 400
    command = (await now.idle()).command
    assert command is not None
    assert command.uuid == waiting
    assert await now.get_bootstrap_token() == b"of the next owner"


async def test_b_12_of_two_heirs_the_first_to_come_is_the_only_one(authority: Authority) -> None:
    device = await authority.api.enroll()
    first, second = await heir_of(authority, device), await heir_of(authority, device)
    device.identity = first
    assert (await device.authenticate()).status == 200
    device.identity = second
    assert (await device.authenticate()).status == 400
    device.identity = first
    assert (await device.token_update()).status == 200
    assert (await device.idle()).status == 200


async def test_b_12_a_device_renews_its_identity_so_often_and_keeps_it_then(
    authority: Authority,
) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    before, key = authority.count(), keys.rsa_key()
    heirs = [await authority.client.renew(device.identity, key=key) for _ in range(19)]
    with pytest.raises(ScepFailure):
        await authority.client.renew(device.identity, key=key)
    assert authority.count() - before == 19, "20 a day, with the one that it has"
    assert (await device.idle()).status == 200
    device.identity = heirs[-1]
    assert (await device.authenticate()).status == 200


async def test_b_03_a_certificate_of_a_revoked_link_enrolls_nothing(authority: Authority) -> None:
    link = await authority.api.new_link(uses=2)
    late, device = Device(authority.api.session), Device(authority.api.session)
    await late.obtain_identity(await authority.api.download(link))
    await device.enroll_from_profile(await authority.api.download(link))
    assert (await authority.api.delete(f"/api/v1/enrollment-links/{link.code}")).status == 200
    assert (await late.authenticate()).status == 400
    assert (await device.idle()).status == 200, "who has enrolled stays"


async def test_b_12_a_device_has_a_few_heirs_and_the_last_is_good(authority: Authority) -> None:
    """It asks with a new key when the reply is lost; whoever has its identity could for ever."""
    device = await authority.api.enroll()
    before = await valid(authority)
    first, *_, last = [await heir_of(authority, device) for _ in range(7)]
    assert await valid(authority) - before == 5
    assert (await device.idle()).status == 200, "the identity in use is none of them"
    own, device.identity = device.identity, first
    assert (await device.authenticate()).status == 400
    device.identity = own
    assert (await device.idle()).status == 200, "and stays when one of them is refused"
    device.identity = last
    assert (await device.authenticate()).status == 200
    assert (await device.token_update()).status == 200
    assert (await device.idle()).status == 200
