"""The nightly backup: when it is due, what stays, and how a failure is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.app import initialise, open_appliance
from appliance.config import BackupConfig, Config
from appliance.services.backups import BackupService
from appliance.services.data_directory import DataDirectory
from appliance.store import settings
from appliance.store.database import Connection, Database


def _clock(minutes: int) -> str:
    """The time of day so many minutes from now."""
    return f"{datetime.now() + timedelta(minutes=minutes):%H:%M}"


@pytest_asyncio.fixture
async def data(tmp_path: Path) -> Path:
    """A new data directory, made the day before yesterday."""
    await initialise(Config(data=tmp_path / "data"))
    long_ago = time.time() - 2 * 86400
    os.utime(tmp_path / "data" / "keys" / "vault.key", (long_ago, long_ago))
    return tmp_path / "data"


@pytest_asyncio.fixture
async def database(data: Path) -> AsyncIterator[Database]:
    """Its store."""
    database = await Database.open(data / "appliance.db")
    yield database
    await database.close()


def _service(database: Database, data: Path, **values: object) -> BackupService:
    config = Config(data=data, backup=BackupConfig(**values))  # type: ignore[arg-type]
    return BackupService(database, DataDirectory(data), config)


async def test_it_is_made_once_a_night(database: Database, data: Path) -> None:
    service = _service(database, data, at=_clock(-1))
    await service.nightly()
    (made,) = service.all()
    assert made.nightly
    await service.nightly()
    assert service.all() == [made]


async def test_one_that_was_missed_is_made_later_and_none_before_its_time(
    database: Database, data: Path
) -> None:
    missed = _service(database, data, at=_clock(2))  # a moment of yesterday is the last one
    await missed.nightly()
    assert len(missed.all()) == 1
    await missed.nightly()
    assert len(missed.all()) == 1


async def test_a_new_directory_waits_for_its_first_night(database: Database, data: Path) -> None:
    os.utime(data / "keys" / "vault.key")
    service = _service(database, data, at=_clock(2))
    await service.nightly()
    assert service.all() == []


async def test_without_a_time_there_is_none(database: Database, data: Path) -> None:
    service = _service(database, data, at="")
    await service.nightly()
    assert service.all() == []


async def test_old_nightly_ones_go_and_those_by_order_stay(database: Database, data: Path) -> None:
    for day in range(1, 6):
        (data / "backups" / f"nightly-2020010{day}T031500Z.tar.age").write_bytes(b"x")
    (data / "backups" / "appliance-20200101T120000Z.tar.age").write_bytes(b"x")
    service = _service(database, data, at=_clock(-1), keep=3)
    await service.nightly()
    names = [backup.name for backup in service.all()]
    assert names[1:] == [
        "nightly-20200105T031500Z.tar.age",
        "nightly-20200104T031500Z.tar.age",
        "appliance-20200101T120000Z.tar.age",
    ]


async def test_a_failure_is_told_until_one_succeeds(database: Database, data: Path) -> None:
    service = _service(database, data, at=_clock(-1))
    (data / "keys" / "ca.key").rename(data / "keys" / "ca.key.away")
    (data / "keys" / "ca.key").mkdir()
    await service.nightly()
    assert service.state().error
    assert service.all() == []
    assert list((data / "backups").iterdir()) == []
    (data / "keys" / "ca.key").rmdir()
    (data / "keys" / "ca.key.away").rename(data / "keys" / "ca.key")
    await service.nightly()
    assert (service.state().error, len(service.all())) == ("", 1)


async def test_a_backup_that_would_take_the_last_room_of_the_disk_is_not_begun(
    database: Database, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices' answers would be refused until it is given up, each hour anew."""
    service = _service(database, data, at=_clock(-1))
    usage = shutil.disk_usage(data)
    scarce = usage._replace(free=2 * database.size_bytes() + 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: scarce)
    assert await service.nightly() == 3600
    assert "MB are free" in service.state().error
    assert list((data / "backups").iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    await service.nightly()
    assert (service.state().error, len(service.all())) == ("", 1)


async def test_without_a_key_nothing_is_made_and_the_state_says_so(
    database: Database, data: Path
) -> None:
    (data / "keys" / "backup.recipient").unlink()
    service = _service(database, data, at=_clock(-1))
    await service.nightly()
    assert service.all() == []
    assert not service.state().has_key


async def test_writers_go_on_while_a_backup_is_made(database: Database, data: Path) -> None:
    def fill(db: Connection) -> None:
        for number in range(40):
            settings.put(db, f"large {number}", "x" * 1_000_000)

    await database.write(fill)
    making = asyncio.create_task(_service(database, data).create())
    written = 0
    while not making.done():
        await database.write(lambda db, n=written: settings.put(db, "n", str(n)))  # type: ignore[misc]
        written += 1
        await asyncio.sleep(0.005)
    assert (await making).size_bytes > 40_000_000
    assert written > 5, "many commits in the time of one backup"


async def test_a_backup_that_is_cancelled_ends_at_once_and_leaves_nothing(
    database: Database, data: Path
) -> None:
    def fill(db: Connection) -> None:
        for number in range(100):
            settings.put(db, f"large {number}", "x" * 1_000_000)

    await database.write(fill)
    making = asyncio.create_task(_service(database, data).create())
    while not list((data / "backups").iterdir()):
        await asyncio.sleep(0.001)
    making.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert time.monotonic() - began < 10
    assert list((data / "backups").iterdir()) == []


async def test_the_state_is_part_of_the_servers(data: Path) -> None:
    async with open_appliance(Config(data=data)) as parts:
        assert (await parts.services.status.overview()).last_backup_at is None
        made = await parts.services.backups.create()
        assert (await parts.services.status.overview()).last_backup_at == made.created_at
        assert (await parts.services.overview.home()).backup.last == made


async def test_one_dated_ahead_by_a_wrong_clock_stops_no_night(
    database: Database, data: Path
) -> None:
    ahead = data / "backups" / "nightly-20990101T031500Z.tar.age"
    ahead.write_bytes(b"x")
    service = _service(database, data, at=_clock(-1), keep=1)
    await service.nightly()
    (made,) = service.all()
    assert made.created_at <= datetime.now(UTC)
    assert not ahead.exists()
