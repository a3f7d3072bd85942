"""The write-ahead log: begun anew in time, emptied at each start, and waiting for nobody."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from appliance.store import settings
from appliance.store.database import Connection, Database
from appliance.store.write_ahead_log import WriteAheadLog

_WAITED_SECONDS = 5
_ROWS = 30
_PAGE = 4096


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
    for _ in range(2):
        await database.write(_put)
    largest = log.stat().st_size
    for _ in range(24):
        await database.write(_put)
    assert log.stat().st_size == largest, "begun anew, once nobody reads"
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM settings").fetchone()
    await database.close()
    assert time.monotonic() - began < _WAITED_SECONDS


async def test_it_is_written_over_and_taken_back_once_for_each_eight_megabytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    checkpoint = WriteAheadLog.checkpoint

    def counted(self: WriteAheadLog, db: Connection) -> None:
        taken.append(log.stat().st_size)
        checkpoint(self, db)

    monkeypatch.setattr(WriteAheadLog, "checkpoint", counted)
    database = await Database.open(path)
    log = path.with_name("appliance.db-wal")
    for _ in range(40):
        await database.write(_put)
        await database.write(lambda db: settings.get(db, "key"))  # changes nothing
    assert 4 <= len(taken) <= 5
    assert log.stat().st_size == taken[0] < 10 << 20, "the same file, no longer than it was"
    await database.close()


async def test_without_a_free_descriptor_it_only_grows_until_there_is_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> bytes:
        raise OSError(errno.EMFILE, "too many open files")

    database = await Database.open(path)
    log = path.with_name("appliance.db-wal")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refused)
        for _ in range(12):
            await database.write(_put)
    grown = log.stat().st_size
    assert grown > 10 << 20
    for _ in range(12):
        await database.write(_put)
    assert log.stat().st_size < grown + (2 << 20), "begun anew"
    await database.close()


async def test_what_one_long_commit_took_is_given_back(path: Path) -> None:
    database = await Database.open(path)
    await database.write(lambda db: settings.put(db, "long", "x" * 40_000_000))
    log = path.with_name("appliance.db-wal")
    assert log.stat().st_size > 40_000_000
    await database.write(_put)
    assert log.stat().st_size <= 16 << 20
    await database.close()


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


class _Images(NamedTuple):
    """The files as some commits found and left them."""

    before: bytes
    log_before: bytes
    log: bytes
    after: bytes  # when it has taken the log back


@pytest.fixture(params=[0, 9], ids=["a new log", "one that is written over"])
async def images(request: pytest.FixtureRequest, path: Path) -> _Images:
    """Of commits before which so many megabytes were written."""
    database = await Database.open(path)
    for _ in range(request.param):
        await database.write(_put)
    await database.read(lambda db: settings.get(db, "key"))  # no checkpoint is under way
    log = path.with_name("appliance.db-wal")
    before, log_before = path.read_bytes(), log.read_bytes()
    for number in range(_ROWS):
        value = "x" * random.randrange(20_000)  # noqa: S311
        await database.write(lambda db, n=number, v=value: settings.put(db, f"row {n}", v))  # type: ignore[misc]
    written = log.read_bytes()
    assert len(written) == len(log_before) or not request.param
    await database.close()
    return _Images(before, log_before, written, path.read_bytes())


async def _rows(folder: Path, file: bytes, log: bytes) -> list[int]:
    """Open what is left of a store after a power cut; returns which rows it has."""
    folder.mkdir()
    (folder / "appliance.db").write_bytes(file)
    (folder / "appliance.db-wal").write_bytes(log)
    database = await Database.open(folder / "appliance.db")
    found = await database.read(
        lambda db: db.execute("SELECT key FROM settings WHERE key LIKE 'row %'").fetchall()
    )
    assert await database.find_damage(seconds=10) == ""
    await database.close()
    return sorted(int(key.split()[1]) for (key,) in found)


async def test_a_log_that_a_power_cut_tore_opens_with_all_before_the_tear(
    images: _Images, tmp_path: Path
) -> None:
    for number in range(20):
        cut = random.randrange(min(len(images.log), _ROWS * 20_000))  # noqa: S311
        rest = images.log_before[cut:] or random.randbytes(random.randrange(3 * _PAGE))  # noqa: S311
        rows = await _rows(tmp_path / str(number), images.before, images.log[:cut] + rest)
        assert rows == list(range(len(rows)))


async def test_a_checkpoint_that_a_power_cut_ended_is_done_again(
    images: _Images, tmp_path: Path
) -> None:
    """Some pages are old then, some new, some half written."""
    before, _, log, after = images
    for number in range(20):
        mixed = bytearray(before.ljust(len(after), b"\0"))
        for start in range(0, len(after), _PAGE):
            written = random.choice([0, 512, _PAGE])  # noqa: S311
            mixed[start : start + written] = after[start : start + written]
        rows = await _rows(tmp_path / str(number), bytes(mixed), log)
        assert rows == list(range(_ROWS))
