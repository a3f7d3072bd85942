"""Which enrollment profiles a device takes, and the words in which it refuses the others."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from appliance.simulator import cms, keys
from appliance.simulator.failures import ProfileRefused
from appliance.simulator.identity import identity_of
from appliance.simulator.profile import Pkcs12Payload, ScepPayload, read_enrollment
from tests.simulator.fake_mdm import IDENTITY, mdm_payload, payload, pkcs12_payload, profile

URL = "https://mdm.example.org"


def scep_payload(**content: Any) -> dict[str, Any]:
    content = {"URL": "http://scep.example.org/", "Challenge": "secret", **content}
    return payload("com.apple.security.scep", PayloadContent=content)


def test_a_profile_with_scep_is_read_whole() -> None:
    identity = scep_payload(Keysize=4096, Subject=[[["O", "Lab"]], [["CN", "x"], ["OU", "y"]]])
    read = read_enrollment(
        profile(identity, mdm_payload(URL, identity, CheckInURL=f"{URL}/checkin", AccessRights=3))
    )
    assert isinstance(read.identity, ScepPayload)
    assert read.identity.key_size == 4096
    assert read.identity.challenge == "secret"
    assert read.identity.subject == ((("O", "Lab"),), (("CN", "x"), ("OU", "y")))
    assert read.management.check_in_url == f"{URL}/checkin"
    assert read.management.rights == 3
    assert "secret" not in repr(read)


def test_an_identity_can_come_with_the_profile() -> None:
    identity = pkcs12_payload()
    read = read_enrollment(profile(identity, mdm_payload(URL, identity)))
    assert isinstance(read.identity, Pkcs12Payload)
    assert identity_of(read.identity).certificate == IDENTITY.certificate


@pytest.mark.parametrize("indefinite", [False, True], ids=["der", "ber"])
def test_a_signed_profile_is_read_and_a_changed_one_is_not(indefinite: bool) -> None:
    identity = scep_payload()
    xml = profile(identity, mdm_payload(URL, identity))
    attributes = cms.basic_attributes(xml, "sha256")
    signer = cms.Signer(identity=keys.self_signed(keys.name(("CN", "mdm"))), attributes=attributes)
    signed = cms.signed_data(xml, [signer], indefinite=indefinite)
    assert read_enrollment(signed).management.server_url == f"{URL}/mdm"
    with pytest.raises(ProfileRefused, match="signature"):
        read_enrollment(signed.replace(b"8191", b"8190"))


def _without_mdm() -> bytes:
    return profile(scep_payload())


def _with_mdm(**changes: Any) -> bytes:
    identity = scep_payload()
    return profile(identity, mdm_payload(URL, identity, **changes))


def _two() -> bytes:
    identity = scep_payload()
    return profile(identity, mdm_payload(URL, identity), mdm_payload(URL, identity))


def _acme() -> bytes:
    identity = payload("com.apple.security.acme", DirectoryURL=URL)
    return profile(identity, mdm_payload(URL, identity))


def _without(key: str) -> bytes:
    identity = scep_payload()
    mdm = mdm_payload(URL, identity)
    del mdm[key]
    return profile(identity, mdm)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a configuration profile"),
        (b"<html></html>", "not a configuration profile"),
        (b'<?xml version="1.0" encoding="ATF-8"?><plist/>', "unknown encoding: ATF-8"),
        (b"\x30\x03abc", "signature"),
        (plistlib.dumps([1]), "not a configuration profile"),
        (plistlib.dumps({"PayloadType": "com.apple.mdm"}), "its PayloadType is another"),
        (plistlib.dumps({"PayloadType": "Configuration", "IsEncrypted": True}), "encrypted"),
        (_without_mdm(), "no com.apple.mdm payload"),
        (_two(), "2 com.apple.mdm payloads"),
        (_acme(), "com.apple.security.acme cannot be simulated"),
        (_with_mdm(ServerURL="http://mdm.example.org/mdm"), "ServerURL is no https address"),
        (_with_mdm(CheckInURL="http://mdm.example.org/"), "CheckInURL is no https address"),
        (_with_mdm(Topic="org.example"), "does not begin with com.apple.mgmt."),
        (_with_mdm(AccessRights=0), "AccessRights 0"),
        (_with_mdm(IdentityCertificateUUID="another"), "names no payload"),
        (_without("Topic"), "KeyError\\('Topic'\\)"),
    ],
)
def test_a_profile_is_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(ProfileRefused, match=said):
        read_enrollment(data)
