"""Identity on the device endpoints: whoever signs is who it is, whatever the body says."""

from __future__ import annotations

import base64
import plistlib
import urllib.parse
import uuid
from typing import Any

import pytest
from cryptography import x509

from appliance.simulator import keys
from appliance.simulator.cms import pem
from tests.device.database import rows_about
from tests.device.device import CHECK_IN, REPORT, Device
from tests.device.server import Api
from tests.trust.timing import quickest


def impersonate(liar: Device, victim: Device) -> None:
    """`liar` keeps its certificate and claims to be `victim` from now on."""
    liar.identification = dict(victim.identification)


async def test_a01_a_valid_enrollment_is_answered_empty_and_counted_once(api: Api) -> None:
    device = Device(api.session)
    await device.obtain_identity(await api.profile())
    for reply in (await device.authenticate(), await device.token_update(), await device.idle()):
        assert (reply.status, reply.body) == (200, b"")
    listed = (await api.get(f"/api/v1/devices?q={device.serial_number}")).json["items"]
    assert [each["id"] for each in listed] == [device.id]


@pytest.mark.parametrize("status", ["Idle", "Acknowledged", "NotNow", "Error"])
async def test_a03_another_devices_certificate_cannot_report(
    api: Api, device: Device, other: Device, status: str
) -> None:
    queued = await api.queue(device.id)
    impersonate(other, device)
    before = rows_about(api.server.data, device.id)
    reply = await other.report(status, None if status == "Idle" else queued)
    assert reply.status == 400
    assert queued.encode() not in reply.body
    assert rows_about(api.server.data, device.id) == before


async def test_a04_another_devices_certificate_cannot_move_the_push_token(
    api: Api, device: Device, other: Device
) -> None:
    impersonate(other, device)
    before = rows_about(api.server.data, device.id)
    reply = await other.token_update(Token=b"\x07" * 32, PushMagic="mine", UnlockToken=b"mine")
    assert reply.status == 400
    assert rows_about(api.server.data, device.id) == before


async def test_a04_nor_can_it_touch_a_user_channel_or_the_bootstrap_token(
    api: Api, device: Device, other: Device
) -> None:
    await device.set_bootstrap_token(b"theirs")
    user = device.user()
    await user.token_update()
    impersonate(other, device)
    before = rows_about(api.server.data, device.id)
    assert (await other.set_bootstrap_token(b"mine")).status == 400
    assert (await other.check_in("GetBootstrapToken")).status == 400
    assert (await other.check_out()).status == 400
    user.device = other
    assert (await user.token_update()).status == 400
    assert (await user.idle()).status == 400
    assert rows_about(api.server.data, device.id) == before


async def test_a06_forged_certificates_are_refused(api: Api, device: Device) -> None:
    genuine = device.identity
    assert genuine is not None
    certificate = genuine.certificate
    serial_number = certificate.serial_number
    ca_pem = (api.server.data / "keys" / "ca.pem").read_bytes()
    same_name = keys.self_signed(x509.load_pem_x509_certificate(ca_pem).subject)
    before = rows_about(api.server.data, device.id)
    for forged in (
        keys.self_signed(certificate.subject, serial_number=serial_number),
        keys.issued_by(same_name, certificate.subject, serial_number=serial_number),
        keys.Identity(certificate=certificate, key=keys.rsa_key()),
    ):
        device.identity = forged
        assert (await device.idle()).status == 400
        assert (await device.authenticate()).status == 400
    assert rows_about(api.server.data, device.id) == before
    device.identity = genuine
    assert (await device.idle()).status == 200


async def test_a07_a_fresh_certificate_does_not_take_over_a_known_device(
    api: Api, device: Device
) -> None:
    await device.set_bootstrap_token(b"theirs")
    queued = await api.queue(device.id)
    thief = Device(api.session, udid=device.udid)
    thief.serial_number = device.serial_number
    await thief.obtain_identity(await api.profile())
    before = rows_about(api.server.data, device.id)
    seen = rows_about(api.server.data, device.id, history=True)
    assert (await thief.authenticate()).status == 400
    assert (await thief.token_update()).status == 400
    assert rows_about(api.server.data, device.id) == before
    assert rows_about(api.server.data, device.id, history=True) != seen, "an event tells of it"
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == queued
    assert await device.get_bootstrap_token() == b"theirs"


async def test_a09_one_certificate_enrolls_one_device(api: Api, device: Device) -> None:
    second = Device(api.session)
    second.read_profile(await api.profile())
    second.identity = device.identity
    assert (await second.authenticate()).status == 400
    assert (await api.get(f"/api/v1/devices/{second.id}")).status == 404


async def test_a10_a_new_enrollment_does_not_inherit_escrowed_tokens(
    api: Api, device: Device
) -> None:
    await device.set_bootstrap_token(b"old-bootstrap")
    await device.token_update(UnlockToken=b"old-unlock")
    assert (await device.authenticate()).status == 200
    assert (await device.token_update()).status == 200
    reply = await device.check_in("GetBootstrapToken")
    assert not reply.plist.get("BootstrapToken")
    assert "old-unlock" not in str(await api.device(device.id))


async def test_a12_a_user_channel_cannot_answer_for_the_device(api: Api, device: Device) -> None:
    user = device.user()
    await user.token_update()
    queued = await api.queue(device.id)
    assert (await device.idle()).command is not None
    assert (await user.acknowledge(queued)).status in (200, 400)
    assert (await api.command(queued))["status"] == "sent"


@pytest.mark.parametrize(
    "command_uuid",
    [
        "",
        "unknown",
        "../../keys/ca.key",
        "'; DROP TABLE commands; --",
        "x" * 900_000,
        "\u202e\U0001f600",
    ],
    ids=["empty", "unknown", "path", "sql", "long", "unicode"],
)
async def test_a13_a_strange_command_uuid_changes_nothing(
    api: Api, device: Device, command_uuid: str
) -> None:
    queued = await api.queue(device.id)
    reply = await device.acknowledge(command_uuid)
    assert reply.status in (200, 400)
    assert (await api.command(queued))["status"] in ("queued", "sent")
    assert (await device.acknowledge(queued)).command is None


async def test_a13_a_foreign_or_final_command_keeps_its_state(
    api: Api, device: Device, other: Device
) -> None:
    foreign, final = await api.queue(device.id), await api.queue(other.id)
    assert (await device.idle()).command is not None
    await other.error(final)
    before = [await api.command(each) for each in (foreign, final)]
    for command_uuid in (foreign, final):
        assert (await other.acknowledge(command_uuid, ProfileList=[])).status in (200, 400)
        assert (await other.not_now(command_uuid)).status in (200, 400)
    assert [await api.command(each) for each in (foreign, final)] == before


async def test_a16_a_revoked_identity_is_refused_on_the_next_request(
    api: Api, device: Device
) -> None:
    assert (await device.idle()).status == 200
    api.server.cli("ca", "revoke", device.id)
    assert (await device.idle()).status == 400
    assert (await device.authenticate()).status == 400


async def test_a16_a_blocked_device_is_refused_on_the_next_request(
    api: Api, device: Device
) -> None:
    queued = await api.queue(device.id)
    api.server.cli("device", "block", device.id)
    reply = await device.idle()
    assert reply.status in (401, 403)
    assert queued.encode() not in reply.body
    api.server.unauthorized.clear()  # the one case in which it is meant


async def test_a16_a_checked_out_device_gets_nothing_any_more(api: Api, device: Device) -> None:
    await device.check_out()
    assert (await device.idle()).status == 400
    assert (await device.token_update()).status == 400
    assert (await api.device(device.id))["enrolled"] is False


@pytest.mark.parametrize(
    "changed",
    [
        {"Topic": "com.apple.mgmt.External.foreign"},
        {"PushMagic": ""},
        {"Token": b""},
        {"Token": b"\x01" * 10_240},
    ],
    ids=["topic", "magic", "no-token", "long-token"],
)
async def test_a19_wrong_push_data_is_refused_and_not_stored(
    api: Api, device: Device, changed: dict[str, Any]
) -> None:
    before = rows_about(api.server.data, device.id)
    assert (await device.token_update(**changed)).status == 400
    assert rows_about(api.server.data, device.id) == before


async def test_a19_a_foreign_topic_is_refused_at_authenticate(api: Api) -> None:
    device = Device(api.session)
    await device.obtain_identity(await api.profile())
    reply = await device.authenticate(Topic="com.apple.mgmt.External.foreign")
    assert reply.status == 400
    assert (await api.get(f"/api/v1/devices/{device.id}")).status == 404


REQUIRED: dict[str, dict[str, Any]] = {
    "Authenticate": {"Topic": ""},
    "TokenUpdate": {"Topic": "", "Token": b"\x01" * 32, "PushMagic": "magic"},
    "CheckOut": {"Topic": ""},
    "UserAuthenticate": {"UserID": "6FB2DE5A-0D6F-4B9E-8A52-3F6C2B5A3E11"},
    "SetBootstrapToken": {},
    "GetBootstrapToken": {},
    "DeclarativeManagement": {"Endpoint": "tokens"},
    "GetToken": {"TokenServiceType": "com.apple.maid"},
    "ReturnToService": {},
}


@pytest.mark.parametrize("message_type", REQUIRED)
async def test_a21_missing_and_mistyped_keys_are_refused(
    api: Api, device: Device, message_type: str
) -> None:
    whole = {**device.identification, "MessageType": message_type, **REQUIRED[message_type]}
    if "Topic" in whole:
        whole["Topic"] = device.topic
    for key in whole:
        missing = {name: value for name, value in whole.items() if name != key}
        for broken in (missing, {**whole, key: ["x"]}, {**whole, key: 7}, {**whole, key: {}}):
            reply = await device.send(device.check_in_url, broken, content_type=CHECK_IN)
            assert reply.status == 400, (key, broken.get(key), reply)
    assert (await device.idle()).status == 200, "and the enrollment stands"


@pytest.mark.parametrize(
    "broken",
    [
        {"Status": "Busy"},
        {"Status": 7},
        {"Status": ["Idle"]},
        {"Status": "Acknowledged", "CommandUUID": 7},
        {"Status": "Acknowledged", "CommandUUID": ["x"]},
        {"MessageType": "Telepathy"},
        {"MessageType": 7},
        {},
    ],
    ids=repr,
)
async def test_a21_malformed_messages_are_refused_and_the_server_stays_quick(
    api: Api, device: Device, broken: dict[str, Any]
) -> None:
    for content_type in (REPORT, CHECK_IN):
        body = {**device.identification, **broken}
        reply = await device.send(device.server_url, body, content_type=content_type)
        assert reply.status == 400, (content_type, reply)

    async def healthy() -> None:
        async with api.session.get(api.server.url + "/healthz") as response:
            assert response.status == 200

    await quickest(healthy, below=0.1)


@pytest.mark.parametrize(
    "header",
    [
        "X-SSL-Client-Cert",
        "Client-Cert",
        "X-Forwarded-Client-Cert",
        "X-Client-Cert",
        "Ssl-Client-Cert",
    ],
)
async def test_a22_certificate_headers_are_ignored_without_a_trusted_proxy(
    device: Device, header: str
) -> None:
    assert device.identity is not None
    device.signs = False
    rfc9440 = f":{base64.b64encode(device.identity.der).decode()}:"
    for value in (rfc9440, urllib.parse.quote(pem(device.identity.certificate).decode())):
        device.headers = {header: value}
        assert (await device.idle()).status == 400


async def test_a24_no_refusal_is_ever_a_401(api: Api, device: Device, other: Device) -> None:
    idle = plistlib.dumps({**device.identification, "Status": "Idle"})
    signature = device.signature(idle)
    attempts: list[tuple[str, dict[str, str], bytes]] = [
        ("/mdm", {}, idle),
        ("/mdm", {"Mdm-Signature": "not base64!"}, idle),
        ("/mdm", {"Mdm-Signature": "AAAA"}, idle),
        ("/mdm", {"Mdm-Signature": other.signature(idle)}, idle),
        ("/mdm", {"Mdm-Signature": signature}, idle + b" "),
        ("/mdm", {"Mdm-Signature": signature}, b""),
        ("/mdm", {"Authorization": "Bearer wrong"}, idle),
        ("/mdm", {"Authorization": "Basic d3Jvbmc6d3Jvbmc=", "Mdm-Signature": "x"}, idle),
        ("/mdm/connect", {}, b"bplist00"),
        ("/mdm/checkin", {}, b"<plist><dict/></plist>"),
        ("/checkin", {"Content-Type": CHECK_IN}, b"{}"),
        ("/scep?operation=PKIOperation", {}, b"junk"),
        ("/ota", {}, b"junk"),
    ]
    for path, headers, body in attempts:
        for method in ("PUT", "POST", "GET", "DELETE"):
            url = api.server.url + path
            async with api.session.request(method, url, data=body, headers=headers) as response:
                assert response.status not in (401, 403, 500), (method, path, headers)
                assert response.status >= 400 or method == "GET", (method, path, headers)
    assert (await device.idle()).status == 200


async def test_a13_results_of_an_enrollment_that_never_was_are_refused(
    api: Api, device: Device
) -> None:
    device.identification = {"UDID": str(uuid.uuid4()).upper()}
    assert (await device.idle()).status == 400
