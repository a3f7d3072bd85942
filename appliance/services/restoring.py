"""Verify and restore: a backup is proved whole before a server could find anything of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from appliance.errors import (
    ApplianceError,
    BackupUnusable,
    Conflict,
    DataDirectoryUnusable,
    MalformedMessage,
    PassphraseRequired,
)
from appliance.mdm.catalogue import catalogue
from appliance.mdm.command import parse_command
from appliance.services import archive
from appliance.services.archive import Manifest
from appliance.services.backup_key import read_key
from appliance.services.clock import now_ms
from appliance.services.command_orders import is_dangerous, lets_go
from appliance.services.data_directory import NOBODYS, DataDirectory, Keys
from appliance.services.key_files import Ask
from appliance.services.payloads import Payloads
from appliance.services.private_folder import private_folder
from appliance.services.vault import Vault
from appliance.services.vault_proof import check_proof
from appliance.store import devices, events, restored
from appliance.store.database import Connection, Database
from appliance.store.disk import sync
from appliance.store.migrating import check_schema, newest_schema, schema_version
from appliance.store.payloads import Payload
from appliance.store.restored import Closed, Judge, RestoredCommand
from appliance.wire import certificates

_ROOM = 4  # unpacked, and tables are there twice for a while if its schema is brought up to date


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a whole backup holds; the fingerprint is of the CA that devices trust."""

    created_at: datetime
    version: str
    schema: int
    url: str
    ca_fingerprint: str
    counts: dict[str, int]
    members: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored, what was closed, and which commands a person has to think of."""

    backup: Verified
    data: str
    closed: Closed
    commands: list[RestoredCommand]


def verify(source: Path, key_file: Path, passphrase: Ask) -> Verified:
    """Prove that a backup is whole and can be restored by this release.

    Args:
        passphrase: called if one protected the keys when the backup was made.

    Raises:
        BackupUnusable: it cannot.
        PassphraseRequired: there is none, or not the one of that day.
    """
    key = read_key(key_file)
    with private_folder("appliance-verify-") as folder:
        manifest = archive.unpack(source, key, folder)
        return _checked(DataDirectory(folder), manifest, passphrase)[0]


def restore(source: Path, key_file: Path, target: Path, passphrase: Ask) -> Restored:
    """Make the data directory `target` of a backup, in one step at the end, or not at all.

    What may be given or done twice is closed first; see `store/restored`.

    Raises:
        BackupUnusable: the backup is damaged, of another key or of a newer release.
        PassphraseRequired: as `verify`.
        Conflict: there is something at `target`, or another restore is at work.
    """
    key = read_key(key_file)
    directory = DataDirectory(target)
    _refuse_used(directory)
    stage = DataDirectory(directory.stage)
    lock = _begin(stage)
    try:
        _refuse_full(stage.path, source.stat().st_size)
        manifest = archive.unpack(source, key, stage.path)
        verified, keys = _checked(stage, manifest, passphrase)
        closed, commands = asyncio.run(_settle(stage, keys, manifest))
        for folder in (stage.run, stage.backups):
            folder.mkdir(mode=0o700)
        _give_to_owner(stage.path, directory.path)
        _sync(stage.path)
        _refuse_used(directory)
        stage.path.rename(directory.path)
        sync(directory.path.parent)
    except BaseException:
        shutil.rmtree(stage.path, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    return Restored(backup=verified, data=str(directory.path), closed=closed, commands=commands)


def _begin(stage: DataDirectory) -> int:
    """Make an empty folder beside the target, in the place of what a killed restore left."""
    try:
        stage.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirectoryUnusable(
            f"cannot create {stage.path}: {error.strerror}",
            fix="restore as a user who may write there; afterwards chown it to the server's user",
        ) from error
    try:
        lock = stage.lock()
    except DataDirectoryUnusable as error:
        raise Conflict(
            f"another restore of {stage.path} is at work", code="data.exists", why=error.problem
        ) from error
    for entry in stage.path.iterdir():
        if entry.name != "lock":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    stage.keys.mkdir(mode=0o700)
    return lock


def _refuse_full(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size * _ROOM:
        raise DataDirectoryUnusable(
            f"the disk of {folder.parent} has no room for the backup",
            why=f"{size * _ROOM / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
            fix="free some space, or name a directory on another disk",
        )


def _refuse_used(directory: DataDirectory) -> None:
    path = directory.path
    if path.is_mount():
        raise Conflict(
            f"{path} is the root of a disk",
            code="data.exists",
            why="a restored directory is put in its place in one step, which is not possible there",
            fix=f"name a new directory below it, such as {path / 'appliance'}",
        )
    if not path.exists():
        return
    if not path.is_dir() or {entry.name for entry in path.iterdir()} - NOBODYS:
        raise Conflict(
            f"{path} is not empty",
            code="data.exists",
            why="a restore never changes what is there, and it may be in use",
            fix="stop the server and move the directory away, or name another one",
        )


def _checked(stage: DataDirectory, manifest: Manifest, passphrase: Ask) -> tuple[Verified, Keys]:
    """Raise BackupUnusable unless a server of this release could run on what was unpacked."""
    newest = newest_schema()
    if manifest.schema > newest:
        raise BackupUnusable(
            f"the backup has schema {manifest.schema}, this release knows {newest}",
            why=f"release {manifest.version} made it",
            fix="restore it with that release or a newer one",
        )
    try:
        stage.key_files.unlock(passphrase)
        keys = stage.read_keys()
        with closing(sqlite3.connect(stage.database)) as db:
            _check_database(db, manifest)
    except PassphraseRequired:
        raise
    except (DataDirectoryUnusable, sqlite3.Error) as error:
        raise BackupUnusable(
            "what the backup holds does not fit together",
            why=error.problem if isinstance(error, ApplianceError) else str(error),
            fix="use an older backup",
        ) from error
    verified = Verified(
        created_at=manifest.created_at,
        version=manifest.version,
        schema=manifest.schema,
        url=manifest.url,
        ca_fingerprint=certificates.shown_fingerprint(keys.ca_certificate),
        counts=dict(manifest.counts),
        members=sorted(manifest.members),
    )
    return verified, keys


def _check_database(db: Connection, manifest: Manifest) -> None:
    if schema_version(db) != manifest.schema:
        raise DataDirectoryUnusable("the database has another schema than the manifest says")
    (answer,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != "ok":
        raise DataDirectoryUnusable(f"the database is damaged: {answer}")
    if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise DataDirectoryUnusable("rows of the database point at nothing")
    check_schema(db)


async def _settle(
    stage: DataDirectory, keys: Keys, manifest: Manifest
) -> tuple[Closed, list[RestoredCommand]]:
    """Bring the schema up to date, and close what must not be given or done twice."""
    vault = Vault(keys.vault_key)

    def unit(db: Connection) -> tuple[Closed, list[RestoredCommand]]:
        now, judge = now_ms(), _judge(db, vault)
        closed = restored.close_doors(db, now, judge)
        data = {"backup_of": f"{manifest.created_at:%Y-%m-%d %H:%M} UTC", "held": closed.held}
        events.add(db, "backup.restored", now, data=data)
        return closed, restored.unfinished(db, now)

    database = await Database.open(stage.database)
    try:
        await _translated(check_proof(database, vault))
        return await database.write(unit)
    finally:
        await database.close()


async def _translated(work: Awaitable[None]) -> None:
    try:
        await work
    except DataDirectoryUnusable as error:
        raise BackupUnusable(error.problem, why=error.why, fix="use an older backup") from error


def _judge(db: Connection, vault: Vault) -> Judge:
    """Return what tells whether a command may go to its device a second time unasked.

    One that the catalogue does not know may do anything; a profile with a challenge that is
    void now would be refused.
    """
    payloads = Payloads(vault)

    def judge(uuid: str, target: str, request_type: str, payload: Payload) -> bool:
        if request_type not in catalogue():
            return True
        if request_type not in ("InstallProfile", "RemoveProfile"):
            return is_dangerous(request_type, {})
        device = devices.get(db, target)
        if device is not None and lets_go(db, request_type, device):
            return True
        body = payloads.open(uuid, target, payload)
        try:
            parameters = parse_command(body).command.value
        except MalformedMessage:
            return True
        return is_dangerous(request_type, parameters)

    return judge


def _give_to_owner(stage: Path, target: Path) -> None:
    """Root restores into an empty directory of the service's user: it stays that user's."""
    if os.geteuid() != 0 or not target.is_dir():
        return
    owner = target.stat()
    for folder, folders, files in os.walk(stage):
        for name in (".", *folders, *files):
            os.chown(Path(folder, name), owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(path: Path) -> None:
    for folder, _, files in os.walk(path):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
