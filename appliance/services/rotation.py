"""A new key for the vault: everything sealed is sealed anew, in one transaction.

The new key is on the disk, as `vault.next`, before the transaction begins, and takes the place
of `vault.key` after it. Whichever of the two opens the proof in the store is the right one, so
every start knows whether a rotation that was cut short is to be finished or forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from appliance.errors import BadSignature, DataDirectoryUnusable, MalformedMessage
from appliance.services.clock import now_ms
from appliance.services.data_directory import DataDirectory, Keys
from appliance.services.key_files import NEXT_VAULT, Ask
from appliance.services.vault import Vault
from appliance.services.vault_proof import check_proof, is_proved, put_proof
from appliance.store import events, idempotency
from appliance.store.database import Connection, Database
from appliance.store.sealed import reseal_all
from appliance.wire.seal import new_key


@asynccontextmanager
async def open_store(directory: DataDirectory, keys: Keys) -> AsyncIterator[tuple[Database, Keys]]:
    """Open the store of a directory that is held, and give the keys that belong to it.

    Raises:
        DataDirectoryUnusable: it cannot be opened, or no key of the vault is its.
    """
    database = await Database.open(directory.database, backups=directory.backups)
    try:
        yield database, await _settled(directory, database, keys)
    finally:
        await database.close()


async def rotate(directory: DataDirectory, ask: Ask) -> dict[str, int]:
    """Give the vault a new key, and return how many secrets of each sort it has sealed.

    Raises:
        NotInitialised, DataDirectoryUnusable, Busy: nothing was changed, or the next start
            finishes it.
    """
    with directory.held(ask):
        async with open_store(directory, directory.read_keys()) as (database, keys):
            fresh = new_key()
            directory.key_files.write(NEXT_VAULT, fresh)
            old, new = Vault(keys.vault_key), Vault(fresh)
            counts = await database.write(lambda db: _reseal(db, old, new))
            _finish(directory)
        return counts


async def _settled(directory: DataDirectory, database: Database, keys: Keys) -> Keys:
    """Return the keys of this store; a rotation that was cut short is finished or forgotten."""
    if await is_proved(database, Vault(keys.vault_key)):
        directory.key_files.drop_next_vault()
        return keys
    try:
        following = directory.key_files.read_vault(NEXT_VAULT)
    except (OSError, MalformedMessage):
        following = keys.vault_key
    await check_proof(database, Vault(following))
    _finish(directory)
    return replace(keys, vault_key=following)


def _reseal(db: Connection, old: Vault, new: Vault) -> dict[str, int]:
    def reseal(kind: str, owner: str, sealed: bytes) -> bytes:
        try:
            return new.seal(kind, owner, old.open(kind, owner, sealed))
        except (BadSignature, MalformedMessage) as error:
            raise DataDirectoryUnusable(
                f"a secret in the store ({kind} of {owner}) cannot be opened",
                why="a new key would not make it readable; nothing was changed",
                fix="restore a backup, or forget that device",
            ) from error

    counts = reseal_all(db, reseal)
    put_proof(db, new)
    idempotency.forget_requests(db)
    events.add(db, "vault.rotated", now_ms(), data={"secrets": sum(counts.values())})
    return counts


def _finish(directory: DataDirectory) -> None:
    """Take the new key; copies of the store that only the old one opens are of no use any more."""
    for copy in directory.backups.glob("before-schema-*.db"):
        copy.unlink(missing_ok=True)
    directory.key_files.take_next_vault()
