"""The write-ahead log: emptied in time, at each start, and waiting for nobody."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.store import settings
from appliance.store.database import Connection, Database

_WAITED_SECONDS = 5


def _put(db: Connection) -> None:
    settings.put(db, "key", "x" * 1_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the database."""
    return tmp_path / "appliance.db"


@pytest.fixture
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that looks at the store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


async def test_a_program_that_reads_for_long_keeps_nobody_waiting(
    path: Path, reading: sqlite3.Connection
) -> None:
    database = await Database.open(path)
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM settings").fetchone()
    began = time.monotonic()
    for _ in range(12):
        await database.write(_put)
    await database.read(lambda db: settings.get(db, "key"))
    log = path.with_name("appliance.db-wal")
    assert log.stat().st_size > 8 << 20
    reading.execute("ROLLBACK")
    for _ in range(12):
        await database.write(_put)
    assert log.stat().st_size < 8 << 20, "emptied, once nobody reads"
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM settings").fetchone()
    await database.close()
    assert time.monotonic() - began < _WAITED_SECONDS


async def test_a_start_leaves_nothing_in_the_log_of_a_killed_server(
    path: Path, tmp_path: Path
) -> None:
    """What a failed sync left there may be in memory alone."""
    database = await Database.open(path)
    await database.write(_put)
    (tmp_path / "killed").mkdir()
    for end in ("", "-wal"):
        await asyncio.to_thread(shutil.copy, f"{path}{end}", tmp_path / "killed")
    await database.close()

    database = await Database.open(tmp_path / "killed" / "appliance.db")
    assert (tmp_path / "killed" / "appliance.db-wal").stat().st_size == 0
    assert await database.read(lambda db: settings.get(db, "key"))
    await database.close()
