"""Certificates and keys on a device: what profiles bring, its identity, its recovery key."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7, pkcs12
from cryptography.x509.oid import NameOID

from appliance.simulator.answers.command import Answer, Call, Command, acknowledged
from appliance.simulator.answers.mobileconfig import CERTIFICATES
from appliance.simulator.errors import CERTIFICATE, Refusal
from appliance.simulator.state import Payload, Profile


def in_profile(profile: Profile) -> list[tuple[x509.Certificate, bool]]:
    """Return the certificates a profile brings, each with whether its private key comes too.

    Raises `Refusal` in the certificate domain.
    """
    return [_read(payload) for payload in profile.payloads_of(*CERTIFICATES)]


def _read(payload: Payload) -> tuple[x509.Certificate, bool]:
    data = payload.content["PayloadContent"]
    if payload.type == "com.apple.security.pkcs12":
        return _identity(data, str(payload.content.get("Password", "")))
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data), False
        return x509.load_der_x509_certificate(data), False
    except ValueError as error:
        raise Refusal(CERTIFICATE, 9005, "The certificate is malformed.") from error


def _identity(data: bytes, password: str) -> tuple[x509.Certificate, bool]:
    try:
        _, certificate, _ = pkcs12.load_key_and_certificates(data, password.encode() or None)
    except ValueError as error:
        raise Refusal(CERTIFICATE, 9000, "The password for the identity is wrong.") from error
    if certificate is None:
        raise Refusal(CERTIFICATE, 9006, "The data is not an identity.")
    return certificate, True


def _list(call: Call) -> Answer:
    state = call.state
    profiles = (state.user_profiles or {}) if call.user_channel else state.profiles
    only_managed = call.keys.get("ManagedOnly", False)
    entries = [
        _listed(certificate, identity)
        for profile in profiles.values()
        if profile.managed or not only_managed
        for certificate, identity in in_profile(profile)
    ]
    if state.identity_certificate and not call.user_channel:
        entries.append(_listed(x509.load_der_x509_certificate(state.identity_certificate), True))
    return acknowledged(CertificateList=entries)


def _listed(certificate: x509.Certificate, identity: bool) -> dict[str, Any]:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "CommonName": str(names[0].value) if names else certificate.subject.rfc4514_string(),
        "IsIdentity": identity,
        "Data": certificate.public_bytes(Encoding.DER),
    }


def recovery_key(serial_number: str, generation: int) -> str:
    """Return the personal recovery key of FileVault of a device, another for each generation."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
    digest = hashlib.sha256(f"{serial_number}/{generation}".encode()).digest()[:24]
    letters = "".join(alphabet[byte % len(alphabet)] for byte in digest)
    return "-".join(letters[start : start + 4] for start in range(0, 24, 4))


def sealed(text: str, certificate: bytes) -> bytes | None:
    """Return `text` as CMS EnvelopedData to `certificate` (DER), None if it cannot be used."""
    try:
        recipient = x509.load_der_x509_certificate(certificate)
    except ValueError:
        return None
    if not isinstance(recipient.public_key(), RSAPublicKey):
        return None
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(text.encode()).add_recipient(recipient)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


COMMANDS: Final = {
    "CertificateList": Command(run=_list, right=1, channels="DU", takes={"ManagedOnly": bool}),
}
