"""Certificates of the loopback APNs: one CA, its server, push certificates for clients."""

from __future__ import annotations

import os
import ssl
import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 365  # as long as Apple issues push certificates for
TOPIC = "com.apple.mgmt.External.3fe8c1d2-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


class ApnsAuthority:
    """Signs what both ends of APNs present: stands in for Apple's CAs."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Loopback APNs CA")])
        self._certificate = self._sign(self._name, self._key.public_key(), _authority_extensions())

    @property
    def certificate_pem(self) -> bytes:
        """The trust anchor."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self) -> Pair:
        """A certificate for `localhost` and 127.0.0.1."""
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        return self._issue(
            [x509.NameAttribute(NameOID.COMMON_NAME, "localhost")],
            [
                (x509.SubjectAlternativeName(names), False),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            ],
        )

    def push(self, topic: str = TOPIC, *, valid: bool = True) -> Pair:
        """An MDM push certificate: its topic is the UID of the subject, as at Apple."""
        subject = [
            x509.NameAttribute(NameOID.USER_ID, topic),
            x509.NameAttribute(NameOID.COMMON_NAME, "APSP:test"),
        ]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(subject, [(usage, False)], valid=valid)

    def _issue(
        self,
        subject: list[x509.NameAttribute[str]],
        extensions: list[tuple[x509.ExtensionType, bool]],
        *,
        valid: bool = True,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [
            *extensions,
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(ca=False), True),
        ]
        certificate = self._sign(x509.Name(subject), key.public_key(), extensions, valid=valid)
        return Pair(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            key_pem=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        *,
        valid: bool = True,
    ) -> x509.Certificate:
        ends = datetime.now(UTC) + timedelta(days=_DAYS if valid else -1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=2 * _DAYS))
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


def server_ssl_context(authority: ApnsAuthority, run_dir: Path) -> ssl.SSLContext:
    """A server's TLS: a certificate of `authority`, and clients must have one as well."""
    pair = authority.server()
    with tempfile.NamedTemporaryFile(dir=run_dir) as file:
        file.write(pair.certificate_pem + pair.key_pem)
        file.flush()
        return ssl_context_of(Path(file.name), authority.certificate_pem.decode())


def ssl_context_of(pair_file: Path, ca_pem: str) -> ssl.SSLContext:
    """The same from a file with certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair_file)
    context.load_verify_locations(cadata=ca_pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsFiles:
    """Where the certificates of one loopback APNs lie."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The trust anchor: what an MDM server must trust to push here."""
        return self.directory / "ca.pem"

    @property
    def server(self) -> Path:
        """The APNs's own certificate and key."""
        return self.directory / "server.pem"

    @property
    def push(self) -> Path:
        """The push certificate for the MDM server."""
        return self.directory / "push.pem"

    @property
    def push_key(self) -> Path:
        """Its key."""
        return self.directory / "push.key"

    def ssl_context(self) -> ssl.SSLContext:
        """The APNs's TLS."""
        return ssl_context_of(self.server, self.ca.read_text())

    def topic(self) -> str:
        """The topic of the push certificate."""
        certificate = x509.load_pem_x509_certificate(self.push.read_bytes())
        return str(certificate.subject.get_attributes_for_oid(NameOID.USER_ID)[0].value)


def write_certificates(directory: Path, topic: str | None = None) -> ApnsFiles:
    """Make the certificates in `directory`, unless they are there; a random topic by default."""
    files = ApnsFiles(directory=directory)
    if not files.ca.exists():
        authority = ApnsAuthority()
        server = authority.server()
        push = authority.push(topic or f"com.apple.mgmt.External.{uuid.uuid4()}")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_secret(files.server, server.certificate_pem + server.key_pem)
        files.push.write_bytes(push.certificate_pem)
        _write_secret(files.push_key, push.key_pem)
        files.ca.write_bytes(authority.certificate_pem)  # last: it says that all are there
    return files


def _write_secret(path: Path, data: bytes) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)


def _authority_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    return [(x509.BasicConstraints(ca=True, path_length=0), True), (_key_usage(ca=True), True)]


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
