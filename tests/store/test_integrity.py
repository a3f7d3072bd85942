"""The running store is looked through, and damage is named and remembered."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from appliance.services.integrity import IntegrityService
from appliance.store import settings
from appliance.store.database import Database

DAY = 86_400_000


def damage(path: Path) -> None:
    """Wipe the page of an index, as a failing disk does."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'idempotency_keys_by_age'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


async def test_e_10_damage_that_nobody_reads_is_found_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    database = await Database.open(path)
    integrity = IntegrityService(database)
    assert await integrity.check() == ""
    assert (database.trouble, database.is_damaged) == ("", False)
    damage(path)
    assert await integrity.check()
    assert database.is_damaged
    assert database.trouble.startswith("the database is damaged: ")
    await database.write(partial(settings.put, key="key", value="1"))
    assert database.is_damaged, "that something else can be written changes nothing"
    await database.close()


async def test_writers_go_on_while_the_store_is_looked_through(database: Database) -> None:
    for number in range(20):
        await database.write(partial(settings.put, key=str(number), value="x" * 1_000_000))
    checking = asyncio.ensure_future(database.find_damage(seconds=60))
    for number in range(20):
        await database.write(partial(settings.put, key=f"more {number}", value="y"))
    assert await checking == ""


async def test_a_check_is_made_once_a_week(database: Database) -> None:
    async def checked() -> int:
        return int(await database.read(lambda db: settings.get(db, "integrity_checked")) or 0)

    integrity = IntegrityService(database)
    assert await integrity.weekly() >= 60, "a start is not held up"
    assert await checked() == 0
    await integrity.weekly()
    first = await checked()
    assert first > 0
    await integrity.weekly()
    assert await checked() == first
    for other in (first - 8 * DAY, first + 3 * DAY):
        await database.write(partial(settings.put, key="integrity_checked", value=str(other)))
        await integrity.weekly()
        assert first <= await checked() < first + DAY
