"""Secrets at rest: AES-256-GCM, bound to the place where they are stored."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import BadSignature, MalformedMessage

KEY_BYTES = 32

_VERSION = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


def new_key() -> bytes:
    """Return a random sealing key."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, *, context: str) -> bytes:
    """Return `plaintext` encrypted: version byte, nonce, ciphertext with tag.

    Args:
        key: 32 bytes.
        context: where the secret belongs, e.g. `unlock_token:<enrollment ID>`. It is
            authenticated, not stored: a sealed secret moved to another row does not open.
    """
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext, _VERSION + context.encode())


def unseal(key: bytes, sealed: bytes, *, context: str) -> bytes:
    """Return what `seal` was given.

    Raises:
        MalformedMessage: not a sealed secret.
        BadSignature: another key, another context, or changed bytes.
    """
    if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
        raise MalformedMessage("not a sealed secret of this version")
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _VERSION + context.encode())
    except InvalidTag as error:
        raise BadSignature("the secret was sealed with another key or elsewhere") from error
