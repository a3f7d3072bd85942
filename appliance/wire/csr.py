"""Certification requests: a public key, proof that the sender holds its key, a challenge."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import MalformedMessage, UnsupportedAlgorithm
from appliance.wire import asn1
from appliance.wire.keys import (
    PublicKey,
    accepted_key,
    load_public_key,
    public_key_der,
    public_key_sha256,
)
from appliance.wire.signatures import check_signature, digest_of

_CHALLENGE_PASSWORD = x509.ObjectIdentifier("1.2.840.113549.1.9.7")
_MAX_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """What we take from a request. Its subject and extensions are wishes, and ignored."""

    public_key: PublicKey
    public_key_sha256: bytes
    challenge_password: str | None = field(repr=False)
    der: bytes = field(repr=False)


def parse_csr(der: bytes, *, allow_sha1: bool = True) -> CertificateRequest:
    """Return a request whose key is acceptable and whose signature is that key's.

    The challenge password is not judged.

    Raises:
        MalformedMessage: not DER, trailing bytes, or larger than 32 KiB.
        UnsupportedAlgorithm: a key that we do not certify, or a digest that we do not accept.
        BadSignature: the sender does not hold the private key.

    Source: RFC 2986; RFC 2985 section 5.4.1 (challengePassword).
    """
    if len(der) > _MAX_BYTES:
        raise MalformedMessage("the certification request is too long")
    try:
        request = x509.load_der_x509_csr(der)
        algorithm, signature = request.signature_algorithm_oid, request.signature
        signed = request.tbs_certrequest_bytes
    except (ValueError, TypeError, OverflowError, x509.InvalidVersion) as error:
        raise MalformedMessage("not a certification request") from error
    key = accepted_key(load_public_key(request))
    info = asn1.decode(asn1.CertificationRequestInfo, signed)
    if isinstance(key, ec.EllipticCurvePublicKey) and asn1.encode(info.public_key) != (
        public_key_der(key)
    ):
        # Explicit parameters that differ slightly from a known curve's forge its keys.
        raise UnsupportedAlgorithm("the curve must be named and the point uncompressed")
    digest = digest_of(algorithm)
    if digest == "sha1" and not allow_sha1:
        raise UnsupportedAlgorithm("SHA-1 is not accepted")
    # Not `is_signature_valid`: that is always false for SHA-1, which old clients use.
    check_signature(key, algorithm, digest, signature, signed)
    return CertificateRequest(
        public_key=key,
        public_key_sha256=public_key_sha256(key),
        challenge_password=_challenge_password(info.attributes or []),
        der=der,
    )


def _challenge_password(attributes: list[asn1.TLV]) -> str | None:
    values: list[asn1.TLV] = []
    for element in attributes:
        attribute = asn1.parse(asn1.Attribute, element)
        if attribute.type == _CHALLENGE_PASSWORD:
            values += attribute.values.as_list()
    if not values:
        return None
    if len(values) > 1:
        raise MalformedMessage("more than one challenge password")
    return asn1.text(values[0])
