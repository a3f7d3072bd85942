"""The schema: numbered migrations, forward only, and whether a database has the one it claims."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from appliance import resources
from appliance.errors import DataDirectoryUnusable
from appliance.store.disk import sync
from appliance.store.holding import SINCE_SCHEMA, hold_in_copy

_ROOM = 4  # times its size: the copy, the log, and tables that are there twice for a while
_COPIES_KEPT = 2
_SCHEMA = """
SELECT type, name, tbl_name, sql FROM sqlite_schema
 WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name
"""


def migrate(db: sqlite3.Connection, *, backups: Path | None = None) -> None:
    """Apply the numbered migrations that `db` lacks, all in one transaction.

    Before existing data is changed, a copy of it is written to `backups`.

    Raises:
        DataDirectoryUnusable: the schema is newer than this release, or not the one it claims.
    """
    version = schema_version(db)
    scripts = _scripts()
    newest = newest_schema()
    if version > newest:
        raise DataDirectoryUnusable(
            f"the database has schema {version}, this release knows {newest}",
            fix="run the newer release, or restore the backup made before the upgrade",
        )
    check_schema(db)
    pending = [name for number, name in scripts if number > version]
    if not pending:
        return
    if version and backups is not None:
        _refuse_full(db, backups)
        copy(db, target=backups / f"before-schema-{newest:04}-from-{version:04}.db")
        _prune(backups)
    # executescript commits first, so the transaction has to be inside the script. A table that is
    # made anew is dropped for a moment, which must not take what refers to its rows.
    db.executescript(
        f"PRAGMA foreign_keys = OFF;\nBEGIN IMMEDIATE;\n{_joined(pending)}\n"
        f"PRAGMA user_version = {newest};\nCOMMIT;\nPRAGMA foreign_keys = ON;"
    )


def schema_version(db: sqlite3.Connection) -> int:
    """Return the number of the last migration that was applied."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def newest_schema() -> int:
    """Return the number of the last migration there is."""
    return _scripts()[-1][0]


def check_schema(db: sqlite3.Connection) -> None:
    """Compare the tables and indexes with those that the migrations up to its version make.

    Raises:
        DataDirectoryUnusable: a foreign database, one changed by hand, or a wrong version.
    """
    version = schema_version(db)
    expected = sqlite3.connect(":memory:")
    try:
        expected.executescript(_joined([name for number, name in _scripts() if number <= version]))
        differing = set(expected.execute(_SCHEMA)) ^ set(db.execute(_SCHEMA))
    finally:
        expected.close()
    if not differing:
        return
    names = sorted({str(row[1]) for row in differing})
    raise DataDirectoryUnusable(
        f"the database is not of schema {version}: {', '.join(names[:5])}",
        why="it was changed by another program, or it is not a database of the appliance",
        fix="restore it from a backup",
    )


def copy(db: sqlite3.Connection, *, target: Path) -> None:
    """Write a consistent copy of the database to `target`, whole and on the disk, or not at all.

    What waits in the copy is held or marked as after a restore.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial_file = target.with_name(target.name + ".partial")
    partial_file.unlink(missing_ok=True)
    made = sqlite3.connect(partial_file)
    try:
        partial_file.chmod(0o600)
        db.backup(made)
        if schema_version(made) >= SINCE_SCHEMA:
            with made:
                hold_in_copy(made, int(time.time() * 1000))
    finally:
        made.close()
    sync(partial_file)
    partial_file.replace(target)
    sync(target.parent)


def _prune(backups: Path) -> None:
    """Keep the copies of the last migrations; their names sort by schema."""
    for path in sorted(backups.glob("before-schema-????-from-????.db"))[:-_COPIES_KEPT]:
        path.unlink(missing_ok=True)


def _refuse_full(db: sqlite3.Connection, backups: Path) -> None:
    """Refuse to begin what the disk has no room for: the copy, and as much again for the log."""
    pages, page_size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    needed, free = pages * page_size * _ROOM, shutil.disk_usage(backups.parent).free
    if free < needed:
        raise DataDirectoryUnusable(
            f"the disk of {backups.parent} has no room to bring the database up to date",
            why=f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
            fix="free some space, then start again; nothing was changed",
        )


def _scripts() -> list[tuple[int, str]]:
    return [
        (int(name[:4]), name)
        for name in resources.names("store/migrations")
        if re.fullmatch(r"\d{4}_\w+\.sql", name)
    ]


def _joined(names: Sequence[str]) -> str:
    return "".join(resources.text(f"store/migrations/{name}") for name in names)
