"""Who issued a certificate is told by the key, by hand, with SHA-1 and without a calendar."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance.wire.issuers import apple_devices, is_issued_by
from tests.device.apple import AppleLike


def test_apples_certificates_lead_to_apples_root() -> None:
    device_ca, iphone_ca, root = apple_devices()
    assert [one.fingerprint(hashes.SHA256()).hex()[:16] for one in apple_devices()] == [
        "76f27d00e1333bc8", "e4e2936d3c076ec4", "b0b1730ecbc7ff45",
    ]  # fmt: skip
    assert is_issued_by(device_ca, iphone_ca)
    assert is_issued_by(iphone_ca, root)
    assert is_issued_by(root, root)
    assert not is_issued_by(device_ca, root)
    assert not is_issued_by(root, iphone_ca)


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory) -> AppleLike:
    """A chain as Apple's."""
    return AppleLike(tmp_path_factory.mktemp("apple"))


def test_sha1_a_short_key_and_dates_that_have_passed_are_no_reason(apple: AppleLike) -> None:
    device, authority = apple.device().certificate, apple.authority
    assert authority.not_valid_after_utc.year == 2014
    assert authority.public_key().key_size == 1024  # type: ignore[union-attr]
    assert device.signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.5"
    assert is_issued_by(device, authority)


def test_a_06_the_same_names_and_other_keys_are_not_it(apple: AppleLike, tmp_path: Path) -> None:
    look_alike = AppleLike(tmp_path)
    assert look_alike.authority.subject == apple.authority.subject
    assert not is_issued_by(look_alike.device().certificate, apple.authority)
    assert not is_issued_by(look_alike.device().certificate, apple_devices()[0])


def test_another_name_or_a_changed_certificate_is_not_it(apple: AppleLike) -> None:
    device = apple.device()
    assert not is_issued_by(device.certificate, device.certificate)
    assert not is_issued_by(device.certificate, apple.chain[1])
    der = bytearray(device.der)
    der[-1] ^= 1
    assert not is_issued_by(x509.load_der_x509_certificate(bytes(der)), apple.authority)
