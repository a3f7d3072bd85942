"""PEM and PKCS #12: certificates and keys as people have them in files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm as CryptographyUnsupported
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from appliance.errors import InvalidRequest, MalformedMessage, UnsupportedAlgorithm
from appliance.wire.keys import PrivateKey, load_public_key, public_key_sha256

_READ_ERRORS = (ValueError, TypeError, OverflowError, x509.InvalidVersion, CryptographyUnsupported)
_FILE = "push_certificate"
_PFX_VERSION = b"\x02\x01\x03"  # how every PKCS #12 file begins, behind one header


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate and the private key that belongs to it."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()  # further certificates that came along


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return the certificates as PEM, one after the other."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    """Return the private key as PKCS #8 PEM; unencrypted it is for files of mode 0600 only.

    Args:
        password: encrypts it; guessing is not slowed down enough for what a person can remember.
    """
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def load_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates in PEM `data`, at least one, or the one in DER `data`.

    Raises:
        MalformedMessage: there is none, or it cannot be read.
    """
    try:
        if data[:1] == b"\x30":
            return (x509.load_der_x509_certificate(data),)
        return tuple(x509.load_pem_x509_certificates(data))
    except _READ_ERRORS as error:
        raise MalformedMessage("no readable certificate") from error


def load_key(pem: bytes, password: bytes | None = None) -> PrivateKey:
    """Return the RSA or elliptic-curve key in PEM, unencrypted or encrypted with `password`.

    Raises:
        MalformedMessage: there is none, or it cannot be read.
    """
    try:
        key = serialization.load_pem_private_key(pem, password)
    except _READ_ERRORS as error:
        raise MalformedMessage("no readable private key") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise MalformedMessage("the private key is neither RSA nor elliptic-curve")
    return key


def load_rsa_key(pem: bytes) -> rsa.RSAPrivateKey:
    """Return the RSA key in unencrypted PEM: a device CA's, which must decrypt as well.

    Raises:
        MalformedMessage: there is none, it cannot be read, or it is not RSA.
    """
    key = load_key(pem)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise MalformedMessage("the private key is not RSA")
    return key


def load_pair(pem: bytes, password: str | None = None, *, file: str = _FILE) -> KeyPair:
    """Return the private key in `pem` and the certificate among those in it that fits.

    Args:
        file: what the codes of the errors begin with.

    Raises:
        InvalidRequest: `.malformed`, `.password` or `.key_mismatch`.
    """
    try:
        certificates = load_certificates(pem)
    except MalformedMessage as error:
        raise _malformed(file, "there is no readable certificate in it") from error
    start = _private_key_offset(pem)
    if start is None:
        raise _malformed(file, "there is no private key in it")
    try:
        key = serialization.load_pem_private_key(
            pem[start:], password.encode() if password else None
        )
    except TypeError as error:  # encrypted without a password, or the other way round
        if password:
            return load_pair(pem, None, file=file)
        raise _password(file, "the private key is encrypted") from error
    except _READ_ERRORS as error:
        if password:
            raise _password(file, "the password does not open the private key") from error
        raise _malformed(file, "the private key cannot be read") from error
    return _matching(certificates, key, file)


def load_pkcs12(data: bytes, password: str | None = None, *, file: str = _FILE) -> KeyPair:
    """Return certificate and key of a PKCS #12 file (`.p12`), as Keychain Access exports it.

    Raises:
        InvalidRequest: as `load_pair`.
    """
    try:
        bag = pkcs12.load_pkcs12(data, password.encode() if password is not None else None)
    except _READ_ERRORS as error:
        if _PFX_VERSION not in data[:8]:
            raise _malformed(file, "not a PKCS #12 file") from error
        raise _password(file, "the password does not open the PKCS #12 file") from error
    certificates = [each.certificate for each in (bag.cert, *bag.additional_certs) if each]
    if bag.key is None or not certificates:
        raise _malformed(file, "the PKCS #12 file lacks the certificate or its private key")
    return _matching(certificates, bag.key, file)


def _private_key_offset(pem: bytes) -> int | None:
    """Return where the block of the private key begins: certificates may come first."""
    label = pem.find(b"PRIVATE KEY-----")
    start = pem.rfind(b"-----BEGIN", 0, label) if label >= 0 else -1
    return start if start >= 0 else None


def _matching(certificates: Iterable[x509.Certificate], key: object, file: str) -> KeyPair:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise _malformed(file, "the private key is neither RSA nor elliptic-curve")
    wanted = public_key_sha256(key.public_key())
    others = list(certificates)
    for certificate in others:
        if _key_sha256(certificate) == wanted:
            others.remove(certificate)
            return KeyPair(certificate=certificate, key=key, chain=tuple(others))
    raise InvalidRequest(
        "the private key belongs to another certificate",
        code=f"{file}.key_mismatch",
        fix="give the key that was made together with the certificate's signing request",
    )


def _key_sha256(certificate: x509.Certificate) -> bytes | None:
    try:
        key = load_public_key(certificate)
    except UnsupportedAlgorithm:
        return None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return None
    return public_key_sha256(key)


def _malformed(file: str, problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"the file cannot be used: {problem}",
        code=f"{file}.malformed",
        fix="give certificate and private key as PEM, or one PKCS #12 file",
    )


def _password(file: str, problem: str) -> InvalidRequest:
    return InvalidRequest(problem, code=f"{file}.password", fix="give its password")
