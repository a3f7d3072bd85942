"""The proof that a form or a script is of a page that this session was given.

A page that is compressed and repeats what somebody else chose would tell, by its length, a
secret that stands beside it (BREACH); so the token looks different in every response.
"""

from __future__ import annotations

import hmac
import secrets

_BYTES = 32


def masked(token: str) -> str:
    """Return the session's token (hex) under a mask of this moment, with the mask before it."""
    mask = secrets.token_bytes(_BYTES)
    return mask.hex() + _xor(mask, bytes.fromhex(token)).hex()


def matches(given: str, token: str) -> bool:
    """Tell whether `given` is the session's token, masked or not."""
    plain = given
    if len(given) == 4 * _BYTES:
        try:
            both = bytes.fromhex(given)
        except ValueError:
            return False
        plain = _xor(both[:_BYTES], both[_BYTES:]).hex()
    return hmac.compare_digest(plain.encode("utf-8", "replace"), token.encode())


def _xor(mask: bytes, text: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(mask, text, strict=True))
