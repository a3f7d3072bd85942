"""SQLite's write-ahead log: when it goes back into the database file, and waiting for nobody."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from appliance import logs

logger = logging.getLogger(__name__)

BUSY_SECONDS = 5
_EVERY_BYTES = 8 << 20
_AGAIN_BYTES = 1 << 20
KEPT_BYTES = 16 << 20  # of its file, when more was needed at one time
_HEADER, _FRAME_HEADER = 32, 24


class WriteAheadLog:
    """The log of one database, which only the writer takes back into the database file.

    After that it begins anew in the same file: what is written over needs no room to be found for
    it, which is most of what a sync costs. The log is due when it has grown, and after a checkpoint
    that could not take all of it (the disk is full, another program reads the file) when it has
    grown a little more: not after each commit.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + "-wal")
        self._due_bytes = _EVERY_BYTES
        self._taken = b""  # the salt of what was taken back as a whole

    @property
    def is_due(self) -> bool:
        """Whether it has grown enough since it began."""
        return self._reaches(self._due_bytes)

    def take_over(self, db: sqlite3.Connection) -> None:
        """Write back what a killed server left in it, before anything is added.

        If a sync failed, what is read there may be in memory alone, and no later sync would write
        it: after a power cut the log would end before it, and all that was answered since be lost.

        Raises:
            sqlite3.Error: it could not be written, for another reason than a full disk, which
                is said while the server runs.
        """
        try:
            self.empty(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                raise

    def empty(self, db: sqlite3.Connection) -> None:
        """Write it back into the file, and leave nothing of it; raises as `checkpoint`."""
        if not _taken_back(db, "TRUNCATE"):
            self._say_who_is_in_the_way()

    def checkpoint(self, db: sqlite3.Connection) -> None:
        """Write it back into the file; it begins anew with the next commit.

        Raises:
            sqlite3.Error: it could not be written; nothing is lost.
        """
        while self._reaches(self._due_bytes):
            self._due_bytes += _AGAIN_BYTES
        if _taken_back(db, "RESTART"):
            self._due_bytes = _EVERY_BYTES
            self._taken, _ = self._salts(_EVERY_BYTES)
        else:
            self._say_who_is_in_the_way()

    def _say_who_is_in_the_way(self) -> None:
        logger.warning("checkpoint failed", extra={logs.REASON: "another program reads the store"})

    def _reaches(self, size: int) -> bool:
        """Tell whether so much was written since it began."""
        own, written = self._salts(size)
        return written != b"" and written == own != self._taken

    def _salts(self, size: int) -> tuple[bytes, bytes]:
        """Return the salt of the log, and that of the last frame within `size`; empty for none.

        A frame has the salt of the log that it was written to; what is left of an earlier time has
        another. Source: sqlite.org, "Database File Format", section 4.1.
        """
        try:
            with self._path.open("rb", buffering=0) as file:
                head = os.pread(file.fileno(), _HEADER, 0)
                frame = _FRAME_HEADER + int.from_bytes(head[8:12])  # and a page
                last = _HEADER + (size // frame - 1) * frame
                return head[16:24], os.pread(file.fileno(), 8, last + 8)
        except OSError:  # no log yet, or no descriptor free: it is due a little later
            return b"", b""


def _taken_back(db: sqlite3.Connection, how: str) -> bool:
    """Do what can be done at once: who reads for minutes would stop every commit as long."""
    db.execute("PRAGMA busy_timeout = 0")
    try:
        (busy, _, _) = db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    return not busy
