"""Backups: one encrypted file each, made while the server works; by order, and every night."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage

from appliance import __version__, logs
from appliance.config import Config
from appliance.errors import ApplianceError, Busy, Conflict
from appliance.services import archive
from appliance.services.archive import Manifest
from appliance.services.backup_key import recipient_of
from appliance.services.clock import now_ms
from appliance.services.data_directory import DataDirectory
from appliance.services.key_files import VAULT
from appliance.store import events
from appliance.store.database import Connection, Database
from appliance.store.migrating import schema_version

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(appliance|nightly)-(\d{8}T\d{6}Z)\.tar\.age")
_STAMP = "%Y%m%dT%H%M%SZ"
_RETRY_SECONDS = 3600.0
_NEVER = datetime.min.replace(tzinfo=UTC)
_LOOK_AGAIN_SECONDS = 600.0  # a clock may jump, a machine may sleep
_COPIES = 2  # of the store at the same time: the snapshot, and the sealed file
_RESERVE_BYTES = 16 << 20  # for what devices say meanwhile
_COUNTED = {
    "devices": "SELECT count(*) FROM enrollments WHERE device_id IS NULL",
    "commands": "SELECT count(*) FROM commands",
    "unfinished_commands": "SELECT count(*) FROM commands WHERE finished_at IS NULL",
    "certificates": "SELECT count(*) FROM certificates",
    "users": "SELECT count(*) FROM users",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One file in `backups/`; a nightly one goes when there are newer ones enough."""

    name: str
    path: str
    size_bytes: int
    created_at: datetime
    nightly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupState:
    """Whether there is what one would need; `error` says why the last attempt failed."""

    last: Backup | None
    error: str
    has_key: bool


class BackupService:
    """Makes, lists and prunes the backups of one data directory."""

    def __init__(self, database: Database, directory: DataDirectory, config: Config) -> None:
        self._database = database
        self._directory = directory
        self._config = config
        self._making = asyncio.Lock()
        self._error = ""

    def all(self) -> list[Backup]:
        """Return what is in `backups/`, newest first."""
        found = [
            backup
            for path in self._directory.backups.glob("*.tar.age")
            if (backup := _backup_of(path)) is not None
        ]
        return sorted(found, key=lambda backup: backup.created_at, reverse=True)

    def state(self) -> BackupState:
        """Return how things stand."""
        return BackupState(
            last=next(iter(self.all()), None),
            error=self._error,
            has_key=self._directory.recipient.exists(),
        )

    async def create(self, *, nightly: bool = False) -> Backup:
        """Make a backup of this moment; it has its name when it is whole and on the disk.

        Raises:
            Conflict: there is no key to encrypt to.
            Busy: the disk has no room for it, or the snapshot failed.
        """
        async with self._making:
            moment = datetime.now(UTC).replace(microsecond=0)
            stem = "nightly" if nightly else "appliance"
            target = self._directory.backups / f"{stem}-{moment.strftime(_STAMP)}.tar.age"
            if target.exists():
                raise Conflict(f"{target} exists", code="backup.exists", fix="wait a second")
            await self._try(target, moment)
        backup = _backup_of(target)
        assert backup is not None  # noqa: S101 - we gave it its name
        data = {"name": backup.name, "size_bytes": backup.size_bytes}
        await self._database.write(lambda db: events.add(db, "backup.created", now_ms(), data=data))
        return backup

    async def nightly(self) -> float:
        """Make the backup of the night if it is due; return the seconds until to look again.

        A failure is shown on the board; it keeps no device from being served.
        """
        if not self._config.backup.at:
            return _LOOK_AGAIN_SECONDS
        if self._last_due() > self._last_made():
            try:
                await self.create(nightly=True)
            except ApplianceError as error:
                logger.warning("backup failed", extra={logs.REASON: str(error)})
                return _RETRY_SECONDS
            await asyncio.to_thread(self._prune)
        return _LOOK_AGAIN_SECONDS

    async def _try(self, target: Path, moment: datetime) -> None:
        """Make a backup; `state` tells why the last attempt failed."""
        failure: Exception | None = None
        try:
            await self._make(target, moment, recipient_of(self._directory))
        except (OSError, sqlite3.Error, ApplianceError) as error:
            failure = error
        self._error = "" if failure is None else str(failure)
        if isinstance(failure, ApplianceError):
            raise failure
        if failure is not None:
            raise Busy(f"the backup failed: {failure}", fix="make room on the disk") from failure

    async def _make(self, target: Path, moment: datetime, key: pyrage.x25519.Recipient) -> None:
        partial, workshop = target.with_name(".partial"), target.with_name(".snapshot")
        await asyncio.to_thread(_clear, partial, workshop)
        try:
            self._refuse_full()
            workshop.mkdir(mode=0o700)
            snapshot = workshop / archive.DATABASE
            await self._database.snapshot(snapshot)
            await _in_thread(
                lambda stop: self._seal(snapshot, partial, moment, archive.Writer(key, stop))
            )
            await asyncio.to_thread(self._directory.publish, partial, target)
        finally:
            await asyncio.to_thread(_clear, partial, workshop)

    def _refuse_full(self) -> None:
        """Begin nothing that would take the room that devices' answers need."""
        needed = _COPIES * self._database.size_bytes() + _RESERVE_BYTES
        free = shutil.disk_usage(self._directory.backups).free
        if free < needed:
            raise Busy(
                f"a backup needs {needed / 1e6:.0f} MB of the disk, {free / 1e6:.0f} MB are free",
                fix="make room on the disk, or keep fewer backups (`backup.keep`)",
            )

    def _seal(
        self, snapshot: Path, partial: Path, moment: datetime, writer: archive.Writer
    ) -> None:
        files = self._files(snapshot)
        with closing(sqlite3.connect(f"{snapshot.as_uri()}?mode=ro", uri=True)) as db:
            counts, schema = _counts(db), schema_version(db)
        manifest = Manifest(
            format=archive.FORMAT,
            version=__version__,
            schema=schema,
            created_at=moment,
            url=self._config.server.base_url,
            counts=counts,
            members={name: writer.describe(path) for name, path in files.items()},
        )
        writer.write(partial, manifest, files)

    def _files(self, snapshot: Path) -> dict[str, Path]:
        files = {archive.DATABASE: snapshot}
        settings = self._directory.path / archive.SETTINGS
        if settings.is_file():
            files[archive.SETTINGS] = settings
        for path in sorted(self._directory.keys.iterdir()):
            if archive.is_member(name := f"keys/{path.name}"):
                files[name] = path
        return files

    def _last_due(self) -> datetime:
        hour, minute = map(int, self._config.backup.at.split(":"))
        now = datetime.now().astimezone()
        today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today <= now else today - timedelta(days=1)

    def _last_made(self) -> datetime:
        """Return when the last backup was made, or else since when there could have been one."""
        moments = [backup.created_at for backup in self.all()]
        if not moments:
            made = (self._directory.keys / VAULT).stat().st_mtime
            moments = [datetime.fromtimestamp(made, UTC)]
        now = datetime.now(UTC)  # what a clock that was ahead has dated later says nothing
        return max((moment for moment in moments if moment <= now), default=_NEVER)

    def _prune(self) -> None:
        now = datetime.now(UTC)
        nightly = [backup for backup in self.all() if backup.nightly]
        nightly.sort(key=lambda one: (one.created_at <= now, one.created_at), reverse=True)
        for backup in nightly[self._config.backup.keep :]:
            (self._directory.backups / backup.name).unlink(missing_ok=True)


def _counts(db: Connection) -> Mapping[str, int]:
    (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(f"the database is damaged: {answer}")
    return {name: int(db.execute(sql).fetchone()[0]) for name, sql in _COUNTED.items()}


def _backup_of(path: Path) -> Backup | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    try:
        size = path.stat().st_size
        moment = datetime.strptime(match[2], _STAMP).replace(tzinfo=UTC)
    except (FileNotFoundError, ValueError):
        return None
    return Backup(
        name=path.name,
        path=str(path),
        size_bytes=size,
        created_at=moment,
        nightly=match[1] == "nightly",
    )


async def _in_thread(work: Callable[[threading.Event], None]) -> None:
    """Do it in a thread; if we are cancelled, set the event, and wait until it has stopped."""
    stop = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({running})
        raise


def _clear(partial: Path, workshop: Path) -> None:
    """Remove what a backup left that was cut short."""
    partial.unlink(missing_ok=True)
    shutil.rmtree(workshop, ignore_errors=True)
