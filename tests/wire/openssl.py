"""The oracle: the openssl command, and identities it can use."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.programs import program

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)

_COMMENT = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """A self-signed certificate and its key."""

    certificate: x509.Certificate
    key: Key

    def write(self, folder: Path, name: str = "signer") -> None:
        (folder / f"{name}.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def identity(kind: str = "rsa", name: str = "device") -> Identity:
    """An identity with an `rsa` or `ec` key, the same for the whole run."""
    return _identity(kind, name)


@functools.cache
def _identity(kind: str, name: str) -> Identity:
    key: Key = (
        rsa.generate_private_key(65537, 2048)
        if kind == "rsa"
        else ec.generate_private_key(ec.SECP256R1())
    )
    return Identity(self_signed(key, name), key)


def self_signed(
    key: Key, name: str, *, serial_number: int = 7, comment: bytes = b""
) -> x509.Certificate:
    """A certificate of `key` for itself; a `comment` makes it as large as you like."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial_number)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.UnrecognizedExtension(_COMMENT, comment), critical=False)
        .sign(key, hashes.SHA256())
    )


def openssl(folder: Path, *arguments: str) -> bytes:
    """Run `openssl ARGUMENTS` in `folder`; its standard output. Fails when it fails."""
    done = subprocess.run(
        [program("openssl"), *arguments], cwd=folder, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
