"""A key under a passphrase: scrypt makes of the passphrase what seals the key."""

from __future__ import annotations

import os
import unicodedata

import msgspec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.errors import BadSignature, MalformedMessage
from appliance.wire.seal import KEY_BYTES, seal, unseal

_FORMAT = 1
_CONTEXT = "master key"
_SALT_BYTES = 16
# 64 MiB and a third of a second for each guess (OWASP Password Storage Cheat Sheet).
_LOG_N, _R, _P = 16, 8, 2
_LARGEST = (20, 8, 16)  # a file that is damaged must not take all memory


class _Wrapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file; `scrypt` is log2 of N, r and p (RFC 7914, section 2)."""

    format: int
    scrypt: tuple[int, int, int]
    salt: bytes
    sealed: bytes


def wrap(passphrase: str, key: bytes) -> bytes:
    """Return `key` as a line of JSON that only `passphrase` opens."""
    salt, cost = os.urandom(_SALT_BYTES), (_LOG_N, _R, _P)
    sealed = seal(_derived(passphrase, salt, cost), key, context=_CONTEXT)
    wrapped = _Wrapped(format=_FORMAT, scrypt=cost, salt=salt, sealed=sealed)
    return msgspec.json.encode(wrapped) + b"\n"


def unwrap(passphrase: str, wrapped: bytes) -> bytes:
    """Return the key that `wrap` was given.

    Raises:
        MalformedMessage: not such a line.
        BadSignature: another passphrase, or changed bytes.
    """
    try:
        read = msgspec.json.decode(wrapped, type=_Wrapped)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedMessage("not a key under a passphrase") from error
    within = all(1 <= cost <= most for cost, most in zip(read.scrypt, _LARGEST, strict=True))
    if read.format != _FORMAT or not within:
        raise MalformedMessage("a key under a passphrase, of a form that is not known")
    key = unseal(_derived(passphrase, read.salt, read.scrypt), read.sealed, context=_CONTEXT)
    if len(key) != KEY_BYTES:
        raise BadSignature("what the passphrase opens is no key")
    return key


def _derived(passphrase: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    log_n, r, p = cost
    # Two keyboards may write one letter in two ways.
    normal = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    return Scrypt(salt=salt, length=KEY_BYTES, n=1 << log_n, r=r, p=p).derive(normal)
