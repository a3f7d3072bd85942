"""A device enrolls, and everything about its profile and state is as a person would expect."""

from __future__ import annotations

import plistlib
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.simulator.profile import Profile
from tests.device.device import Command, Device
from tests.device.server import Api


async def test_a_device_enrolls_from_a_link_and_is_listed(api: Api) -> None:
    device = Device(api.session)
    await device.obtain_identity(await api.profile())
    assert (await device.authenticate()).body == b""
    assert (await device.token_update()).body == b""
    assert (await device.idle()).command is None
    shown = await api.device(device.id)
    assert shown["id"] == shown["udid"] == device.udid
    assert shown["enrolled"] is True
    assert shown["serial_number"] == device.serial_number
    assert shown["os_version"] == "14.5"
    assert shown["queue_depth"] == 0
    assert shown["last_seen"].endswith("Z")


async def test_authenticate_alone_is_not_yet_an_enrollment(api: Api) -> None:
    device = Device(api.session)
    await device.obtain_identity(await api.profile())
    await device.authenticate()
    assert (await api.device(device.id))["enrolled"] is False


async def test_a_later_token_update_and_a_repeated_one_are_accepted(device: Device) -> None:
    device.token = b"\x01" * 48
    assert (await device.token_update()).status == 200
    assert (await device.token_update()).status == 200


async def test_check_out_ends_the_enrollment_and_cancels_its_commands(
    api: Api, device: Device
) -> None:
    queued = await api.queue(device.id)
    assert (await device.check_out()).status == 200
    assert (await api.device(device.id))["enrolled"] is False
    assert (await api.command(queued))["status"] == "cancelled"


async def test_a_device_that_checked_out_returns_by_a_new_link(api: Api, device: Device) -> None:
    await device.check_out()
    await device.enroll_from_profile(await api.profile())
    assert (await api.device(device.id))["enrolled"] is True
    assert (await device.idle()).status == 200


async def test_an_allowed_reenrollment_takes_the_new_identity(api: Api, device: Device) -> None:
    old = device.identity
    answer = await api.post(f"/api/v1/devices/{device.id}/allow-reenrollment", {})
    assert answer.status == 200, answer
    await device.enroll_from_profile(await api.profile())
    assert (await device.idle()).status == 200
    device.identity = old
    assert (await device.idle()).status == 400, "the old identity is void"


async def erase(api: Api, device: Device) -> Command:
    """Order it, and hand the order to the device."""
    confirm = {"serial_number": device.serial_number}
    await api.queue(device.id, "EraseDevice", parameters={"PIN": "123456"}, confirm=confirm)
    command = (await device.idle()).command
    assert command is not None and command.request_type == "EraseDevice"
    return command


async def test_a_device_that_we_erased_returns_by_a_new_link(api: Api, device: Device) -> None:
    command = await erase(api, device)
    later = await api.queue(device.id)
    await device.set_bootstrap_token(b"of the time before")
    assert (await device.acknowledge(command)).status == 200
    shown = await api.device(device.id)
    assert (shown["state"], shown["erased"]) == ("enrolled", True)
    listed = api.server.cli("device", "list", device.id).stdout
    assert "erased" in listed and "enrolled" not in listed
    await device.enroll_from_profile(await api.profile())
    assert not (await api.device(device.id))["erased"]
    assert (await device.idle()).command is None, "what waited was for the device before"
    assert (await api.command(later))["status"] == "cancelled"
    assert await device.get_bootstrap_token() == b""

    stranger = Device(api.session, udid=device.udid)
    await stranger.obtain_identity(await api.profile())
    assert (await stranger.authenticate()).status == 400, "it is protected anew"


async def test_an_erased_device_returns_though_its_answer_was_lost(
    api: Api, device: Device
) -> None:
    await erase(api, device)
    await device.enroll_from_profile(await api.profile())
    assert (await device.idle()).command is None, "it is not erased a second time"


async def test_a_device_that_refused_to_be_erased_keeps_its_identity(
    api: Api, device: Device
) -> None:
    await device.error(await erase(api, device))
    assert not (await api.device(device.id))["erased"]
    stranger = Device(api.session, udid=device.udid)
    await stranger.obtain_identity(await api.profile())
    assert (await stranger.authenticate()).status == 400
    assert (await device.idle()).status == 200


async def test_a_profile_sent_by_the_server_renews_the_identity(api: Api, device: Device) -> None:
    old = device.identity
    await device.set_bootstrap_token(b"kept")
    answer = await api.post(f"/api/v1/devices/{device.id}/renew-identity", {})
    assert answer.status == 202, answer
    command = (await device.idle()).command
    assert command is not None
    assert command.request_type == "InstallProfile"
    await device.obtain_identity(command.payload["Payload"])
    assert (await device.authenticate()).status == 200
    assert (await device.token_update()).status == 200
    assert (await device.idle()).status == 200
    assert (await api.device(device.id))["enrolled"] is True
    device.identity = old
    assert (await device.idle()).status == 400, "the old identity is void"


async def test_a_forgotten_device_returns_by_a_new_link(api: Api, device: Device) -> None:
    api.server.cli("device", "forget", device.id)
    await device.enroll_from_profile(await api.profile())
    assert (await device.idle()).status == 200


async def test_the_profile_is_signed_and_holds_trust_identity_and_mdm(api: Api) -> None:
    profile = Profile.read(await api.profile())
    assert profile.signer is not None
    assert profile.plist["PayloadType"] == "Configuration"
    assert profile.scep["Keysize"] >= 2048
    assert len(profile.scep["Challenge"]) >= 22, "128 bits at least"
    assert profile.mdm["SignMessage"] is True
    assert profile.mdm["CheckInURL"].startswith(api.server.url), "some clients know no default"
    assert profile.mdm["CheckOutWhenRemoved"] is True
    assert profile.mdm["AccessRights"] == 8191
    assert profile.mdm["Topic"] == api.server.topic
    assert set(profile.mdm["ServerCapabilities"]) >= {
        "com.apple.mdm.per-user-connections",
        "com.apple.mdm.bootstraptoken",
    }
    identity = profile.payload("com.apple.security.scep")
    assert profile.mdm["IdentityCertificateUUID"] == identity["PayloadUUID"]
    root = x509.load_pem_x509_certificate(api.server.root_file.read_bytes())
    assert root in profile.roots


async def test_each_download_has_its_own_challenge_and_stable_identifiers(api: Api) -> None:
    link = await api.new_link()
    first = Profile.read(await api.download(link))
    second = Profile.read(await api.download(link))
    assert first.scep["Challenge"] != second.scep["Challenge"]
    assert first.plist["PayloadIdentifier"] == second.plist["PayloadIdentifier"]
    for payload_type in ("com.apple.mdm", "com.apple.security.scep"):
        identifiers = {p.payload(payload_type)["PayloadIdentifier"] for p in (first, second)}
        assert len(identifiers) == 1


async def test_the_identity_comes_from_the_servers_template(api: Api, device: Device) -> None:
    assert device.identity is not None
    certificate = device.identity.certificate
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca is False
    assert certificate.serial_number.bit_length() > 100
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert 729 <= lifetime.days <= 731


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("attributes", [False, True], ids=["bare", "attributes"])
@pytest.mark.parametrize("indefinite", [False, True], ids=["der", "ber"])
async def test_every_form_of_mdm_signature_is_accepted(
    device: Device, digest: str, attributes: bool, indefinite: bool
) -> None:
    device.digest = digest
    device.signed_attributes = attributes
    device.indefinite = indefinite
    assert (await device.idle()).status == 200


async def test_a_changed_body_is_refused(device: Device) -> None:
    signed = plistlib.dumps({**device.identification, "Status": "Idle"})
    device.headers = {"Mdm-Signature": device.signature(signed)}
    device.signs = False
    changed = signed.replace(b"Idle", b"Idle ")
    reply = await device.send(device.server_url, changed, content_type=None)
    assert reply.status == 400


async def test_a_message_without_any_identity_is_refused(device: Device) -> None:
    device.signs = False
    assert (await device.idle()).status == 400


@pytest.mark.parametrize(
    ("server_path", "check_in_path"),
    [("/mdm", "/mdm"), ("/mdm/connect", "/mdm/checkin"), ("/mdm", "/checkin")],
)
async def test_one_url_or_two_serve_the_same_enrollment(
    api: Api, server_path: str, check_in_path: str
) -> None:
    device = Device(api.session)
    await device.obtain_identity(await api.profile())
    device.server_url = api.server.url + server_path
    device.check_in_url = api.server.url + check_in_path
    assert (await device.authenticate()).status == 200
    assert (await device.token_update()).status == 200
    queued = await api.queue(device.id)
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == queued


async def test_reports_need_no_content_type(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    body = {**device.identification, "Status": "Idle"}
    command = (await device.send(device.server_url, body, content_type=None)).command
    assert command is not None
    assert command.uuid == queued


async def test_a_browser_at_the_device_url_gets_a_page(api: Api) -> None:
    for path in ("/mdm", "/checkin"):
        async with api.session.get(api.server.url + path) as response:
            assert response.content_type == "text/html"
            assert "/enroll" in await response.text()


async def test_trust_material_is_public(api: Api) -> None:
    async with api.session.get(api.server.url + "/root.pem") as response:
        root = x509.load_pem_x509_certificate(await response.read())
    async with api.session.get(api.server.url + "/trust.mobileconfig") as response:
        assert response.content_type == "application/x-apple-aspen-config"
        trust = Profile.read(await response.read())
    assert root in trust.roots
    assert not trust.payloads("com.apple.mdm")
    async with api.session.get(api.server.url + "/ca.crl") as response:
        crl = x509.load_der_x509_crl(await response.read())
    assert crl.next_update_utc is not None


async def test_a_revoked_identity_is_on_the_revocation_list(api: Api, device: Device) -> None:
    assert device.identity is not None
    api.server.cli("ca", "revoke", device.id)
    async with api.session.get(api.server.url + "/ca.crl") as response:
        crl = x509.load_der_x509_crl(await response.read())
    serial_number = device.identity.certificate.serial_number
    assert crl.get_revoked_certificate_by_serial_number(serial_number) is not None
    assert (await device.idle()).status == 400


@pytest.mark.parametrize("device", ["iPhone; CPU iPhone OS 17_5", "Macintosh; Intel Mac OS X 14_5"])
async def test_the_link_page_leads_a_device_to_the_profile(api: Api, device: str) -> None:
    link = await api.new_link()
    headers = {"User-Agent": f"Mozilla/5.0 ({device}) AppleWebKit/605.1.15 Safari/604.1"}
    async with api.session.get(link.url, headers=headers) as response:
        assert response.status == 200
        assert urlsplit(link.profile_url).path in await response.text()


async def test_the_authority_signed_the_identity(api: Api, device: Device) -> None:
    assert device.identity is not None
    authority = x509.load_pem_x509_certificate((api.server.data / "keys" / "ca.pem").read_bytes())
    device.identity.certificate.verify_directly_issued_by(authority)
    assert device.identity.certificate.public_bytes(Encoding.DER)
