"""Digests and signature algorithms: one table for messages, requests and certificates."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from appliance.errors import BadSignature, UnsupportedAlgorithm
from appliance.wire.keys import PrivateKey

RSA_ENCRYPTION = x509.ObjectIdentifier("1.2.840.113549.1.1.1")
PKCS1 = padding.PKCS1v15()

# MD5 and SHA-224 are absent on purpose; whether SHA-1 will do is for the caller to say.
DIGEST_OIDS: Mapping[str, x509.ObjectIdentifier] = {
    "sha1": x509.ObjectIdentifier("1.3.14.3.2.26"),
    "sha256": x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1"),
    "sha384": x509.ObjectIdentifier("2.16.840.1.101.3.4.2.2"),
    "sha512": x509.ObjectIdentifier("2.16.840.1.101.3.4.2.3"),
}
DIGESTS: Mapping[x509.ObjectIdentifier, str] = {oid: name for name, oid in DIGEST_OIDS.items()}
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_RSA: Mapping[x509.ObjectIdentifier, str] = {
    x509.ObjectIdentifier("1.2.840.113549.1.1.5"): "sha1",
    x509.ObjectIdentifier("1.2.840.113549.1.1.11"): "sha256",
    x509.ObjectIdentifier("1.2.840.113549.1.1.12"): "sha384",
    x509.ObjectIdentifier("1.2.840.113549.1.1.13"): "sha512",
}
_ECDSA: Mapping[x509.ObjectIdentifier, str] = {
    x509.ObjectIdentifier("1.2.840.10045.4.1"): "sha1",
    x509.ObjectIdentifier("1.2.840.10045.4.3.2"): "sha256",
    x509.ObjectIdentifier("1.2.840.10045.4.3.3"): "sha384",
    x509.ObjectIdentifier("1.2.840.10045.4.3.4"): "sha512",
}
_ECDSA_OIDS = {digest: oid for oid, digest in _ECDSA.items()}


def digest_of(algorithm: x509.ObjectIdentifier) -> str:
    """Return the digest that a signature algorithm names.

    Raises:
        UnsupportedAlgorithm: not RSA PKCS #1 v1.5 or ECDSA with SHA-1 or SHA-2.
    """
    digest = _RSA.get(algorithm) or _ECDSA.get(algorithm)
    if digest is None:
        raise UnsupportedAlgorithm("the signature algorithm is not accepted")
    return digest


def check_signature(
    key: object, algorithm: x509.ObjectIdentifier, digest: str, signature: bytes, signed: bytes
) -> None:
    """Return if `signature` is that of `key` over `signed`.

    Args:
        algorithm: must be that of the kind of key, with `digest`; CMS may also say
            rsaEncryption and leave the digest to its own field.

    Raises:
        BadSignature: it is not, or `algorithm` belongs to another key or digest.
        UnsupportedAlgorithm: a key that is neither RSA nor elliptic-curve.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if algorithm != RSA_ENCRYPTION and _RSA.get(algorithm) != digest:
                raise BadSignature("the signature algorithm does not fit the key and the digest")
            key.verify(signature, signed, PKCS1, _HASHES[digest])
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if _ECDSA.get(algorithm) != digest:
                raise BadSignature("the signature algorithm does not fit the key and the digest")
            key.verify(signature, signed, ec.ECDSA(_HASHES[digest]))
        else:
            raise UnsupportedAlgorithm("the key is neither RSA nor elliptic-curve")
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the signature does not match") from error


def make_signature(
    key: PrivateKey, digest: str, signed: bytes
) -> tuple[bytes, x509.ObjectIdentifier]:
    """Return the signature of `key` over `signed` and its algorithm, as CMS names it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, PKCS1, _HASHES[digest]), RSA_ENCRYPTION
    return key.sign(signed, ec.ECDSA(_HASHES[digest])), _ECDSA_OIDS[digest]
