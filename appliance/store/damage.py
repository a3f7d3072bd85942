"""Damage: found before anything is written, named, and never papered over."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

from appliance.errors import DataDirectoryUnusable, DirectoryInUse, StoreDamaged

_START_SECONDS = 1.0
_MOST_REPORTED = 3
_FULL_BYTES = 1 << 20
_WHY = "the disk, or another program, changed it; what is left must not be written over"
_RESTORE = "stop everything that uses it, keep the file, and restore a backup"


def find_damage(db: sqlite3.Connection, *, seconds: float) -> str:
    """Look through the file for at most `seconds`; return what is wrong, "" if nothing."""
    watch = threading.Timer(seconds, db.interrupt)
    watch.start()
    try:
        rows = db.execute(f"PRAGMA integrity_check({_MOST_REPORTED})").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return ""
        raise
    finally:
        watch.cancel()
    found = [text for (text,) in rows if text not in ("ok", "interrupted")]
    return "; ".join(" ".join(text.split()) for text in found)


def refuse_damaged(db: sqlite3.Connection) -> None:
    """Check a file that is being opened, as much of it as a second allows (some 500 MB).

    Raises:
        StoreDamaged: with what is wrong.
    """
    damage = find_damage(db, seconds=_START_SECONDS)
    if damage:
        raise StoreDamaged(f"appliance.db is damaged: {damage}", why=_WHY, fix=_RESTORE)


def unusable(path: Path, error: sqlite3.Error) -> DataDirectoryUnusable:
    """Return the error for a file that SQLite cannot open, read or write."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path} is damaged: {error}", why=_WHY, fix=_RESTORE)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DirectoryInUse(
            f"{path} cannot be opened: {error}",
            fix="end the program that has it open, then try again",
        )
    if shutil.disk_usage(path.parent).free < _FULL_BYTES:
        fix = "free some space on its disk"
    else:
        fix = "check the disk, its free space and the rights of this user"
    return DataDirectoryUnusable(f"{path} cannot be opened: {error}", fix=fix)
