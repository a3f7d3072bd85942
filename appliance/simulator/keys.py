"""Key pairs and self-signed certificates of devices."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate and the key that belongs to it."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """Certificate and unencrypted key, as `ssl` wants them."""
        return self.certificate.public_bytes(Encoding.PEM) + key_pem(self.key)


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def key_pem(key: PrivateKey) -> bytes:
    """Unencrypted PKCS#8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def name(*pairs: Pair) -> x509.Name:
    """A Name from pairs such as ("CN", "device"); short names or dotted OIDs."""
    return x509.Name([attribute(pair) for pair in pairs])


def attribute(pair: Pair) -> x509.NameAttribute[str]:
    """One attribute of a Name; ValueError for a type or value that X.509 does not have."""
    key, value = pair
    return x509.NameAttribute(_NAMES.get(key) or x509.ObjectIdentifier(key), value)


_NAMES = {
    "C": NameOID.COUNTRY_NAME,
    "CN": NameOID.COMMON_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "E": NameOID.EMAIL_ADDRESS,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "UID": NameOID.USER_ID,
}


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    *,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
    serial_number: int | None = None,
) -> x509.CertificateBuilder:
    """An end-entity certificate, valid from ten minutes ago for a year unless told otherwise."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial_number or x509.random_serial_number())
        .not_valid_before(not_before or now - datetime.timedelta(minutes=10))
        .not_valid_after(not_after or (not_before or now) + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )


def self_signed(
    subject: x509.Name,
    key: PrivateKey | None = None,
    *,
    serial_number: int | None = None,
    not_before: datetime.datetime | None = None,
) -> Identity:
    """A self-signed identity, as a SCEP client makes one for its first request."""
    key = key or rsa_key()
    builder = certificate_builder(
        subject, subject, key, serial_number=serial_number, not_before=not_before
    )
    return Identity(certificate=builder.sign(key, hashes.SHA256()), key=key)


def issued_by(
    authority: Identity,
    subject: x509.Name,
    key: PrivateKey | None = None,
    *,
    serial_number: int | None = None,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
) -> Identity:
    """An identity which another authority issued."""
    key = key or rsa_key()
    builder = certificate_builder(
        subject,
        authority.certificate.subject,
        key,
        serial_number=serial_number,
        not_before=not_before,
        not_after=not_after,
    )
    return Identity(certificate=builder.sign(authority.key, hashes.SHA256()), key=key)
