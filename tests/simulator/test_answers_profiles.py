"""Profiles change what a device answers, as they do on real ones."""

from __future__ import annotations

import plistlib
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as some

from appliance.simulator.answers import After, adopt, answer
from appliance.simulator.state import Platform
from tests.simulator.devices import NOW, acknowledged, codes, device, profile, send

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Office Root")])
CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(_NAME)
    .issuer_name(_NAME)
    .public_key(KEY.public_key())
    .serial_number(1)
    .not_valid_before(datetime(2026, 1, 1))
    .not_valid_after(datetime(2026, 1, 1) + timedelta(days=3650))
    .sign(KEY, SHA256())
)
DER = CERTIFICATE.public_bytes(Encoding.DER)
WIFI = {"PayloadType": "com.apple.wifi.managed", "SSID_STR": "HQ", "PayloadDisplayName": "Wi-Fi"}
ROOT = {"PayloadType": "com.apple.security.root", "PayloadContent": DER}
MDM = {
    "PayloadType": "com.apple.mdm",
    "IdentityCertificateUUID": "x",
    "Topic": "com.apple.mgmt.External.1",
    "ServerURL": "https://mdm.example/mdm",
    "AccessRights": 8191,
}
ENROLLMENT = profile(ROOT, MDM, identifier="com.example.enroll")


@pytest.mark.parametrize("platform", list(Platform))
def test_an_installed_profile_is_listed_and_a_removed_one_is_not(platform: Platform) -> None:
    state = device(platform)
    acknowledged(state, "InstallProfile", Payload=profile(WIFI))
    (listed,) = acknowledged(state, "ProfileList")["ProfileList"]
    assert listed["PayloadIdentifier"] == "com.example.p"
    assert listed["PayloadDisplayName"] == "Office"
    assert listed["PayloadContent"][0]["PayloadType"] == "com.apple.wifi.managed"
    assert listed["PayloadContent"][0]["PayloadDisplayName"] == "Wi-Fi"
    acknowledged(state, "RemoveProfile", Identifier="com.example.p")
    assert acknowledged(state, "ProfileList")["ProfileList"] == []


def test_a_second_one_with_the_same_identifier_replaces_the_first() -> None:
    state = device(Platform.IPHONE)
    acknowledged(state, "InstallProfile", Payload=profile(WIFI))
    acknowledged(state, "InstallProfile", Payload=profile(ROOT, PayloadUUID="second"))
    acknowledged(state, "InstallProfile", Payload=profile(WIFI, identifier="com.example.q"))
    listed = acknowledged(state, "ProfileList")["ProfileList"]
    assert [one["PayloadUUID"] for one in listed] == ["second", "uuid-of-com.example.q"]


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_a_signed_profile_shows_its_signer(encoding: Encoding) -> None:
    state = device(Platform.MAC)
    signed = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(profile(WIFI))
        .add_signer(CERTIFICATE, KEY, SHA256())
        .sign(encoding, [pkcs7.PKCS7Options.Binary])
    )
    reply = send(state, "InstallProfile", Payload=signed)
    if encoding is Encoding.PEM:
        assert codes(reply) == [1009, 1000]
        return
    (listed,) = acknowledged(state, "ProfileList")["ProfileList"]
    assert listed["SignerCertificates"] == [DER]


BROKEN = {
    "not a plist": (b"hello", 1000),
    "no dictionary": (plistlib.dumps(["a"]), 1000),
    "truncated CMS": (b"\x30\x82\x01", 1000),
    "no identifier": (plistlib.dumps({"PayloadType": "Configuration"}), 1002),
    "identifier of a wrong type": (profile(WIFI, PayloadIdentifier=3), 1003),
    "unknown version": (profile(WIFI, PayloadVersion=2), 1001),
    "another type": (profile(WIFI, PayloadType="Letter"), 1010),
    "encrypted": (profile(EncryptedPayloadContent=b"x"), 1006),
    "same UUIDs": (profile(WIFI | {"PayloadUUID": "x"}, ROOT | {"PayloadUUID": "x"}), 1007),
    "payload without type": (profile({}), 2002),
    "web clip without URL": (profile({"PayloadType": "com.apple.webClip.managed"}), 2002),
    "certificate as text": (profile(ROOT | {"PayloadContent": "text"}), 2003),
    "bad certificate": (profile(ROOT | {"PayloadContent": b"junk"}), 9005),
    "declarations": (profile({"PayloadType": "com.apple.declarations"}), 4023),
    "a second MDM": (ENROLLMENT, 12001),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_profile_is_refused_with_its_cause_and_changes_nothing(name: str) -> None:
    payload, code = BROKEN[name]
    state = device(Platform.IPAD)
    assert codes(send(state, "InstallProfile", Payload=payload)) == [1009, code]
    assert acknowledged(state, "ProfileList")["ProfileList"] == []


@given(some.one_of(some.binary(max_size=200), some.binary(max_size=60).map(b"\x30\x82".__add__)))
def test_any_bytes_get_an_error_chain(payload: bytes) -> None:
    assert codes(send(device(Platform.MAC), "InstallProfile", Payload=payload))[0] == 1009


@pytest.mark.parametrize("encoding", [b"ATF-8", b"hex", b"utf-7", b"idna"])
def test_a_profile_in_no_known_encoding_is_malformed(encoding: bytes) -> None:
    odd = profile(WIFI).replace(b"UTF-8", encoding, 1)
    assert codes(send(device(Platform.MAC), "InstallProfile", Payload=odd)) == [1009, 1000]
    state = device(Platform.IPHONE)
    provisioning = send(state, "InstallProvisioningProfile", ProvisioningProfile=odd)
    assert codes(provisioning) == [25000]


@given(some.data())
def test_damaged_profiles_get_an_answer(data: some.DataObject) -> None:
    place = data.draw(some.integers(0, len(ENROLLMENT) - 1))
    damaged = bytearray(profile(WIFI, ROOT))
    damaged[place % len(damaged)] = data.draw(some.integers(0, 255))
    reply = send(device(Platform.MAC), "InstallProfile", Payload=bytes(damaged))
    assert reply.status in ("Acknowledged", "Error")


def test_certificates_of_profiles_are_listed() -> None:
    state = device(Platform.MAC)
    identity = pkcs12.serialize_key_and_certificates(
        b"id", KEY, CERTIFICATE, None, BestAvailableEncryption(b"secret")
    )
    p12 = {"PayloadType": "com.apple.security.pkcs12", "PayloadContent": identity}
    assert codes(send(state, "InstallProfile", Payload=profile(p12)))[-1] == 9000
    pem = {
        "PayloadType": "com.apple.security.pem",
        "PayloadContent": CERTIFICATE.public_bytes(Encoding.PEM),
    }
    acknowledged(state, "InstallProfile", Payload=profile(ROOT, pem, p12 | {"Password": "secret"}))
    listed = acknowledged(state, "CertificateList")["CertificateList"]
    assert listed == [
        {"CommonName": "Office Root", "IsIdentity": identity, "Data": DER}
        for identity in (False, False, True)
    ]


def test_enrolling_lists_the_enrollment_profile_and_identity_and_removing_it_ends_all() -> None:
    state = device(Platform.IPHONE)
    adopt(state, ENROLLMENT, DER)
    acknowledged(state, "InstallProfile", Payload=profile(WIFI))
    acknowledged(state, "InstallApplication", Identifier="com.apple.Keynote", ManagementFlags=1)
    (identity,) = [
        one
        for one in acknowledged(state, "CertificateList")["CertificateList"]
        if one["IsIdentity"]
    ]
    assert identity["Data"] == DER
    reply = send(state, "RemoveProfile", Identifier="com.example.enroll")
    assert (reply.status, reply.after) == ("Acknowledged", After.UNENROLL)
    assert not state.profiles
    assert not state.managed_apps
    assert state.needs_enrollment


def test_a_new_enrollment_profile_renews() -> None:
    state = device(Platform.MAC)
    adopt(state, ENROLLMENT, DER)
    assert send(state, "InstallProfile", Payload=ENROLLMENT).after is After.RENEW
    foreign = profile(MDM, identifier="com.example.other")
    assert codes(send(state, "InstallProfile", Payload=foreign)) == [1009, 12001]


def test_removing_what_is_not_there_is_an_error() -> None:
    assert codes(send(device(Platform.MAC), "RemoveProfile", Identifier="nothing")) == [12075]


def test_profiles_of_the_user_are_their_own() -> None:
    state = device(Platform.MAC)
    install = {"RequestType": "InstallProfile", "Payload": profile(WIFI)}
    assert answer(state, install, NOW, user_channel=True).status == "Acknowledged"
    assert acknowledged(state, "ProfileList")["ProfileList"] == []
    listed = answer(state, {"RequestType": "ProfileList"}, NOW, user_channel=True)
    assert len(listed.body["ProfileList"]) == 1


def test_restrictions_are_reported_and_the_tighter_one_wins() -> None:
    state = device(Platform.IPHONE)
    for number, camera in enumerate((True, False)):
        payload = {
            "PayloadType": "com.apple.applicationaccess",
            "allowCamera": camera,
            "forceEncryptedBackup": camera,
            "blockedAppBundleIDs": [f"com.example.{number}"],
        }
        acknowledged(
            state,
            "InstallProfile",
            Payload=profile(payload, identifier=f"com.example.{number}"),
        )
    body = acknowledged(state, "Restrictions", ProfileRestrictions=True)
    together = body["GlobalRestrictions"]
    assert together["restrictedBool"]["allowCamera"] == {"value": False}
    assert together["restrictedBool"]["forceEncryptedBackup"] == {"value": True}
    assert together["union"]["blockedAppBundleIDs"]["values"] == ["com.example.0", "com.example.1"]
    assert set(body["ProfileRestrictions"]) == {"com.example.0", "com.example.1"}


def test_a_passcode_policy_shows_in_security_info() -> None:
    state = device(Platform.IPHONE, passcode=False)
    policy = {
        "PayloadType": "com.apple.mobiledevice.passwordpolicy",
        "forcePIN": True,
        "maxGracePeriod": 5,
    }
    acknowledged(state, "InstallProfile", Payload=profile(policy))
    info = acknowledged(state, "SecurityInfo")["SecurityInfo"]
    assert info["PasscodeCompliantWithProfiles"] is False
    assert info["PasscodeLockGracePeriodEnforced"] == 300


def test_firewall_and_filevault_profiles_show_in_security_info() -> None:
    state = device(Platform.MAC)
    firewall = {"PayloadType": "com.apple.security.firewall", "EnableFirewall": True}
    certificate = ROOT | {"PayloadType": "com.apple.security.pkcs1", "PayloadUUID": "escrow"}
    escrow = {
        "PayloadType": "com.apple.security.FDERecoveryKeyEscrow",
        "Location": "Office",
        "EncryptCertPayloadUUID": "escrow",
    }
    filevault = {"PayloadType": "com.apple.MCX.FileVault2", "Enable": "On"}
    before = acknowledged(state, "SecurityInfo")["SecurityInfo"]
    assert before["FDE_Enabled"] is False
    acknowledged(state, "InstallProfile", Payload=profile(firewall, certificate, escrow, filevault))
    info = acknowledged(state, "SecurityInfo")["SecurityInfo"]
    assert info["FirewallSettings"]["FirewallEnabled"] is True
    assert info["FDE_Enabled"] and info["FDE_HasPersonalRecoveryKey"]
    assert info["FDE_PersonalRecoveryKeyDeviceKey"] == state.serial_number
    key = pkcs7.pkcs7_decrypt_der(info["FDE_PersonalRecoveryKeyCMS"], CERTIFICATE, KEY, [])
    assert len(key.decode()) == len("XXXX-XXXX-XXXX-XXXX-XXXX-XXXX")
    assert state.mac
    assert key.decode() == state.mac.filevault_key


def test_provisioning_profiles_come_and_go() -> None:
    state = device(Platform.IPHONE)
    content = {"Name": "In-house", "UUID": "p1", "ExpirationDate": datetime(2027, 1, 1)}
    acknowledged(state, "InstallProvisioningProfile", ProvisioningProfile=plistlib.dumps(content))
    assert acknowledged(state, "ProvisioningProfileList")["ProvisioningProfileList"] == [
        {"Name": "In-house", "UUID": "p1", "ExpiryDate": datetime(2027, 1, 1)}
    ]
    acknowledged(state, "RemoveProvisioningProfile", UUID="p1")
    assert codes(send(state, "RemoveProvisioningProfile", UUID="p1")) == [12014]
    junk = send(state, "InstallProvisioningProfile", ProvisioningProfile=b"junk")
    assert codes(junk) == [25000]
