"""Before a device has enrolled, and when two come at the same moment as the same one."""

from __future__ import annotations

import asyncio

from appliance.simulator import keys
from tests.device.database import opened, rows_about
from tests.device.device import CHECK_IN, REPORT, Device
from tests.device.scep import Options
from tests.device.server import Api
from tests.trust.authority import Authority


async def with_identity(api: Api, udid: str | None = None) -> Device:
    """A device that has a certificate and has said nothing yet."""
    device = Device(api.session, udid=udid)
    await device.obtain_identity(await api.profile())
    return device


async def test_a_01_nothing_is_taken_of_a_device_that_did_not_authenticate(api: Api) -> None:
    device = await with_identity(api)
    for reply in (
        await device.idle(),
        await device.token_update(),
        await device.set_bootstrap_token(b"early"),
        await device.check_in("GetBootstrapToken"),
        await device.check_out(),
        await device.user().token_update(),
    ):
        assert reply.status == 400
    assert rows_about(api.server.data, device.id) == {}
    assert (await device.authenticate()).status == 200
    assert (await device.idle()).status == 400, "nor before its first TokenUpdate"


async def test_a_03_an_identifier_in_another_case_is_another_device(
    api: Api, device: Device
) -> None:
    for claim in (device.udid.lower(), f" {device.udid}", f"{device.udid}\u200b"):
        liar = Device(api.session, udid=claim)
        liar.read_profile(await api.profile())
        liar.identity = device.identity
        assert (await liar.idle()).status == 400
        assert (await liar.authenticate()).status == 400


async def test_a_07_of_two_that_authenticate_at_once_one_is_the_device(api: Api) -> None:
    first = await with_identity(api)
    second = await with_identity(api, first.udid)
    replies = await asyncio.gather(first.authenticate(), second.authenticate())
    assert {reply.status for reply in replies} <= {200, 400}
    updates = [reply.status for reply in (await first.token_update(), await second.token_update())]
    assert sorted(updates) == [200, 400]
    idles = [reply.status for reply in (await first.idle(), await second.idle())]
    assert idles == updates


async def test_a_07_a_permission_to_enroll_again_is_used_once(api: Api, device: Device) -> None:
    path = f"/api/v1/devices/{device.id}/allow-reenrollment"
    assert (await api.post(path, {"minutes": 60})).status == 200
    again = await with_identity(api, device.udid)
    assert (await again.authenticate()).status == 200
    assert (await again.token_update()).status == 200
    late = await with_identity(api, device.udid)
    assert (await late.authenticate()).status == 400
    assert (await again.idle()).status == 200


async def test_a_18_a_signature_is_good_for_its_body_alone(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    headers = {"Mdm-Signature": device.signature(b"<plist/>")}
    for kind in (REPORT, CHECK_IN):
        idle = f"<dict><key>UDID</key><string>{device.udid}</string></dict>".encode()
        async with api.session.put(
            device.server_url, data=idle, headers={**headers, "Content-Type": kind}
        ) as answer:
            assert answer.status == 400
            assert queued.encode() not in await answer.read()


async def test_b_13_a_transaction_is_another_with_another_key(authority: Authority) -> None:
    """Whoever knows its number gets neither the certificate nor one more for its challenge."""
    challenge, options = await authority.challenge(), Options(transaction_id="the same")
    await authority.client.enroll(challenge, options=options)
    await authority.refuses("2", challenge=challenge, options=options, key=keys.rsa_key())
    await authority.refuses("2", challenge=None, options=options, key=keys.rsa_key())


async def test_a_10_a_sealed_token_opens_for_its_own_device_alone(
    api: Api, device: Device, other: Device
) -> None:
    """Whoever can write into the store moves no token to a device of his own."""
    await device.set_bootstrap_token(b"of the one")
    await other.set_bootstrap_token(b"of the other")
    with opened(api.server.data, write=True) as db, db:
        db.execute(
            """
            UPDATE escrow SET sealed = (SELECT sealed FROM escrow WHERE enrollment_id = ?)
             WHERE enrollment_id = ?
            """,
            (device.id, other.id),
        )
    reply = await other.check_in("GetBootstrapToken")
    assert reply.status == 400
    assert b"of the one" not in reply.body
