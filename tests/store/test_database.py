"""Group commit: what is told to be stored is stored, and one failure is nobody else's."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from appliance.errors import Busy, Conflict, DataDirectoryUnusable
from appliance.store import settings
from appliance.store.database import Connection, Database

_GOLDEN = Path(__file__).parent.parent / "golden" / "schema.sql"


async def test_a_failing_unit_undoes_its_own_changes_only(database: Database) -> None:
    def fails(db: Connection) -> None:
        settings.put(db, "failed", "1")
        raise Conflict("no", code="test.conflict")

    writes = [
        database.write(lambda db: settings.put(db, "before", "1")),
        database.write(fails),
        database.write(lambda db: settings.put(db, "after", "1")),
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert isinstance(outcomes[1], Conflict)
    assert await database.read(lambda db: settings.get(db, "before")) == "1"
    assert await database.read(lambda db: settings.get(db, "after")) == "1"
    assert await database.read(lambda db: settings.get(db, "failed")) is None


async def test_waiting_units_share_one_transaction(database: Database) -> None:
    commits: list[int] = []

    def unit(db: Connection) -> None:
        commits.append(db.execute("SELECT total_changes()").fetchone()[0])
        settings.put(db, f"key {len(commits)}", "x")

    first = database.write(unit)  # takes the writer
    others = [database.write(unit) for _ in range(50)]
    await asyncio.gather(first, *others)

    assert await database.read(
        lambda db: db.execute("SELECT count(*) FROM settings").fetchone()
    ) == (51,)


async def test_a_caller_that_has_gone_does_not_stop_the_others(database: Database) -> None:
    gone = asyncio.ensure_future(database.write(lambda db: settings.put(db, "gone", "1")))
    stays = database.write(lambda db: settings.put(db, "stays", "1"))
    gone.cancel()
    await stays

    assert await database.read(lambda db: settings.get(db, "stays")) == "1"


async def test_e10_a_locked_database_is_busy_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    database = await Database.open(path)
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Busy):
        await database.write(lambda db: settings.put(db, "key", "1"))
    intruder.execute("ROLLBACK")
    intruder.close()

    await database.write(lambda db: settings.put(db, "key", "2"))
    assert await database.read(lambda db: settings.get(db, "key")) == "2"
    await database.close()


async def test_every_commit_waits_for_the_disk(database: Database) -> None:
    pragmas = await database.write(
        lambda db: [
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "foreign_keys", "wal_autocheckpoint")
        ]
    )
    assert pragmas == [2, "wal", 1, 0]


async def test_the_log_is_checkpointed_when_it_has_grown(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "appliance.db")
    wal = tmp_path / "appliance.db-wal"
    largest = 0
    for number in range(40):
        await database.write(
            lambda db, key=str(number): settings.put(db, key, "x" * 1_000_000)  # type: ignore[misc]
        )
        largest = max(largest, wal.stat().st_size)
    assert largest < 12 << 20
    await database.close()


async def test_h06_a_foreign_or_newer_database_is_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE something (id)")
    foreign.close()
    with pytest.raises(DataDirectoryUnusable):
        await Database.open(tmp_path / "foreign.db")

    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 9999")
    newer.close()
    with pytest.raises(DataDirectoryUnusable, match="9999"):
        await Database.open(tmp_path / "newer.db")


async def test_a_backup_is_whole_and_private(database: Database, tmp_path: Path) -> None:
    await database.write(lambda db: settings.put(db, "key", "kept"))
    target = tmp_path / "backups" / "copy.db"
    target.parent.mkdir()
    await database.snapshot(target)

    copy = sqlite3.connect(target)
    assert copy.execute("SELECT value FROM settings").fetchone() == ("kept",)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_the_schema_is_the_one_on_file(database: Database) -> None:
    rows = await database.read(
        lambda db: db.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()
    )
    schema = "".join(f"{sql};\n\n" for (sql,) in rows)
    if not _GOLDEN.exists():
        _GOLDEN.write_text(schema)
    assert _GOLDEN.read_text() == schema
