"""Looks into the server's database from outside, without knowing its schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]

# Rows that may be added about a device without harm to it.
_HISTORY = ("event", "audit", "history")

# When it is next woken changes by itself.
_SCHEDULES = ("pushes",)


@contextmanager
def opened(data: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to the database of a data directory."""
    mode = "rw" if write else "ro"
    uri = f"file:{data / 'appliance.db'}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> list[str]:
    """Names of all tables."""
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return sorted(name for (name,) in found if not name.startswith("sqlite_"))


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Column names of one table."""
    return [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]


def rows_about(data: Path, enrollment_id: str, *, history: bool = False) -> Rows:
    """Every row that names the enrollment; `history` picks events instead of state."""
    found: Rows = {}
    with opened(data) as connection:
        for table in tables(connection):
            if table in _SCHEDULES or history != any(word in table for word in _HISTORY):
                continue
            kept = [name for name in columns(connection, table) if "last_seen" not in name]
            chosen = ", ".join(f'"{name}"' for name in kept)
            rows = connection.execute(f'SELECT {chosen} FROM "{table}" ORDER BY rowid')
            named = [row for row in rows if any(_names(value, enrollment_id) for value in row)]
            if named:
                found[table] = named
    return found


def _names(value: Any, enrollment_id: str) -> bool:
    return isinstance(value, str) and enrollment_id in value


def certificate_count(data: Path) -> int:
    """How many certificates the authority has recorded."""
    with opened(data) as connection:
        (count,) = connection.execute("SELECT count(*) FROM certificates").fetchone()
        return int(count)
