"""The vault: seals secrets that unlock a device, with a key that is not in the database."""

from __future__ import annotations

import hmac

from appliance.wire.seal import seal, unseal


class Vault:
    """Seals and opens secrets, each bound to its kind and its enrollment."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def fingerprint(self, kind: str, content: bytes) -> bytes:
        """Return 32 bytes that are the same for the same content, and tell nothing of it."""
        return hmac.digest(self._key, kind.encode() + b"\0" + content, "sha256")

    def seal(self, kind: str, owner: str, secret: bytes) -> bytes:
        """Return `secret` sealed for one `owner`; a row moved to another owner will not open."""
        return seal(self._key, secret, context=f"{kind}:{owner}")

    def open(self, kind: str, owner: str, sealed: bytes) -> bytes:
        """Return the secret.

        Raises:
            BadSignature: another key, another owner, or changed bytes.
        """
        return unseal(self._key, sealed, context=f"{kind}:{owner}")
