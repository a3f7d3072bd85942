"""The configuration profiles that the server itself makes, unsigned, and how any is called.

A device replaces a profile by one with the same top-level PayloadIdentifier, so identifiers and
UUIDs follow from the server's URL. Only the identity differs in each download.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from appliance.mdm.attributes import DEVICE_ATTRIBUTES
from appliance.wire.cms import split_content
from appliance.wire.plist import Value, dumps, loads

ALL_ACCESS_RIGHTS = 8191
SERVER_CAPABILITIES = (
    "com.apple.mdm.per-user-connections",
    "com.apple.mdm.bootstraptoken",
    "com.apple.mdm.token",
)
_MDM = "com.apple.mdm"
_ENROLLS = ".appliance.enroll"
_SEQUENCE = b"\x30"  # with which CMS begins
SIGNING_AND_ENCRYPTION = 5  # the bits of "Key Usage": SCEP needs both


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustProfile:
    """What a device must trust before it can reach the server."""

    server_url: str  # https://host[:port], from which all identifiers follow
    organization: str
    roots: Sequence[bytes]  # DER, trust anchors of the server's TLS and of the device CA
    display_name: str = "Trust"
    description: str = "Lets this device trust its management server."


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentProfile:
    """What one download of the enrollment profile says."""

    server_url: str  # https://host[:port], from which all identifiers follow
    organization: str
    topic: str  # of the push certificate
    mdm_url: str
    checkin_url: str | None = None  # None: the same as `mdm_url`
    scep_url: str
    scep_name: str = "appliance"
    challenge: str = field(repr=False)
    nonce: str  # differs in each download, as each yields an identity of its own
    ca_fingerprint: bytes  # SHA-256 of the CA certificate's DER; its length names the digest
    common_name: str = "Device identity"
    roots: Sequence[bytes] = ()
    key_size_bits: int = 2048
    access_rights: int = ALL_ACCESS_RIGHTS
    display_name: str = "Device management"
    description: str = "Enrolls this device in device management."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileService:
    """How a device begins to enroll over the air."""

    server_url: str  # https://host[:port], from which all identifiers follow
    organization: str
    url: str  # to which the device says who it is
    challenge: str = field(repr=False)  # which it says there
    display_name: str = "Device management"
    description: str = "Asks this device to prove its identity."


def profile_service(service: ProfileService) -> bytes:
    """Return what asks a device to say who it is, and to sign that with its own identity.

    Source: Over-the-Air Profile Delivery and Configuration, "Phase 1": no `Configuration` around.
    """
    names = _Names(service.server_url, "ota")
    return dumps(
        {
            **names.payload("Profile Service", "service"),
            "PayloadDisplayName": service.display_name,
            "PayloadDescription": service.description,
            "PayloadOrganization": service.organization,
            "PayloadContent": {
                "URL": service.url,
                "DeviceAttributes": list(DEVICE_ATTRIBUTES),
                "Challenge": service.challenge,
            },
        }
    )


def identity_profile(profile: EnrollmentProfile) -> bytes:
    """Return the profile that gives a device an identity by SCEP, and nothing else."""
    names = _Names(profile.server_url, "identity")
    return _configuration(names, [_scep_payload(profile, names)], profile)


def enrollment_profile(profile: EnrollmentProfile) -> bytes:
    """Return the profile that enrolls a device: trust, its identity by SCEP, MDM."""
    names = _Names(profile.server_url, "enroll")
    scep = _scep_payload(profile, names)
    content = [
        *_root_payloads(profile.roots, names, profile.organization),
        scep,
        _mdm_payload(profile, names, identity_uuid=str(scep["PayloadUUID"])),
    ]
    return _configuration(names, content, profile)


def is_of_enrollment(identifier: str) -> bool:
    """Tell whether a profile of this identifier enrolls a device: removing it ends management.

    Whatever the server was called when it made it.
    """
    return identifier.endswith(_ENROLLS)


def manages(profile: bytes) -> bool:
    """Tell whether a configuration profile, signed or not, has to do with who manages the device.

    It does if it is called as an enrollment profile of ours, and so replaces it, or if it brings
    an MDM payload of its own. Nothing is verified.

    Raises:
        MalformedMessage: neither a property list nor a CMS message with one inside.
    """
    content = split_content(profile) if profile.startswith(_SEQUENCE) else profile
    read = loads(content)
    payloads = read.value.get("PayloadContent", [])
    if not isinstance(payloads, list) or "EncryptedPayloadContent" in read.value:
        return True  # nobody knows what it brings
    return is_of_enrollment(read.text("PayloadIdentifier")) or any(
        isinstance(payload, dict) and payload.get("PayloadType") == _MDM for payload in payloads
    )


def trust_profile(profile: TrustProfile) -> bytes:
    """Return the profile that makes a device trust the server, and nothing else."""
    names = _Names(profile.server_url, "trust")
    content = _root_payloads(profile.roots, names, profile.organization)
    return _configuration(names, content, profile)


class _Names:
    """Stable identifiers of one profile of one server."""

    def __init__(self, server_url: str, kind: str) -> None:
        host = (urlsplit(server_url).hostname or "localhost").lower()
        # Reverse-DNS as Apple recommends; an address stays in its order.
        address = ":" in host or host.replace(".", "").isdigit()
        labels = [host.replace(":", "-")] if address else host.split(".")[::-1]
        self.identifier = ".".join(labels) + f".appliance.{kind}"
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"{server_url}#{kind}")

    def payload(self, kind: str, name: str, *, distinct: str = "") -> dict[str, Value]:
        """Return the keys that every payload has."""
        return {
            "PayloadType": kind,
            "PayloadVersion": 1,
            "PayloadIdentifier": f"{self.identifier}.{name}",
            "PayloadUUID": self.uuid(f"{name}#{distinct}"),
        }

    def uuid(self, name: str) -> str:
        return str(uuid.uuid5(self._namespace, name)).upper()


def _configuration(
    names: _Names, content: Sequence[dict[str, Value]], profile: EnrollmentProfile | TrustProfile
) -> bytes:
    return dumps(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": names.identifier,
            "PayloadUUID": names.uuid(""),
            "PayloadDisplayName": profile.display_name,
            "PayloadDescription": profile.description,
            "PayloadOrganization": profile.organization,
            "PayloadScope": "System",
            "PayloadContent": list(content),
        }
    )


def _root_payloads(
    roots: Sequence[bytes], names: _Names, organization: str
) -> list[dict[str, Value]]:
    return [
        {
            **names.payload("com.apple.security.root", f"root{number}", distinct=der.hex()),
            "PayloadDisplayName": f"{organization} certificate authority",
            "PayloadDescription": "Proves that the management server is the right one.",
            "PayloadOrganization": organization,
            "PayloadCertificateFileName": f"root{number}.cer",
            "PayloadContent": der,
        }
        for number, der in enumerate(dict.fromkeys(roots), start=1)
    ]


def _scep_payload(profile: EnrollmentProfile, names: _Names) -> dict[str, Value]:
    return {
        # A payload whose UUID a device knows is not run again, and no new identity made.
        **names.payload("com.apple.security.scep", "scep", distinct=profile.nonce),
        "PayloadDisplayName": "Device identity",
        "PayloadDescription": "Gives this device its certificate.",
        "PayloadOrganization": profile.organization,
        "PayloadContent": {
            "URL": profile.scep_url,
            "Name": profile.scep_name,
            "Subject": [
                [["O", profile.organization]],
                [["CN", profile.common_name]],
            ],
            "Challenge": profile.challenge,
            "Keysize": profile.key_size_bits,
            "Key Type": "RSA",
            "Key Usage": SIGNING_AND_ENCRYPTION,
            "CAFingerprint": profile.ca_fingerprint,
            "Retries": 3,
            "RetryDelay": 10,
            "KeyIsExtractable": False,
        },
    }


def _mdm_payload(
    profile: EnrollmentProfile, names: _Names, *, identity_uuid: str
) -> dict[str, Value]:
    payload: dict[str, Value] = {
        **names.payload(_MDM, "mdm"),
        "PayloadDisplayName": profile.display_name,
        "PayloadDescription": profile.description,
        "PayloadOrganization": profile.organization,
        "IdentityCertificateUUID": identity_uuid,
        "Topic": profile.topic,
        "ServerURL": profile.mdm_url,
        "SignMessage": True,
        "AccessRights": profile.access_rights,
        "CheckOutWhenRemoved": True,
        "ServerCapabilities": list(SERVER_CAPABILITIES),
    }
    if profile.checkin_url is not None:
        payload["CheckInURL"] = profile.checkin_url
    return payload
