"""Public keys: which ones are accepted, their fingerprints, and new private keys."""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm as CryptographyUnsupported
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from appliance.errors import UnsupportedAlgorithm

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_RSA_BITS = range(2048, 4096 + 1)
_RSA_EXPONENT = 65537
_CURVES = (ec.SECP256R1, ec.SECP384R1)

# A modulus that shares a factor with this number, of primes alone, is no RSA key.
_SMALL_FACTORS = math.prod(
    n for n in range(2, 1000) if all(n % p for p in range(2, math.isqrt(n) + 1))
)

# Chips with CVE-2017-15361 (ROCA) make keys that are powers of 65537 modulo each of these.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_RESIDUES = {
    prime: frozenset(pow(_RSA_EXPONENT, power, prime) for power in range(prime))
    for prime in _ROCA_PRIMES
}


def accepted_key(key: object) -> PublicKey:
    """Return `key` if we certify such keys: RSA 2048 to 4096 with e = 65537, P-256 or P-384.

    Raises:
        UnsupportedAlgorithm: every other key.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise UnsupportedAlgorithm(f"keys on {key.curve.name} are not accepted")
        return key
    if not isinstance(key, rsa.RSAPublicKey):
        raise UnsupportedAlgorithm("the key is neither RSA nor elliptic-curve")
    if key.key_size not in _RSA_BITS:
        raise UnsupportedAlgorithm(f"RSA keys of {key.key_size} bits are not accepted")
    numbers = key.public_numbers()
    if numbers.e != _RSA_EXPONENT:
        raise UnsupportedAlgorithm("RSA keys must have the public exponent 65537")
    if math.gcd(numbers.n, _SMALL_FACTORS) != 1:
        raise UnsupportedAlgorithm("the RSA modulus has a small factor")
    if all(numbers.n % prime in residues for prime, residues in _ROCA_RESIDUES.items()):
        raise UnsupportedAlgorithm("the RSA key was made by a chip with CVE-2017-15361")
    return key


def load_public_key(certified: object) -> object:
    """Return the public key inside a certificate or a certification request.

    Raises:
        UnsupportedAlgorithm: the key cannot be read, or the library does not know its kind.
    """
    try:
        return certified.public_key()  # type: ignore[attr-defined]
    except (ValueError, TypeError, CryptographyUnsupported) as error:
        raise UnsupportedAlgorithm("the public key cannot be used") from error


def public_key_der(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo: named curve, uncompressed point."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_key_sha256(key: PublicKey) -> bytes:
    """Return the SHA-256 of the SubjectPublicKeyInfo."""
    return hashlib.sha256(public_key_der(key)).digest()


def new_rsa_key() -> rsa.RSAPrivateKey:
    """Return a new RSA-2048 key. Takes tens of milliseconds, seconds on small hardware."""
    return rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=2048)


def new_ec_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())
