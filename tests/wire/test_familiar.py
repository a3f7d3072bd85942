"""A familiar signature is judged exactly as an unknown one: only quicker."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import SignatureAlgorithmOID

from appliance.errors import ApplianceError, BadSignature
from appliance.wire import cms, signing
from appliance.wire.familiar import Familiar
from tests.wire.openssl import identity

_FIRST = b"<plist>Idle</plist>"
_SECOND = b"<plist>Acknowledged</plist>"


@pytest.fixture(autouse=True)
def _nothing_is_familiar() -> None:
    _forget()


def _forget() -> None:
    for familiar in cms._familiar.values():
        familiar.__init__()  # type: ignore[misc]


def _sign(content: bytes, name: str = "familiar") -> bytes:
    us = identity("rsa", name)
    return signing.sign(content, us.certificate, us.key, detached=True)


def _judge(message: bytes, content: bytes) -> str:
    try:
        return cms.verify_detached(message, content, allow_sha1=True).sha256.hex()
    except ApplianceError as error:
        return "refused" if isinstance(error, BadSignature) else "refused otherwise"


def test_the_second_message_of_a_device_is_recognised_and_proved() -> None:
    first = cms.verify_detached(_sign(_FIRST), _FIRST, allow_sha1=False)
    familiar = cms._familiar[False]
    second = _sign(_SECOND)
    assert familiar.recognise(second, _SECOND) == first
    assert cms.verify_detached(second, _SECOND, allow_sha1=False) is first
    with pytest.raises(BadSignature):
        cms.verify_detached(second, _FIRST, allow_sha1=False)


def test_each_changed_byte_is_judged_as_if_nothing_were_familiar() -> None:
    first, second = _sign(_FIRST), _sign(_SECOND)
    changed = [second[:length] for length in range(len(second))] + [second + b"\0"]
    for position in range(len(second)):
        flipped = bytearray(second)
        flipped[position] ^= 0x01
        changed.append(bytes(flipped))

    genuine, taken_for_genuine = _judge(second, _SECOND), 0
    for message in changed:
        _forget()
        unknown = _judge(message, _SECOND)
        _forget()
        _judge(first, _FIRST)
        assert _judge(message, _SECOND) == unknown
        taken_for_genuine += unknown == genuine
    assert taken_for_genuine < 30, (
        "only versions and digestAlgorithms may change: they mean nothing"
    )


def test_two_devices_are_never_taken_for_each_other() -> None:
    one = cms.verify_detached(_sign(_FIRST, "one"), _FIRST, allow_sha1=False)
    two = cms.verify_detached(_sign(_FIRST, "two"), _FIRST, allow_sha1=False)
    assert one.sha256 != two.sha256
    again = cms.verify_detached(_sign(_SECOND, "one"), _SECOND, allow_sha1=False)
    assert again.sha256 == one.sha256
    spliced = _sign(_SECOND, "one")[:-256] + _sign(_SECOND, "two")[-256:]
    with pytest.raises(BadSignature):
        cms.verify_detached(spliced, _SECOND, allow_sha1=False)


def test_a_fleet_larger_than_what_is_kept_stays_familiar_for_the_most_part() -> None:
    us = identity("rsa", "familiar")
    assert isinstance(us.key, rsa.RSAPrivateKey)
    signature = us.key.sign(_FIRST, PKCS1v15(), hashes.SHA256())
    familiar: Familiar[int] = Familiar()
    recognised = 0
    for number in (*range(4500), *range(4500), *range(4500)):
        message = f"{number:06}".encode() + signature
        if familiar.recognise(message, _FIRST) is not None:
            recognised += 1
            continue
        familiar.learn(
            message, number, public_key=us.key.public_key(),
            algorithm=SignatureAlgorithmOID.RSA_WITH_SHA256, digest="sha256", signature=signature,
        )  # fmt: skip
    assert recognised > 4500
