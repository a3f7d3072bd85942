"""Proof that the vault key at hand is the one that sealed what is stored."""

from __future__ import annotations

import base64
import binascii

from appliance.errors import BadSignature, DataDirectoryUnusable, MalformedMessage
from appliance.services.vault import Vault
from appliance.store import settings
from appliance.store.database import Database

_SETTING = "vault_proof"
_KIND = "proof"
_OWNER = "vault.key"
_TEXT = b"sealed with the vault key of this store"


async def store_proof(database: Database, vault: Vault) -> None:
    """Seal a known text, once and for all, in a new store."""
    sealed = base64.b64encode(vault.seal(_KIND, _OWNER, _TEXT)).decode()
    await database.write(lambda db: settings.put(db, _SETTING, sealed))


async def check_proof(database: Database, vault: Vault) -> None:
    """Open that text: a wrong key must be found before anything is sealed with it.

    Raises:
        DataDirectoryUnusable: vault.key and the store do not belong together.
    """
    stored = await database.read(lambda db: settings.get(db, _SETTING))
    try:
        sealed = base64.b64decode(stored or "", validate=True)
        proved = vault.open(_KIND, _OWNER, sealed) == _TEXT
    except (binascii.Error, BadSignature, MalformedMessage):
        proved = False
    if not proved:
        raise DataDirectoryUnusable(
            "keys/vault.key is not the key of appliance.db",
            why="what it sealed could not be opened, and what it would seal would be lost",
            fix="restore vault.key and appliance.db from the same backup",
        )
