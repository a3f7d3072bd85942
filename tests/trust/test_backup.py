"""Backup and restore against thieves, forgers, bad disks and power cuts (E-06, G-07, H-06)."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.device.server import PROGRAM
from tests.programs import program

from . import backups
from .backups import Entry, Saved, entry

ROUNDS = int(os.environ.get("ROUNDS", "20"))
DAMAGED = 12


def _assert_refused(file: Path, key: Path, tmp_path: Path) -> backups.Done:
    """Restore and verify refuse it with a reason, and leave nothing behind."""
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    for done in (backups.restore(file, key, place / "data"), backups.verify(file, key)):
        assert (done.status, done.out) == (DAMAGED, ""), done
        assert done.err.startswith("error[backup.unusable]: ")
        assert "\nwhy: " in done.err
        assert "\nfix: " in done.err
        assert list(place.iterdir()) == []
    return done


def test_g_07_a_backup_is_private_and_whole_and_plain_age_opens_it(saved: Saved) -> None:
    (kept,) = (saved.server.data / "backups").glob("appliance-*.tar.age")
    for file in (saved.file, kept):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    names = {"manifest.json", "appliance.db", "appliance.toml"}
    names |= {f"keys/{name}.{kind}" for name in ("ca", "root", "tls") for kind in ("pem", "key")}
    assert set(saved.members) == names | {"keys/vault.key", "keys/backup.recipient"}
    assert saved.members["keys/vault.key"] == (saved.server.data / "keys/vault.key").read_bytes()
    counts = json.loads(saved.members["manifest.json"])["counts"]
    assert (counts["devices"], counts["unfinished_commands"]) == (1, 1)

    done = backups.verify(saved.file, saved.key)
    assert done.status == 0, done.err
    assert json.loads(done.out)["counts"] == counts


def test_g_07_who_has_the_data_directory_does_not_open_the_backups(saved: Saved) -> None:
    secret = saved.key.read_text().strip()
    for path in saved.server.data.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in saved.server.log.read_text()
    done = subprocess.run(
        [program("age"), "-d", "-i", saved.server.data / "keys" / "vault.key", saved.file],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0


def test_g_07_another_key_or_none_opens_nothing(saved: Saved, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    subprocess.run(["age-keygen", "-o", other], capture_output=True, check=True)
    assert "does not open with this key" in _assert_refused(saved.file, other, tmp_path).err
    other.write_text("no key at all\n")
    assert "holds no backup key" in _assert_refused(saved.file, other, tmp_path).err


def test_g_07_a_flipped_bit_anywhere_is_refused(saved: Saved, tmp_path: Path) -> None:
    whole = saved.file.read_bytes()
    middle = len(whole) // 2
    changed = tmp_path / "changed.age"
    for place in (0, 30, 100, 200, 260, middle, 65_536 + 300, len(whole) - 1):
        raw = bytearray(whole)
        raw[place] ^= 0x04
        changed.write_bytes(raw)
        _assert_refused(changed, saved.key, tmp_path)


@pytest.mark.parametrize("kept", [0, 10, 190, 300, 65_900, -70_000, -1], ids=str)
def test_g_07_a_file_that_was_cut_off_is_refused(saved: Saved, tmp_path: Path, kept: int) -> None:
    cut = tmp_path / "cut.age"
    cut.write_bytes(saved.file.read_bytes()[:kept])
    _assert_refused(cut, saved.key, tmp_path)


ENTRIES: Mapping[str, Entry] = {
    "outside": entry("../outside", b"x"),
    "absolute": entry("/tmp/appliance-outside", b"x"),  # noqa: S108 - it must not appear
    "deeper": entry("keys/../../outside.pem", b"x"),
    "symbolic link": entry("keys/link.pem", kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": entry("keys/hard.pem", kind=tarfile.LNKTYPE, link="keys/ca.pem"),
    "device": entry("keys/device.pem", kind=tarfile.CHRTYPE),
    "pipe": entry("keys/pipe.pem", kind=tarfile.FIFOTYPE),
    "folder": entry("keys", kind=tarfile.DIRTYPE),
    "a socket's place": entry("run/api.sock", b"x"),
    "twice": entry("appliance.toml", b"[server]\n"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_g_07_a_member_that_does_not_belong_there_is_refused(
    saved: Saved, tmp_path: Path, name: str
) -> None:
    forged = backups.forge(
        saved.members, saved.recipient, tmp_path / "forged.age", more=[ENTRIES[name]]
    )
    _assert_refused(forged, saved.key, tmp_path)
    assert not (tmp_path / "outside").exists()
    assert not Path("/tmp/appliance-outside").exists()  # noqa: S108


def _database(change: Callable[[sqlite3.Connection], object]) -> Callable[[Saved, Path], bytes]:
    def changed(saved: Saved, folder: Path) -> bytes:
        path = folder / "changed.db"
        path.write_bytes(saved.members["appliance.db"])
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            change(db)
        return path.read_bytes()

    return changed


DATABASES: Mapping[str, Callable[[Saved, Path], bytes]] = {
    "an extra table": _database(lambda db: db.execute("CREATE TABLE mine (x)")),
    "a missing index": _database(lambda db: db.execute("DROP INDEX command_backlog")),
    "a trigger": _database(
        lambda db: db.execute(
            "CREATE TRIGGER t AFTER INSERT ON settings BEGIN DELETE FROM users; END"
        )
    ),
    "an earlier version": _database(lambda db: db.execute("PRAGMA user_version = 1")),
    "another vault key": _database(
        lambda db: db.execute("UPDATE settings SET value = 'x' WHERE key = 'vault_proof'")
    ),
    "rows that point at nothing": _database(
        lambda db: db.execute("INSERT INTO pushes (enrollment_id) VALUES ('nobody')")
    ),
    "garbage": lambda saved, _: b"garbage" * 1000,
    "pages of zeros": lambda saved, _: (
        saved.members["appliance.db"][:40_960] + bytes(len(saved.members["appliance.db"]) - 40_960)
    ),
}


@pytest.mark.parametrize("name", DATABASES)
def test_h_06_a_database_that_is_not_what_it_claims_is_refused(
    saved: Saved, tmp_path: Path, name: str
) -> None:
    members = {**saved.members, "appliance.db": DATABASES[name](saved, tmp_path)}
    forged = backups.forge(members, saved.recipient, tmp_path / "forged.age")
    if name == "another vault key":  # found by restore alone, which opens the store
        done = backups.restore(forged, saved.key, tmp_path / "place" / "data")
        assert done.status == DAMAGED, done
        assert not (tmp_path / "place" / "data").exists()
        return
    _assert_refused(forged, saved.key, tmp_path)


def _set(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest.update(values)


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["members"].pop(name)


def _digest(manifest: dict[str, Any]) -> None:
    manifest["members"]["keys/ca.key"]["sha256"] = 64 * "0"


def _size(manifest: dict[str, Any]) -> None:
    manifest["members"]["appliance.db"]["size"] += 1


def _absent(manifest: dict[str, Any]) -> None:
    manifest["members"]["keys/more.pem"] = {"size": 0, "sha256": 64 * "0"}


MANIFESTS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "a newer schema": _set(schema=9999),
    "an earlier schema": _set(schema=1),
    "another format": _set(format=2),
    "no members": _set(members={}),
    "a wrong digest": _digest,
    "a wrong size": _size,
    "a member that is not there": _absent,
    "a member that it does not name": _drop("keys/ca.pem"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_g_07_a_manifest_that_does_not_fit_is_refused(
    saved: Saved, tmp_path: Path, name: str
) -> None:
    forged = backups.forge(
        saved.members, saved.recipient, tmp_path / "forged.age", manifest=MANIFESTS[name]
    )
    _assert_refused(forged, saved.key, tmp_path)


@pytest.mark.parametrize("missing", ["keys/vault.key", "keys/ca.key", "appliance.db"])
def test_g_07_a_backup_without_a_key_or_the_database_is_refused(
    saved: Saved, tmp_path: Path, missing: str
) -> None:
    members = {name: content for name, content in saved.members.items() if name != missing}
    _assert_refused(
        backups.forge(members, saved.recipient, tmp_path / "forged.age"), saved.key, tmp_path
    )


def test_g_07_restore_takes_no_place_that_is_in_use(saved: Saved, tmp_path: Path) -> None:
    before = sorted(path.name for path in saved.server.data.rglob("*"))
    used = backups.restore(saved.file, saved.key, saved.server.data)
    assert (used.status, "is not empty" in used.err) == (7, True)
    assert sorted(path.name for path in saved.server.data.rglob("*")) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    assert backups.restore(saved.file, saved.key, tmp_path / "mine").status == 7
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_h_04_a_disk_without_room_is_found_before_anything_is_written(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=1 << 40, used=0, free=saved.file.stat().st_size)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    place = tmp_path / "place"
    place.mkdir()
    done = backups.restore(saved.file, saved.key, place / "data")
    assert (done.status, "no room" in done.err) == (7, True), done
    assert list(place.iterdir()) == []


def test_g_07_restores_into_an_empty_place_with_private_modes(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    done = backups.restore(saved.file, saved.key, tmp_path / "data")
    assert done.status == 0, done.err
    for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    for name, content in saved.members.items():
        if name.startswith("keys/"):
            assert (tmp_path / "data" / name).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def _killed_after(command: list[str], seconds: float) -> bool:
    """Run it, kill -9 it with all its children after a moment; tell whether it had ended."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True


def _seconds(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


@pytest.mark.timeout(180 + 20 * ROUNDS)
def test_e_06_kill_9_in_a_backup_leaves_only_whole_files(saved: Saved, tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "output.age"
    assert backups.restore(saved.file, saved.key, data).status == 0
    command = [*PROGRAM, "backup", "create", "--data", str(data), "--output", str(output)]
    whole = _seconds(command)
    for _ in range(ROUNDS):
        output.unlink(missing_ok=True)
        _killed_after(command, random.uniform(0.4, 1.05) * whole)  # noqa: S311
        for file in (*(data / "backups").glob("*.age"), *tmp_path.glob("output.age")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert backups.verify(file, saved.key).status == 0, file
            file.unlink()
    output.unlink(missing_ok=True)
    time.sleep(1)  # names have seconds
    assert subprocess.run(command, check=False).returncode == 0
    left = {path.name for path in (data / "backups").iterdir()}
    assert len(left) == 1, f"a later backup clears what was cut short: {left}"


@pytest.mark.timeout(180 + 20 * ROUNDS)
def test_e_06_kill_9_in_a_restore_leaves_all_or_nothing(saved: Saved, tmp_path: Path) -> None:
    data = tmp_path / "place" / "data"
    data.parent.mkdir()
    command = [*PROGRAM, "restore", str(saved.file), "--key", str(saved.key), "--data", str(data)]
    whole = _seconds(command)
    finished = 0
    for _ in range(ROUNDS):
        shutil.rmtree(data, ignore_errors=True)
        _killed_after(command, random.uniform(0.4, 1.05) * whole)  # noqa: S311
        if data.exists():
            finished += 1
            assert (data / "keys" / "vault.key").read_bytes() == saved.members["keys/vault.key"]
            with closing(sqlite3.connect(data / "appliance.db")) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                held = "SELECT count(*) FROM commands WHERE restored_at IS NOT NULL"
                assert db.execute(held).fetchone() == (1,)
    shutil.rmtree(data, ignore_errors=True)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert [path.name for path in data.parent.iterdir()] == ["data"], "nothing is left beside it"
