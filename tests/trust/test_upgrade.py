"""Up, back and up again: the way to a schema leaves no trace in it (H-09).

An older release is the present one with the migrations that it had; it is gone back to as
docs/operations.md says, by the copy that was made before the migration.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import DataDirectoryUnusable
from appliance.store import migrating
from appliance.store.commands import next_command
from appliance.store.database import Database
from appliance.store.holding import UNTIL_RELEASED
from appliance.store.migrating import newest_schema, schema_version
from tests.trust.strace import injecting

NEWEST = newest_schema()
_FOLDER = Path(__file__).parent.parent / "testdata" / "databases"
KEPT = [one for one in sorted(_FOLDER.glob("schema-*.sql")) if int(one.stem[-4:]) < NEWEST]
LATER = 1_900_000_000_000
# What differs, and why: after going back, nobody knows what devices have done since.
_MARKS = frozenset({"restored_at", "not_before", "status"})


@contextmanager
def release(schema: int) -> Iterator[None]:
    """The release whose newest schema this is."""
    scripts = [one for one in migrating._scripts() if one[0] <= schema]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrating, "_scripts", lambda: scripts)
        yield


class Store:
    """A data directory's store and the copies beside it."""

    def __init__(self, folder: Path, dump: Path) -> None:
        folder.mkdir()
        self.path = folder / "appliance.db"
        self.backups = folder / "backups"
        with closing(sqlite3.connect(self.path)) as db:
            db.executescript(dump.read_text())
        self.began = self.schema

    @property
    def schema(self) -> int:
        """The schema that it has now."""
        with closing(sqlite3.connect(self.path)) as db:
            return schema_version(db)

    async def start(self, schema: int) -> None:
        """Let the release with that schema run for a moment."""
        with release(schema):
            await (await Database.open(self.path, backups=self.backups)).close()
        assert self.schema == schema

    def go_back(self, *, to: int) -> None:
        """Put the copy that was made before the last migration in the place of the store."""
        (copy,) = self.backups.glob(f"before-schema-{self.schema:04}-from-{to:04}.db")
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        copy.replace(self.path)
        assert self.schema == to

    def state(self) -> tuple[list[Any], dict[str, list[Any]]]:
        """The schema, and the rows of each table but for the marks of commands that wait."""
        with closing(sqlite3.connect(self.path)) as db:
            db.row_factory = sqlite3.Row
            schema = [tuple(row) for row in db.execute(migrating._SCHEMA)]
            tables = [row[1] for row in schema if row[0] == "table"]
            return schema, {name: self._rows(db, name) for name in tables}

    def _rows(self, db: sqlite3.Connection, table: str) -> list[Any]:
        rows = db.execute(f'SELECT * FROM "{table}" ORDER BY rowid').fetchall()
        return [
            {
                key: row[key]
                for key in row.keys()  # noqa: SIM118 - a row iterates over its values
                if not (table == "commands" and row["finished_at"] is None and key in _MARKS)
            }
            for row in rows
        ]


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def dump(request: pytest.FixtureRequest) -> Path:
    """A store of real devices, as an older release left it."""
    path: Path = request.param
    return path


async def test_h_09_up_back_and_up_ends_as_the_direct_way(tmp_path: Path, dump: Path) -> None:
    direct = Store(tmp_path / "direct", dump)
    await direct.start(NEWEST)
    assert direct.state()[1]["enrollments"], "there are devices in it"

    skipping = Store(tmp_path / "skipping", dump)
    await skipping.start(NEWEST)
    skipping.go_back(to=skipping.began)
    await skipping.start(skipping.began)
    await skipping.start(NEWEST)
    assert skipping.state() == direct.state()

    stepping = Store(tmp_path / "stepping", dump)
    for schema in range(stepping.began + 1, NEWEST + 1):
        await stepping.start(schema)
        stepping.go_back(to=schema - 1)
        await stepping.start(schema - 1)
        await stepping.start(schema)
    assert stepping.state() == direct.state()


async def test_h_09_the_release_of_before_does_not_touch_the_newer_store(
    tmp_path: Path, dump: Path
) -> None:
    store = Store(tmp_path / "store", dump)
    await store.start(NEWEST)
    before = store.path.read_bytes()
    with release(store.began), pytest.raises(DataDirectoryUnusable, match="this release knows"):
        await Database.open(store.path, backups=store.backups)
    assert store.path.read_bytes() == before


async def test_h_03_going_back_to_the_copy_sends_nothing_dangerous_again(
    tmp_path: Path, dump: Path
) -> None:
    store = Store(tmp_path / "store", dump)
    with closing(sqlite3.connect(store.path)) as db, db:
        waiting = dict(
            db.execute("SELECT uuid, request_type FROM commands WHERE finished_at IS NULL")
        )
        assert "DeviceLock" in waiting.values()
        devices = db.execute("SELECT DISTINCT enrollment_id FROM commands").fetchall()
    await store.start(NEWEST)
    store.go_back(to=store.began)
    with closing(sqlite3.connect(store.path)) as db:
        rows = db.execute("SELECT uuid, restored_at, not_before FROM commands").fetchall()
    marked = {uuid: not_before == UNTIL_RELEASED for uuid, at, not_before in rows if at is not None}
    assert marked == {uuid: name == "DeviceLock" for uuid, name in waiting.items()}

    await store.start(NEWEST)
    with closing(sqlite3.connect(store.path)) as db:
        given = [uuid for (device,) in devices for uuid in _work_off(db, device)]
    assert set(given) == {uuid for uuid, name in waiting.items() if name != "DeviceLock"}


def _work_off(db: sqlite3.Connection, device: str) -> Iterator[str]:
    while (found := next_command(db, device, idle=True, now=LATER)) is not None:
        yield found.uuid
        db.execute(
            "UPDATE commands SET status = 'acknowledged', finished_at = 1 WHERE uuid = ?",
            (found.uuid,),
        )


# What a release does at its start, in a process that can be killed.
_START = """
import asyncio, sys
from pathlib import Path
from appliance.store.database import Database
folder = Path(sys.argv[1])
async def main():
    await (await Database.open(folder / "appliance.db", backups=folder / "backups")).close()
asyncio.run(main())
"""


def _start_and_kill(folder: Path, call: str, number: int) -> bool:
    """Kill it at the so-manieth call; tell whether it came to its end before."""
    kill = injecting(call, f"signal=SIGKILL:when={number}")
    command = [*kill, sys.executable, "-c", _START, str(folder)]
    return subprocess.run(command, timeout=120, check=False).returncode == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "rename", "pwrite64"])
async def test_killed_at_any_step_of_an_upgrade_the_next_start_finishes_it(
    tmp_path: Path, call: str
) -> None:
    direct = Store(tmp_path / "direct", KEPT[0])
    await direct.start(NEWEST)
    number, killed = 1, 0
    while True:
        store = Store(tmp_path / f"killed at {number}", KEPT[0])
        ended = await asyncio.to_thread(_start_and_kill, store.path.parent, call, number)
        for copy in store.backups.glob("before-schema-????-from-????.db"):
            with closing(sqlite3.connect(copy)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "half a copy"
                assert schema_version(db) == store.began
        await store.start(NEWEST)
        assert store.state() == direct.state(), (call, number)
        if ended:
            break
        killed += 1
        number += 1 if call != "pwrite64" else 1 + number // 2  # there are hundreds
    assert killed, f"it never came to {call}"
