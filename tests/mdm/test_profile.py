"""The profiles that the server makes enroll a device, and replace what it has."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from typing import Any

import pytest

from appliance.errors import MalformedMessage
from appliance.mdm.profile import (
    EnrollmentProfile,
    ProfileService,
    TrustProfile,
    enrollment_profile,
    identity_profile,
    manages,
    profile_service,
    trust_profile,
)
from appliance.simulator import cms, keys
from appliance.wire.plist import loads

TRUST = TrustProfile(
    server_url="https://mdm.example.com:8443",
    organization="Example",
    roots=[b"tls root", b"device ca"],
)
ENROLL = EnrollmentProfile(
    server_url="https://mdm.example.com:8443",
    organization="Example",
    topic="com.apple.mgmt.External.x",
    mdm_url="https://mdm.example.com:8443/mdm",
    scep_url="https://mdm.example.com:8443/scep",
    challenge="one-time",
    nonce="n1",
    ca_fingerprint=bytes(32),
    roots=[b"tls root", b"device ca", b"tls root"],
)


def read(profile: EnrollmentProfile | TrustProfile) -> dict[str, Any]:
    made = (
        enrollment_profile(profile)
        if isinstance(profile, EnrollmentProfile)
        else trust_profile(profile)
    )
    assert loads(made)
    read: dict[str, Any] = plistlib.loads(made)
    return read


def payload(profile: dict[str, Any], kind: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        item for item in profile["PayloadContent"] if item["PayloadType"] == kind
    ]
    assert len(found) == 1
    return found[0]


def test_the_mdm_payload_enrolls_with_the_identity_of_the_scep_payload() -> None:
    profile = read(ENROLL)
    mdm, scep = payload(profile, "com.apple.mdm"), payload(profile, "com.apple.security.scep")
    assert mdm["IdentityCertificateUUID"] == scep["PayloadUUID"]
    assert mdm["ServerURL"] == "https://mdm.example.com:8443/mdm"
    assert "CheckInURL" not in mdm
    assert (mdm["Topic"], mdm["AccessRights"]) == ("com.apple.mgmt.External.x", 8191)
    assert mdm["SignMessage"] is True
    assert mdm["CheckOutWhenRemoved"] is True
    assert set(mdm["ServerCapabilities"]) == {
        "com.apple.mdm.per-user-connections",
        "com.apple.mdm.bootstraptoken",
        "com.apple.mdm.token",
    }


def test_a_second_url_serves_check_ins_if_there_is_one() -> None:
    url = "https://mdm.example.com:8443/checkin"
    assert payload(read(replace(ENROLL, checkin_url=url)), "com.apple.mdm")["CheckInURL"] == url


def test_the_scep_payload_asks_for_a_key_that_signs_and_decrypts() -> None:
    scep = payload(read(ENROLL), "com.apple.security.scep")["PayloadContent"]
    assert (scep["Key Type"], scep["Keysize"], scep["Key Usage"]) == ("RSA", 2048, 5)
    assert (scep["URL"], scep["Challenge"]) == ("https://mdm.example.com:8443/scep", "one-time")
    assert scep["CAFingerprint"] == bytes(32)
    assert scep["KeyIsExtractable"] is False
    assert scep["Subject"] == [[["O", "Example"]], [["CN", "Device identity"]]]


@pytest.mark.parametrize("profile", [ENROLL, TRUST], ids=["enroll", "trust"])
def test_each_root_is_delivered_once(profile: EnrollmentProfile | TrustProfile) -> None:
    roots = [
        item["PayloadContent"]
        for item in read(profile)["PayloadContent"]
        if item["PayloadType"] == "com.apple.security.root"
    ]
    assert roots == [b"tls root", b"device ca"]


@pytest.mark.parametrize("profile", [ENROLL, TRUST], ids=["enroll", "trust"])
def test_payloads_are_named_once_each(profile: EnrollmentProfile | TrustProfile) -> None:
    made = read(profile)
    every = [made, *made["PayloadContent"]]
    for key in ("PayloadIdentifier", "PayloadUUID"):
        assert len({item[key] for item in every}) == len(every)
    assert all(item["PayloadVersion"] == 1 and item["PayloadDisplayName"] for item in every)
    assert made["PayloadType"] == "Configuration"


def test_a_later_download_replaces_the_profile_with_a_new_identity_only() -> None:
    first, second = read(ENROLL), read(replace(ENROLL, nonce="n2", challenge="another"))
    for kind in ("com.apple.security.scep", "com.apple.mdm"):
        one, other = payload(first, kind), payload(second, kind)
        assert one["PayloadIdentifier"] == other["PayloadIdentifier"]
        assert (one["PayloadUUID"] == other["PayloadUUID"]) is (kind == "com.apple.mdm")
    assert first["PayloadIdentifier"] == second["PayloadIdentifier"]
    assert first["PayloadUUID"] == second["PayloadUUID"]


def test_another_server_has_other_identifiers() -> None:
    other = replace(TRUST, server_url="https://other.example.com")
    assert read(other)["PayloadIdentifier"] == "com.example.other.appliance.trust"
    assert read(TRUST)["PayloadIdentifier"] == "com.example.mdm.appliance.trust"
    port = replace(TRUST, server_url="https://mdm.example.com")
    assert read(port)["PayloadUUID"] != read(TRUST)["PayloadUUID"]


@pytest.mark.parametrize(
    ("url", "identifier"),
    [
        ("https://192.168.1.5:8443", "192.168.1.5.appliance.trust"),
        ("https://[fe80::1]:8443", "fe80--1.appliance.trust"),
        ("https://MAC.local", "local.mac.appliance.trust"),
    ],
)
def test_an_address_is_a_stable_identifier_too(url: str, identifier: str) -> None:
    assert read(replace(TRUST, server_url=url))["PayloadIdentifier"] == identifier


def test_people_read_what_the_caller_says() -> None:
    made = read(replace(TRUST, display_name="Example trust", description="Why", organization="É"))
    assert made["PayloadDisplayName"] == "Example trust"
    assert made["PayloadDescription"] == "Why"
    assert made["PayloadOrganization"] == "É"


def test_the_challenge_stays_out_of_repr() -> None:
    assert "one-time" not in repr(ENROLL)


def payload_identifier(profile: EnrollmentProfile) -> str:
    identifier: str = plistlib.loads(enrollment_profile(profile))["PayloadIdentifier"]
    return identifier


def test_what_touches_the_management_is_found_signed_or_not() -> None:
    profile = enrollment_profile(ENROLL)
    signer = cms.Signer(identity=keys.self_signed(keys.name(("CN", "whoever"))))
    forms = [cms.signed_data(profile, [signer], indefinite=ber) for ber in (False, True)]
    for form in (profile, b"\xef\xbb\xbf" + profile, *forms):
        assert manages(form)
    theirs = {
        "PayloadIdentifier": "com.example",
        "PayloadContent": [{"PayloadType": "com.apple.mdm"}],
    }
    assert manages(plistlib.dumps(theirs)), "it brings an MDM payload"
    wifi = {"PayloadIdentifier": "com.example.wifi", "PayloadContent": [{"PayloadType": "wifi"}]}
    assert not manages(plistlib.dumps(wifi))
    ours = payload_identifier(replace(ENROLL, server_url="https://former.example.com"))
    assert manages(plistlib.dumps({**wifi, "PayloadIdentifier": ours})), "of a former name, too"
    for unknown in ({"PayloadContent": b"?"}, {"EncryptedPayloadContent": b"?"}):
        assert manages(plistlib.dumps({**wifi, **unknown}))


@pytest.mark.parametrize(
    "profile",
    [b"", b"\0", b"bplist00", b"0\0", b"<plist><array/></plist>", b"<plist><dict/></plist>"],
)
def test_what_is_no_profile_is_not_judged(profile: bytes) -> None:
    with pytest.raises(MalformedMessage):
        manages(profile)


def test_the_identity_profile_brings_an_identity_and_replaces_no_other() -> None:
    made = plistlib.loads(identity_profile(ENROLL))
    assert [one["PayloadType"] for one in made["PayloadContent"]] == ["com.apple.security.scep"]
    assert payload(made, "com.apple.security.scep")["PayloadContent"]["Challenge"] == "one-time"
    assert not manages(identity_profile(ENROLL))


def test_the_profile_service_stands_bare_and_hides_its_challenge() -> None:
    service = ProfileService(
        server_url=ENROLL.server_url,
        organization="Example",
        url="https://x/ota",
        challenge="secret",
    )
    made = plistlib.loads(profile_service(service))
    assert (made["PayloadType"], made["PayloadVersion"]) == ("Profile Service", 1)
    assert made["PayloadContent"] == {
        "URL": "https://x/ota",
        "DeviceAttributes": ["UDID", "SERIAL", "PRODUCT"],
        "Challenge": "secret",
    }
    assert "secret" not in repr(service)
