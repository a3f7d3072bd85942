"""The data directory: made once, whole, ours, and with the keys that belong to it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.app import initialise, open_appliance
from appliance.config import Config
from appliance.errors import ApplianceError, Conflict, DataDirectoryUnusable, NotInitialised
from appliance.services.data_directory import DataDirectory
from tests.programs import only_root


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two data directories as `init` leaves them."""
    base = tmp_path_factory.mktemp("templates")
    for name in ("one", "two"):
        asyncio.run(initialise(Config(data=base / name), settings="# settings\n"))
    return base / "one", base / "two"


@pytest.fixture
def data(templates: tuple[Path, Path], tmp_path: Path) -> Path:
    """A fresh copy of the first."""
    shutil.copytree(templates[0], tmp_path / "data")
    return tmp_path / "data"


def _open(data: Path) -> None:
    async def open_() -> None:
        async with open_appliance(Config(data=data)):
            pass

    asyncio.run(open_())


def _refusal(data: Path) -> ApplianceError:
    with pytest.raises(DataDirectoryUnusable) as caught:
        _open(data)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "root.key", "root.pem"])
def test_a_key_must_belong_to_its_certificate(
    data: Path, templates: tuple[Path, Path], name: str
) -> None:
    shutil.copy(templates[1] / "keys" / name, data / "keys" / name)
    assert f"{name[:-4]}.key is not the key of {name[:-4]}.pem" in _refusal(data).problem


def test_nothing_is_ever_sealed_with_a_wrong_vault_key(
    data: Path, templates: tuple[Path, Path]
) -> None:
    shutil.copy(templates[1] / "keys" / "vault.key", data / "keys" / "vault.key")
    assert "vault.key" in _refusal(data).problem
    shutil.copy(templates[0] / "keys" / "vault.key", data / "keys" / "vault.key")
    _open(data)


def test_a_server_certificate_without_its_key_is_made_anew(
    data: Path, templates: tuple[Path, Path]
) -> None:
    shutil.copy(templates[1] / "keys" / "tls.key", data / "keys" / "tls.key")
    _open(data)


@pytest.mark.parametrize("name", ["appliance.toml", "appliance.db", "backups", "keys/tls.key", "."])
def test_what_others_can_use_is_refused_with_the_command_that_mends_it(
    data: Path, name: str
) -> None:
    entry = data / name
    mode = entry.stat().st_mode
    entry.chmod(mode | 0o040)
    error = _refusal(data)
    assert error.fix == f"chmod {'0700' if entry.is_dir() else '0600'} {entry}"


def test_what_belongs_to_another_user_is_refused(data: Path) -> None:
    only_root("give files away")
    os.chown(data / "keys" / "ca.pem", 12345, -1)
    assert "belongs to user 12345" in _refusal(data).problem


def test_a_lost_store_is_never_replaced_by_an_empty_one(data: Path) -> None:
    (data / "appliance.db").unlink()
    assert "appliance.db is missing" in _refusal(data).problem
    assert not (data / "appliance.db").exists()


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(Conflict):
        asyncio.run(initialise(Config(data=tmp_path)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["letters"]


def test_a_lost_vault_key_does_not_let_init_replace_the_others(data: Path) -> None:
    (data / "keys" / "vault.key").unlink()
    before = (data / "keys" / "ca.key").read_bytes()
    with pytest.raises(Conflict) as caught:
        asyncio.run(initialise(Config(data=data)))
    assert "vault.key" in caught.value.fix
    assert (data / "keys" / "ca.key").read_bytes() == before


def _steps() -> list[tuple[type, str]]:
    return [(DataDirectory, "renew_tls"), (DataDirectory, "finish")]


@pytest.mark.parametrize(("owner", "step"), _steps())
def test_an_init_that_was_cut_short_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    config = Config(data=tmp_path / "data")

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, crash)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(initialise(config))
    with pytest.raises(NotInitialised):
        _open(config.data)
    asyncio.run(initialise(config, settings="# mine\n"))
    _open(config.data)
    assert (config.data / "appliance.toml").read_text() == "# mine\n"
    assert not (config.data / "init.unfinished").exists()


_Write = Callable[[DataDirectory, Path, bytes], None]


def test_the_vault_key_is_written_after_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    original: _Write = DataDirectory.write_secret

    def noting(self: DataDirectory, path: Path, content: bytes) -> None:
        written.append(path.name)
        if path.name == "vault.key":
            assert (self.path / "appliance.db").is_file()
        original(self, path, content)

    monkeypatch.setattr(DataDirectory, "write_secret", noting)
    asyncio.run(initialise(Config(data=tmp_path / "data"), settings="# settings\n"))
    assert written[-3:] == ["appliance.toml", "backup.recipient", "vault.key"]


def test_what_a_kill_left_behind_goes_at_the_next_start(data: Path) -> None:
    stage = data.with_name(".data.restoring")
    (stage / "keys").mkdir(parents=True)
    (stage / "lock").touch()
    (stage / "keys" / "ca.key").touch()
    left = [data / "backups" / ".partial", data / "keys" / "tls.key.partial"]
    for path in left:
        path.touch()
    (data / "backups" / ".snapshot").mkdir()
    (data / "backups" / ".snapshot" / "appliance.db").touch()
    kept = [data / "backups" / "mine.txt", data / "mine.partial"]
    for path in kept:
        path.touch()

    _open(data)

    assert [path for path in (*left, stage, data / "backups" / ".snapshot") if path.exists()] == []
    assert all(path.exists() for path in kept)


def test_a_restore_at_work_and_a_folder_that_is_not_of_one_stay(data: Path) -> None:
    stage = data.with_name(".data.restoring")
    stage.mkdir()
    (stage / "mine").touch()
    _open(data)
    assert (stage / "mine").exists(), "no restore has made it: there is no lock"

    lock = DataDirectory(stage).lock()
    try:
        _open(data)
    finally:
        os.close(lock)
    assert (stage / "mine").exists()
