"""Proof that the vault key at hand is the one that sealed what is stored."""

from __future__ import annotations

import base64
import binascii

from appliance.errors import BadSignature, DataDirectoryUnusable, MalformedMessage
from appliance.services.vault import Vault
from appliance.store import settings
from appliance.store.database import Connection, Database

_SETTING = "vault_proof"
_KIND = "proof"
_OWNER = "vault.key"
_TEXT = b"sealed with the vault key of this store"


async def store_proof(database: Database, vault: Vault) -> None:
    """Seal a known text in a new store."""
    await database.write(lambda db: put_proof(db, vault))


def put_proof(db: Connection, vault: Vault) -> None:
    """Seal it within a unit of work that seals everything else with the same key."""
    sealed = base64.b64encode(vault.seal(_KIND, _OWNER, _TEXT)).decode()
    settings.put(db, _SETTING, sealed)


async def is_proved(database: Database, vault: Vault) -> bool:
    """Tell whether this vault opens that text."""
    stored = await database.read(lambda db: settings.get(db, _SETTING))
    try:
        sealed = base64.b64decode(stored or "", validate=True)
        return vault.open(_KIND, _OWNER, sealed) == _TEXT
    except (binascii.Error, BadSignature, MalformedMessage):
        return False


async def check_proof(database: Database, vault: Vault) -> None:
    """Open that text: a wrong key must be found before anything is sealed with it.

    Raises:
        DataDirectoryUnusable: vault.key and the store do not belong together.
    """
    if not await is_proved(database, vault):
        raise DataDirectoryUnusable(
            "keys/vault.key is not the key of appliance.db",
            why="what it sealed could not be opened, and what it would seal would be lost",
            fix="restore vault.key and appliance.db from the same backup",
        )
