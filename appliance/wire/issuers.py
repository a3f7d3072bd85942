"""Whose key signed a certificate, also with SHA-1, and the authority of Apple's devices.

The library refuses SHA-1 signatures of certificates, with which Apple signs those of its devices.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from appliance import resources
from appliance.errors import BadSignature, UnsupportedAlgorithm
from appliance.wire.keys import load_public_key
from appliance.wire.pem import load_certificates
from appliance.wire.signatures import check_signature, digest_of


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tell whether the key of `authority` signed `certificate`, and the names say so too.

    Dates are not looked at, nor what the authority may do: who it is, is for the caller to know.
    """
    try:
        if certificate.issuer != authority.subject:
            return False
        algorithm = certificate.signature_algorithm_oid
        check_signature(
            load_public_key(authority),
            algorithm,
            digest_of(algorithm),
            certificate.signature,
            certificate.tbs_certificate_bytes,
        )
    except (BadSignature, UnsupportedAlgorithm, ValueError):  # names are read when asked for
        return False
    return True


def apple_devices() -> Sequence[x509.Certificate]:
    """Return the Apple iPhone Device CA, which signs devices alone, then what leads to its root.

    Apple's root must not be what a device is measured by: below it are developers, too.

    Source: Over-the-Air Profile Delivery and Configuration, "Phase 2".
    """
    return load_certificates(resources.text("wire/apple_devices.pem").encode())
