"""CMS SignedData, written: messages that we sign, and certificates by themselves.

Source: RFC 5652 sections 5.1 to 5.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.wire import asn1, der
from appliance.wire.asn1 import DATA, SIGNED_DATA
from appliance.wire.cms import CONTENT_TYPE, MESSAGE_DIGEST
from appliance.wire.keys import PrivateKey
from appliance.wire.signatures import DIGEST_OIDS, make_signature

_VERSION = der.integer(1)
_MOST_CERTIFICATES = 8  # ours, again and again
_DATA_IS_SIGNED = der.attribute(CONTENT_TYPE, der.oid(DATA))


def sign(
    content: bytes,
    certificate: x509.Certificate,
    key: PrivateKey,
    *,
    digest: str = "sha256",
    chain: Sequence[x509.Certificate] = (),
    attributes: Mapping[x509.ObjectIdentifier, bytes] = MappingProxyType({}),
    detached: bool = False,
) -> bytes:
    """Return the DER of a message signed by one signer, with signed attributes.

    Args:
        chain: further certificates to embed with the signer's.
        attributes: the DER of one value each, beside contentType and messageDigest.
    """
    hashed = hashlib.new(digest, content).digest()
    digest_algorithm = der.algorithm(DIGEST_OIDS[digest])
    encoded = [der.attribute(identifier, value) for identifier, value in attributes.items()]
    encoded += _DATA_IS_SIGNED, der.attribute(MESSAGE_DIGEST, der.octet_string(hashed))
    encoded.sort()
    # Carried as IMPLICIT [0], signed as SET OF.
    signature, algorithm = make_signature(key, digest, der.set_of(*encoded))
    signer_info = der.sequence(
        _VERSION,
        asn1.own_name(certificate),
        digest_algorithm,
        der.element(0xA0, *encoded),
        der.algorithm(algorithm, der.NULL if isinstance(key, rsa.RSAPrivateKey) else b""),
        der.octet_string(signature),
    )
    # A SET OF, so DER has them in the order of their encodings.
    embedded = sorted(_der_of(one) for one in (certificate, *chain))
    content_info = () if detached else (der.element(0xA0, der.octet_string(content)),)
    return _signed_message(digest_algorithm, content_info, embedded, signer_info)


@lru_cache(maxsize=_MOST_CERTIFICATES)
def _der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def certs_only(certificates: Sequence[bytes]) -> bytes:
    """Return the DER of a degenerate SignedData: certificates in this order, nothing signed.

    Args:
        certificates: DER of each.
    """
    return _signed_message(b"", (), certificates, b"")


def _signed_message(
    digest_algorithms: bytes,
    content: tuple[bytes, ...],
    certificates: Sequence[bytes],
    infos: bytes,
) -> bytes:
    """Return the DER of ContentInfo around SignedData with content of type data."""
    data = der.sequence(
        _VERSION,
        der.set_of(digest_algorithms),
        der.sequence(der.oid(DATA), *content),
        der.element(0xA0, *certificates),
        der.set_of(infos),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.element(0xA0, data))
