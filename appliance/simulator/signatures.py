"""What a device says of the signature of a profile: verified, not verified, or not signed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature

_LONGEST_CHAIN = 8


class Standing(StrEnum):
    """The word beside a profile in System Settings; a broken signature is refused before."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    UNSIGNED = "unsigned"


def standing(
    chain: Sequence[x509.Certificate], anchors: Iterable[x509.Certificate], now: datetime
) -> Standing:
    """Return how a profile stands whose signature holds.

    Args:
        chain: the signer first, then what came with the signature; nothing for an unsigned one.
        anchors: what the device trusted before: the profile's own roots prove nothing of it.
        now: by the device's clock, with its time zone.
    """
    if not chain:
        return Standing.UNSIGNED
    trusted = set(anchors)
    current = chain[0]
    for _ in range(_LONGEST_CHAIN):
        if not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
            break
        if current in trusted:
            return Standing.VERIFIED
        issuers = (one for one in (*trusted, *chain[1:]) if one != current)
        issuer = next((one for one in issuers if _issued(one, current)), None)
        if issuer is None:
            break
        current = issuer
    return Standing.UNVERIFIED


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return constraints.value.ca
