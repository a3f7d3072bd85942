"""A real database in a temporary directory, and a device in it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.store.database import Database
from tests.web.api_client import enroll


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    database = await Database.open(tmp_path / "appliance.db")
    yield database
    await database.close()


@pytest.fixture
def enrolled(database: Database, tmp_path: Path) -> Database:
    """The device A."""
    with closing(sqlite3.connect(tmp_path / "appliance.db")) as db, db:
        enroll(db, "A", "Mac")
    return database
