"""What a device says of a profile's signature, from what it trusted before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance.simulator import keys
from appliance.simulator.signatures import Standing, standing

NOW = datetime.now(UTC)


def authority(name: str, issuer: keys.Identity | None = None, *, ca: bool = True) -> keys.Identity:
    key, subject = keys.rsa_key(), keys.name(("CN", name))
    signer = issuer or keys.Identity(certificate=None, key=key)  # type: ignore[arg-type]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return keys.Identity(certificate=builder.sign(signer.key, hashes.SHA256()), key=key)


@pytest.fixture(scope="module")
def root() -> keys.Identity:
    return authority("Root")


@pytest.fixture(scope="module")
def between(root: keys.Identity) -> keys.Identity:
    return authority("Between", root)


@pytest.fixture(scope="module")
def signer(between: keys.Identity) -> x509.Certificate:
    return authority("Signer", between, ca=False).certificate


def test_a_chain_to_what_was_trusted_is_verified(
    root: keys.Identity, between: keys.Identity, signer: x509.Certificate
) -> None:
    anchors = [root.certificate]
    assert standing([signer, between.certificate], anchors, NOW) is Standing.VERIFIED
    assert standing([signer], [between.certificate], NOW) is Standing.VERIFIED
    assert standing([root.certificate], anchors, NOW) is Standing.VERIFIED


def test_a_root_that_comes_with_the_profile_vouches_for_nothing(
    root: keys.Identity, between: keys.Identity, signer: x509.Certificate
) -> None:
    chain = [signer, between.certificate, root.certificate]
    assert standing(chain, [], NOW) is Standing.UNVERIFIED
    assert standing(chain[:1], [root.certificate], NOW) is Standing.UNVERIFIED
    stranger = authority("Root").certificate  # the same name, another key
    assert standing(chain, [stranger], NOW) is Standing.UNVERIFIED


def test_who_is_no_authority_issues_nothing(root: keys.Identity) -> None:
    leaf = authority("Leaf", root, ca=False)
    forged = authority("Forged", leaf, ca=False).certificate
    chain = [forged, leaf.certificate]
    assert standing(chain, [root.certificate], NOW) is Standing.UNVERIFIED


@pytest.mark.parametrize("days", [-400, 400])
def test_the_clock_of_the_device_counts(
    root: keys.Identity, between: keys.Identity, signer: x509.Certificate, days: int
) -> None:
    chain = [signer, between.certificate]
    at = NOW + timedelta(days=days)
    assert standing(chain, [root.certificate], at) is Standing.UNVERIFIED


def test_without_a_signature_there_is_none(root: keys.Identity) -> None:
    assert standing([], [root.certificate], NOW) is Standing.UNSIGNED
