"""Certificates put together by hand are, byte for byte, those that the library would build."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.wire import certificates
from appliance.wire.certificates import PublicKey
from appliance.wire.identities import IdentityIssuer
from tests.wire.openssl import NOW, identity

_SERIAL_NUMBERS = (1, 127, 128, 255, 256, (1 << 127) - 1, 1 << 127, (1 << 128) - 1)
_LATE = datetime(2048, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)  # ends in the other form of time


def _built(
    public_key: PublicKey, serial_number: int, name: x509.Name, now: datetime, ca: x509.Certificate
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        True, False, isinstance(public_key, rsa.RSAPublicKey), *[False] * 6
    )  # fmt: skip
    own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca.subject)
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(now - timedelta(minutes=10))
        .not_valid_after(now + timedelta(days=730))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(authority, critical=False)
    )


@pytest.mark.parametrize("now", [NOW, _LATE], ids=["soon", "late"])
@pytest.mark.parametrize("organization", ["", "Example Ltd", "\u5b66\u6821"])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384"])
def test_an_identity_has_the_bytes_that_the_builder_would_write(
    kind: str, organization: str, now: datetime
) -> None:
    curves: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1()}
    key = identity().key if kind == "rsa" else ec.generate_private_key(curves[kind])
    ca = certificates.new_device_ca("Example Ltd", now)
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    issuer = IdentityIssuer(ca.certificate, ca.key, organization=organization)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "Device")]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    for number in _SERIAL_NUMBERS:
        issued = issuer.issue(
            key.public_key(), common_name="Device", serial_number=number, now=now, days=730
        )
        name = x509.Name(attributes)
        expected = _built(key.public_key(), number, name, now, ca.certificate)
        # RSA with PKCS #1 v1.5 is deterministic, so the signature must be the same, too.
        assert issued.der == expected.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
