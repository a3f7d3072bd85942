"""When the disk fails, nothing is told to be stored that is not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from appliance.errors import Busy
from appliance.store import settings
from appliance.store.database import Connection, Database


def _io_error() -> sqlite3.OperationalError:
    """What sqlite3 raises when a write to the disk fails."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    return error


async def test_e07_after_a_failed_write_nothing_is_written_any_more(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "appliance.db")

    def fails(db: Connection) -> None:
        raise _io_error()

    with pytest.raises(Busy):
        await database.write(fails)
    assert database.failure.is_set(), "the process is told to end"
    with pytest.raises(Busy):
        await database.write(lambda db: settings.put(db, "key", "1"))
    assert await database.read(lambda db: settings.get(db, "key")) is None
    await database.close()


async def test_a_reader_that_cannot_read_says_so(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "appliance.db")
    with pytest.raises(Busy):
        await database.read(lambda db: db.execute("SELECT * FROM nothing"))
    await database.close()
