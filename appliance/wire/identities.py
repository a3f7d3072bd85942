"""Device identities: client certificates that differ in so little that the rest is encoded once.

Building each with `x509.CertificateBuilder` costs a fifth of its signature's time, and a fleet
enrolls in an hour. The tests compare the bytes with what the builder makes.

Source: RFC 5280 section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from appliance.wire import asn1, der
from appliance.wire.certificates import BACKDATED, MAX_NAME, authority_key, key_usage
from appliance.wire.keys import PublicKey, public_key_der
from appliance.wire.signatures import PKCS1

_VERSION_3 = der.element(0xA0, der.integer(2))
_ALGORITHM = der.algorithm(SignatureAlgorithmOID.RSA_WITH_SHA256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate that was just issued."""

    der: bytes = field(repr=False)
    serial_number: int
    not_after: datetime


class IdentityIssuer:
    """Issues device identities in the name of one authority."""

    def __init__(
        self, ca_certificate: x509.Certificate, ca_key: rsa.RSAPrivateKey, *, organization: str = ""
    ) -> None:
        self._key = ca_key
        self._ends = ca_certificate.not_valid_after_utc
        ca = asn1.decode(asn1.TbsCertificate, ca_certificate.tbs_certificate_bytes)
        self._issuer = asn1.encode(ca.subject)  # exactly as encoded there
        organization = organization[:MAX_NAME]
        self._organization = _rdn(NameOID.ORGANIZATION_NAME, organization) if organization else b""
        self._authority_key = _extension(authority_key(ca_certificate), critical=False)

    def issue(
        self,
        public_key: PublicKey,
        *,
        common_name: str,
        serial_number: int,
        now: datetime,
        days: int,
    ) -> Identity:
        """Return a device identity. Its subject is ours to choose, never the request's.

        It ends no later than its CA. There is no subjectAltName: nothing may take it for a server.
        """
        now = now.replace(microsecond=0)
        not_after = min(now + timedelta(days=days), self._ends)
        subject_key = x509.SubjectKeyIdentifier.from_public_key(public_key)
        is_rsa = isinstance(public_key, rsa.RSAPublicKey)
        extensions = der.sequence(
            _extension(subject_key, critical=False),
            _CLIENT_RSA if is_rsa else _CLIENT_EC,
            self._authority_key,
        )
        signed = der.sequence(
            _VERSION_3,
            der.integer(serial_number),
            _ALGORITHM,
            self._issuer,
            der.sequence(der.time(now - BACKDATED), der.time(not_after)),
            der.sequence(self._organization, _rdn(NameOID.COMMON_NAME, common_name[:MAX_NAME])),
            public_key_der(public_key),
            der.element(0xA3, extensions),
        )
        signature = self._key.sign(signed, PKCS1, hashes.SHA256())
        certificate = der.sequence(signed, _ALGORITHM, der.bit_string(signature))
        return Identity(der=certificate, serial_number=serial_number, not_after=not_after)


def _rdn(kind: x509.ObjectIdentifier, text: str) -> bytes:
    return der.set_of(der.sequence(der.oid(kind), der.utf8(text)))


def _extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    return der.sequence(
        der.oid(value.oid), der.TRUE if critical else b"", der.octet_string(value.public_bytes())
    )


def _client(*, key_encipherment: bool) -> bytes:
    usage = key_usage(digital_signature=True, key_encipherment=key_encipherment)
    return b"".join((
        _extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
        _extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False),
        _extension(usage, critical=True),
    ))  # fmt: skip


_CLIENT_RSA = _client(key_encipherment=True)
_CLIENT_EC = _client(key_encipherment=False)
