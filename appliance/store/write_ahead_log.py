"""SQLite's write-ahead log: when it goes back into the database file, and waiting for nobody."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from appliance import logs

logger = logging.getLogger(__name__)

BUSY_SECONDS = 5
_EVERY_BYTES = 8 << 20
_AGAIN_BYTES = 1 << 20


class WriteAheadLog:
    """The log of one database, which only the writer empties.

    It is due when it has grown, and after a checkpoint that could not empty it (the disk is full,
    another program reads the file) when it has grown a little more: not after each commit.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + "-wal")
        self._due_bytes = _EVERY_BYTES

    @property
    def is_due(self) -> bool:
        """Whether it has grown enough."""
        return self._size() >= self._due_bytes

    def take_over(self, db: sqlite3.Connection) -> None:
        """Write back what a killed server left in it, before anything is added.

        If a sync failed, what is read there may be in memory alone, and no later sync would write
        it: after a power cut the log would end before it, and all that was answered since be lost.

        Raises:
            sqlite3.Error: it could not be written, for another reason than a full disk, which
                is said while the server runs.
        """
        try:
            self.checkpoint(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                raise

    def checkpoint(self, db: sqlite3.Connection) -> None:
        """Write it back into the file and empty it.

        Raises:
            sqlite3.Error: it could not be written; nothing is lost.
        """
        self._due_bytes = self._size() + _AGAIN_BYTES
        if _emptied(db):
            self._due_bytes = _EVERY_BYTES
        else:
            logger.warning(
                "checkpoint failed", extra={logs.REASON: "another program reads the store"}
            )

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


def _emptied(db: sqlite3.Connection) -> bool:
    """Do what can be done at once: who reads for minutes would stop every commit as long."""
    db.execute("PRAGMA busy_timeout = 0")
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    return not busy
