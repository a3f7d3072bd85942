"""The certificates that we issue: device CA, identities, trust anchor, TLS leaf, CRL."""

from __future__ import annotations

import base64
import ipaddress
import os
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import InvalidRequest
from appliance.wire.csr import CertificateRequest, parse_csr
from appliance.wire.keys import (
    PrivateKey,
    PublicKey,
    accepted_key,
    new_ec_key,
    new_rsa_key,
    public_key_sha256,
)
from appliance.wire.pem import (
    KeyPair,
    certificate_pem,
    key_pem,
    load_certificates,
    load_key,
    load_pair,
    load_pkcs12,
    load_rsa_key,
)

__all__ = [
    "CertificateRequest",
    "KeyPair",
    "PrivateKey",
    "PublicKey",
    "accepted_key",
    "as_pem",
    "certificate_pem",
    "certificate_revocation_list",
    "described",
    "fingerprint",
    "key_pem",
    "load_certificates",
    "load_key",
    "load_pair",
    "load_pkcs12",
    "load_rsa_key",
    "new_device_ca",
    "new_serial_number",
    "new_tls_leaf",
    "new_tls_root",
    "parse_csr",
    "public_key_sha256",
    "push_topic",
]

BACKDATED = timedelta(minutes=10)  # devices whose clock runs behind must not refuse us
_CA_DAYS = 3650
_TLS_LEAF_DAYS = 397  # Apple refuses more than 398
_TOPIC_PREFIX = "com.apple.mgmt."
MAX_NAME = 64  # X.520 upper bound for CN and O
_SERIAL_BYTES = 16


def new_serial_number() -> int:
    """Return a positive random 128-bit serial number."""
    return int.from_bytes(os.urandom(_SERIAL_BYTES), "big") or 1


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the certificate's DER: what an enrollment is bound to."""
    return certificate.fingerprint(hashes.SHA256())


def as_pem(content: bytes, label: str) -> bytes:
    """Return PEM as it is, and anything else as the DER of one block called `label`."""
    if b"-----BEGIN" in content:
        return content
    lines = textwrap.fill(base64.b64encode(content).decode(), 64)
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def shown_fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 fingerprint as Apple's systems show it: "AB:CD:…"."""
    return fingerprint(certificate).hex(":").upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a certificate says of itself; names are common names, else the whole name."""

    subject: str
    issuer: str
    not_after: datetime


def described(der: bytes) -> Description | None:
    """Return what a certificate says of itself, None if it cannot be read: nothing is verified."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Description(
            subject=_common_name(certificate.subject),
            issuer=_common_name(certificate.issuer),
            not_after=certificate.not_valid_after_utc,
        )
    except (ValueError, x509.InvalidVersion):
        return None


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def new_device_ca(organization: str, now: datetime, *, days: int = _CA_DAYS) -> KeyPair:
    """Return a new RSA-2048 CA that issues identities and decrypts SCEP requests.

    One certificate is CA and RA: macOS picks the one to encrypt to by its key usage. No
    Country: an empty one breaks clients, and we do not know it.
    """
    key = new_rsa_key()
    name = _name(f"{organization[:50]} Device CA".strip(), organization)
    builder = _template(name, name, key.public_key(), now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(
        key_usage(digital_signature=True, key_encipherment=True, ca=True), critical=True
    )
    return _self_signed(builder, key)


def new_tls_root(organization: str, now: datetime, *, days: int = _CA_DAYS) -> KeyPair:
    """Return a new P-256 root, the trust anchor of the built-in TLS."""
    key = new_ec_key()
    name = _name(f"{organization[:50]} Root CA".strip(), organization)
    builder = _template(name, name, key.public_key(), now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(key_usage(ca=True), critical=True)
    return _self_signed(builder, key)


def new_tls_leaf(names: Sequence[str], root: KeyPair, now: datetime) -> KeyPair:
    """Return a server certificate with a new P-256 key.

    Args:
        names: at least one host name or IP address; all go into subjectAltName.
    """
    key = new_ec_key()
    builder = _template(
        _name(names[0], ""), root.certificate.subject, key.public_key(), now, _TLS_LEAF_DAYS
    )
    builder = _end_entity(builder, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(key_usage(digital_signature=True), critical=True)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    builder = builder.add_extension(alternatives, critical=False)
    certificate = _signed_by(builder, root.certificate, root.key)
    return KeyPair(certificate=certificate, key=key, chain=(root.certificate,))


def certificate_revocation_list(
    revoked: Iterable[tuple[int, datetime]],
    *,
    ca_certificate: x509.Certificate,
    ca_key: PrivateKey,
    number: int,
    now: datetime,
    days: int = 7,
) -> bytes:
    """Return the DER of the list of revoked certificates.

    Args:
        revoked: serial number and time of each.
        number: grows with each list.
        days: until the next list must be there.
    """
    entries = [x509.RevokedCertificateBuilder(serial, at).build() for serial, at in revoked]
    builder = (
        # Added one by one, they would all be copied each time.
        x509.CertificateRevocationListBuilder(revoked_certificates=entries)
        .issuer_name(ca_certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority_key(ca_certificate), critical=False)
    )
    signed = builder.sign(ca_key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def push_topic(certificate: x509.Certificate) -> str:
    """Return the APNs topic: the subject's user ID (0.9.2342.19200300.100.1.1).

    Raises:
        InvalidRequest: `push_certificate.no_topic`.
    """
    try:
        user_ids = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    except ValueError:  # names are read when they are asked for
        user_ids = []
    for attribute in user_ids:
        if isinstance(attribute.value, str) and attribute.value.startswith(_TOPIC_PREFIX):
            return attribute.value
    raise InvalidRequest(
        "this is not an MDM push certificate: its subject has no topic",
        code="push_certificate.no_topic",
        why=f"the topic begins with {_TOPIC_PREFIX} and stands in the subject's user ID",
        fix="download the certificate from identity.apple.com/pushcert",
    )


def _template(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    now: datetime,
    days: float,
    *,
    serial_number: int | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(new_serial_number() if serial_number is None else serial_number)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _end_entity(
    builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    builder = builder.add_extension(constraints, critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)


def _self_signed(builder: x509.CertificateBuilder, key: PrivateKey) -> KeyPair:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = builder.add_extension(authority, critical=False)
    return KeyPair(certificate=builder.sign(key, hashes.SHA256()), key=key)


def _signed_by(
    builder: x509.CertificateBuilder, ca_certificate: x509.Certificate, ca_key: PrivateKey
) -> x509.Certificate:
    builder = builder.add_extension(authority_key(ca_certificate), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def authority_key(ca_certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the CA's own key identifier: the one chains are matched by."""
    try:
        own = ca_certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = accepted_key(ca_certificate.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def key_usage(
    *, digital_signature: bool = False, key_encipherment: bool = False, ca: bool = False
) -> x509.KeyUsage:
    """Return what a key may be used for."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name[:MAX_NAME])]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:MAX_NAME]))
    return x509.Name(attributes)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name if name.isascii() else name.encode("idna").decode("ascii"))
