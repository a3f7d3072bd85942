"""Reads an enrollment profile the way a device does: signed or plain, payload by payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from appliance.simulator import cms, plist
from appliance.simulator.failures import MessageRefused, ProfileRefused

_MDM = "com.apple.mdm"
_SCEP = "com.apple.security.scep"
_PKCS12 = "com.apple.security.pkcs12"
_ROOTS = ("com.apple.security.root", "com.apple.security.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A configuration profile and, when it was signed, its signer."""

    plist: Mapping[str, Any]
    xml: bytes
    signer: x509.Certificate | None
    chain: tuple[x509.Certificate, ...] = ()  # the signer, then the others of the signature

    @classmethod
    def read(cls, data: bytes) -> Profile:
        """Read the file; ProfileRefused for what is no profile or wrongly signed."""
        signer, xml = None, data
        chain: tuple[x509.Certificate, ...] = ()
        if data[:1] == b"\x30":
            try:
                verified = cms.verify(data)
            except MessageRefused as error:
                raise ProfileRefused(f"the profile's signature: {error}") from error
            signer, xml = verified.signer, verified.content or b""
            chain = (signer, *(one for one in verified.certificates if one != signer))
        try:
            read = plist.loads(xml)
        except ValueError as error:
            raise ProfileRefused(f"not a configuration profile: {error}") from error
        if not isinstance(read, dict) or read.get("PayloadType") != "Configuration":
            raise ProfileRefused("not a configuration profile: its PayloadType is another")
        if read.get("IsEncrypted"):
            raise ProfileRefused("the profile is encrypted for a device that has an identity")
        content = read.get("PayloadContent", [])
        if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
            raise ProfileRefused("not a configuration profile: no list of payloads")
        return cls(plist=read, xml=xml, signer=signer, chain=chain)

    def payloads(self, *payload_types: str) -> list[Mapping[str, Any]]:
        """All payloads of these types."""
        content = self.plist.get("PayloadContent", [])
        return [p for p in content if p.get("PayloadType") in payload_types]

    def payload(self, payload_type: str) -> Mapping[str, Any]:
        """The only payload of one type."""
        found = self.payloads(payload_type)
        if len(found) != 1:
            raise ProfileRefused(f"the profile has {len(found)} {payload_type} payloads, not one")
        return found[0]

    @property
    def mdm(self) -> Mapping[str, Any]:
        """The `com.apple.mdm` payload."""
        return self.payload(_MDM)

    @property
    def scep(self) -> Mapping[str, Any]:
        """What the `com.apple.security.scep` payload nests in its PayloadContent."""
        content: Mapping[str, Any] = self.payload(_SCEP)["PayloadContent"]
        return content

    @property
    def subject(self) -> list[tuple[str, str]]:
        """The subject that the device asks for, as pairs."""
        return [(key, value) for rdn in self.scep.get("Subject", []) for key, value in rdn]

    @property
    def roots(self) -> list[x509.Certificate]:
        """Certificates that the profile makes the device trust."""
        return [_certificate(each["PayloadContent"]) for each in self.payloads(*_ROOTS)]


def _certificate(data: bytes) -> x509.Certificate:
    try:
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise ProfileRefused(f"a certificate payload holds no certificate: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepPayload:
    """Where and how to ask for an identity; `retry_delay` in seconds."""

    url: str
    name: str
    subject: tuple[tuple[tuple[str, str], ...], ...]
    challenge: str | None = field(repr=False)
    key_size: int
    key_usage: int
    fingerprint: bytes
    retries: int
    retry_delay: float
    alternative_names: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs12Payload:
    """An identity that came with the profile."""

    data: bytes = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """The `com.apple.mdm` payload and the trust that came with it; shared by many devices."""

    identifier: str
    server_url: str
    check_in_url: str
    topic: str
    signs: bool
    checks_out: bool
    rights: int
    capabilities: frozenset[str]
    roots: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """What a device needs of an enrollment profile."""

    management: Management
    identity: ScepPayload | Pkcs12Payload
    chain: tuple[x509.Certificate, ...] = ()  # of the signature, the signer first


def read_enrollment(data: bytes) -> Enrollment:
    """Read an enrollment profile; ProfileRefused, with the reason, where a device would refuse."""
    profile = Profile.read(data)
    if not profile.payloads(_MDM):
        raise ProfileRefused(f"no {_MDM} payload: this profile does not enroll a device")
    mdm = profile.mdm
    try:
        management, identity = _management(profile, mdm), _identity(profile, mdm)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProfileRefused(f"a payload lacks a key, or it has a wrong type: {error!r}") from error
    return Enrollment(management=management, identity=identity, chain=profile.chain)


def _management(profile: Profile, mdm: Mapping[str, Any]) -> Management:
    server_url = _https(mdm, "ServerURL")
    topic = mdm["Topic"]
    if not topic.startswith("com.apple.mgmt."):
        raise ProfileRefused(f"Topic {topic!r} does not begin with com.apple.mgmt.")
    if mdm.get("AccessRights") == 0:
        raise ProfileRefused("AccessRights 0 allows nothing")
    return Management(
        identifier=profile.plist["PayloadIdentifier"],
        server_url=server_url,
        check_in_url=_https(mdm, "CheckInURL") if "CheckInURL" in mdm else server_url,
        topic=topic,
        signs=bool(mdm.get("SignMessage", False)),
        checks_out=bool(mdm.get("CheckOutWhenRemoved", False)),
        rights=int(mdm.get("AccessRights", 8191)),
        capabilities=frozenset(mdm.get("ServerCapabilities", ())),
        roots=tuple(profile.roots),
    )


def _https(mdm: Mapping[str, Any], key: str) -> str:
    url: str = mdm[key]
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise ProfileRefused(f"{key} is no https address: devices talk to nothing else")
    return url


def _identity(profile: Profile, mdm: Mapping[str, Any]) -> ScepPayload | Pkcs12Payload:
    uuid = mdm["IdentityCertificateUUID"]
    named = [p for p in profile.plist["PayloadContent"] if p.get("PayloadUUID") == uuid]
    match [(p["PayloadType"], p) for p in named]:
        case [(str(kind), payload)] if kind == _SCEP:
            return _scep(payload["PayloadContent"])
        case [(str(kind), payload)] if kind == _PKCS12:
            return Pkcs12Payload(
                data=payload["PayloadContent"], password=payload.get("Password", "")
            )
        case [(str(kind), _)]:
            raise ProfileRefused(f"an identity of type {kind} cannot be simulated")
        case _:
            raise ProfileRefused("IdentityCertificateUUID names no payload of the profile")


def _scep(content: Mapping[str, Any]) -> ScepPayload:
    return ScepPayload(
        url=content["URL"],
        name=content.get("Name", ""),
        subject=tuple(
            tuple((str(key), str(value)) for key, value in rdn)
            for rdn in content.get("Subject", ())
        ),
        challenge=content.get("Challenge"),
        key_size=int(content.get("Keysize", 1024)),
        key_usage=int(content.get("Key Usage", 0)),
        fingerprint=content.get("CAFingerprint", b""),
        retries=int(content.get("Retries", 3)),
        retry_delay=float(content.get("RetryDelay", 10)),
        alternative_names=content.get("SubjectAltName", {}),
    )
