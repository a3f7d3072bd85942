"""Every schema that was ever in use becomes the present one with its rows, or stays as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from operator import methodcaller
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance import resources
from appliance.errors import DataDirectoryUnusable
from appliance.store.database import Connection, Database
from appliance.store.migrating import check_schema, migrate, newest_schema, schema_version

_KEPT = sorted((Path(__file__).parent.parent / "testdata" / "databases").glob("schema-*.sql"))


def _of_schema(path: Path, version: int) -> Connection:
    """A database as the release with that schema left it, with a row in it."""
    db = sqlite3.connect(path, isolation_level=None)
    for name in sorted(resources.names("store/migrations")):
        if name.endswith(".sql") and int(name[:4]) <= version:
            db.executescript(resources.text(f"store/migrations/{name}"))
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("INSERT INTO settings (key, value) VALUES ('kept', 'yes')")
    return db


def _counts(db: Connection) -> dict[str, int]:
    names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    tables = [name for (name,) in names if not name.startswith("sqlite_")]
    return {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}


@pytest.mark.parametrize("version", range(1, newest_schema()))
async def test_h_01_every_schema_becomes_the_present_one(tmp_path: Path, version: int) -> None:
    path, backups = tmp_path / "appliance.db", tmp_path / "backups"
    _of_schema(path, version).close()
    await (await Database.open(path, backups=backups)).close()
    with closing(sqlite3.connect(path)) as db:
        assert schema_version(db) == newest_schema()
        assert db.execute("SELECT value FROM settings WHERE key = 'kept'").fetchone() == ("yes",)
    (snapshot,) = backups.iterdir()
    with closing(sqlite3.connect(snapshot)) as db:
        assert schema_version(db) == version, "what was there before is kept beside it"
        check_schema(db)


async def test_the_copies_of_the_last_two_migrations_stay(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    for name in ("before-schema-0002-from-0001.db", "before-schema-0003-from-0002.db", "mine.db"):
        (backups / name).touch()
    path = tmp_path / "appliance.db"
    _of_schema(path, 3).close()
    await (await Database.open(path, backups=backups)).close()
    assert sorted(one.name for one in backups.iterdir()) == [
        "before-schema-0003-from-0002.db",
        f"before-schema-{newest_schema():04}-from-0003.db",
        "mine.db",
    ]


def _payloads(db: sqlite3.Connection) -> list[tuple[int, bytes]]:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version < 8:
        return db.execute("SELECT id, payload FROM commands ORDER BY id").fetchall()
    return db.execute("SELECT command_id, body FROM command_payloads ORDER BY 1").fetchall()


@pytest.mark.parametrize("dump", _KEPT, ids=lambda path: path.stem)
async def test_h_01_a_store_of_real_devices_keeps_every_row(tmp_path: Path, dump: Path) -> None:
    path = tmp_path / "appliance.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(dump.read_text())
        before = _counts(db)
        statuses = db.execute("SELECT uuid, status FROM commands ORDER BY id").fetchall()
        sent = _payloads(db)
    assert before["enrollments"] >= 3
    await (await Database.open(path)).close()
    with closing(sqlite3.connect(path)) as db:
        after = _counts(db)
        assert {name: after[name] for name in before} == before
        assert db.execute("SELECT uuid, status FROM commands ORDER BY id").fetchall() == statuses
        assert _payloads(db) == sent
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("dump", _KEPT, ids=lambda path: path.stem)
async def test_what_a_migration_does_without_is_enforced_after_it(
    tmp_path: Path, dump: Path
) -> None:
    path = tmp_path / "appliance.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(dump.read_text())
    database = await Database.open(path)
    try:
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await database.write(
                methodcaller("execute", "UPDATE commands SET enrollment_id = 'no'")
            )
        for wrong in (
            "UPDATE commands SET status = 'done'",
            "UPDATE commands SET status = 'sent', finished_at = 1",
            "UPDATE commands SET status = 'acknowledged', finished_at = NULL",
            "UPDATE enrollments SET state = 'gone'",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                await database.write(methodcaller("execute", wrong))
    finally:
        await database.close()


def test_h_01_there_is_a_store_of_real_devices() -> None:
    assert _KEPT, "scripts/fixture-database makes one before each release"


def test_h_04_a_migration_without_room_changes_nothing(tmp_path: Path) -> None:
    db = _of_schema(tmp_path / "appliance.db", 1)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    before = list(db.iterdump())
    with pytest.raises(sqlite3.OperationalError, match="full"):
        migrate(db)
    db.close()
    with closing(sqlite3.connect(tmp_path / "appliance.db", isolation_level=None)) as db:
        assert schema_version(db) == 1
        assert list(db.iterdump()) == before
        migrate(db)
        assert schema_version(db) == newest_schema()


async def test_h_04_a_disk_without_room_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "appliance.db"
    _of_schema(path, 1).close()
    room = path.stat().st_size * 1.2

    def usage(_: object) -> SimpleNamespace:
        return SimpleNamespace(total=1 << 40, used=0, free=int(room))

    monkeypatch.setattr("shutil.disk_usage", usage)
    with pytest.raises(DataDirectoryUnusable, match="no room"):
        await Database.open(path, backups=tmp_path / "backups")
    assert not (tmp_path / "backups").exists()
    with closing(sqlite3.connect(path)) as db:
        assert schema_version(db) == 1


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE mine (x)",
        "DROP INDEX command_backlog",
        "ALTER TABLE settings ADD COLUMN more TEXT",
        "CREATE VIEW users_too AS SELECT * FROM settings",
        "PRAGMA user_version = 2",
    ],
)
async def test_h_06_a_schema_that_was_changed_by_hand_is_refused(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "appliance.db"
    await (await Database.open(path)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(change)
    before = path.read_bytes()
    with pytest.raises(DataDirectoryUnusable, match="is not of schema"):
        await Database.open(path)
    assert path.read_bytes() == before
