"""The vault: seals secrets that unlock a device, with a key that is not in the database."""

from __future__ import annotations

from appliance.wire.seal import seal, unseal


class Vault:
    """Seals and opens secrets, each bound to its kind and its enrollment."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, kind: str, owner: str, secret: bytes) -> bytes:
        """Return `secret` sealed for one `owner`; a row moved to another owner will not open."""
        return seal(self._key, secret, context=f"{kind}:{owner}")

    def open(self, kind: str, owner: str, sealed: bytes) -> bytes:
        """Return the secret.

        Raises:
            BadSignature: another key, another owner, or changed bytes.
        """
        return unseal(self._key, sealed, context=f"{kind}:{owner}")
