"""Sealed secrets open only with the key, and in the place, that they were sealed for."""

from __future__ import annotations

import pytest

from appliance.errors import BadSignature, MalformedMessage
from appliance.wire.seal import new_key, seal, unseal


def test_a_sealed_secret_opens_again() -> None:
    key = new_key()
    for plaintext in (b"", b"unlock token", bytes(100_000)):
        assert unseal(key, seal(key, plaintext, context="a"), context="a") == plaintext


def test_the_same_secret_is_never_sealed_alike() -> None:
    key = new_key()
    assert seal(key, b"secret", context="a") != seal(key, b"secret", context="a")


def test_another_key_or_another_place_is_refused() -> None:
    key = new_key()
    sealed = seal(key, b"secret", context="unlock_token:A")
    with pytest.raises(BadSignature):
        unseal(new_key(), sealed, context="unlock_token:A")
    with pytest.raises(BadSignature):
        unseal(key, sealed, context="unlock_token:B")


def test_every_changed_or_missing_byte_is_noticed() -> None:
    key = new_key()
    sealed = seal(key, b"secret", context="a")
    for offset in range(len(sealed)):
        changed = bytearray(sealed)
        changed[offset] ^= 1
        for damaged in (bytes(changed), sealed[:offset]):
            with pytest.raises((BadSignature, MalformedMessage)):
                unseal(key, damaged, context="a")
