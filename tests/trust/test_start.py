"""What the server refuses to start with: one clear line, an exit status, and nothing changed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.errors import DataDirectoryUnusable
from appliance.services.mounts import refuse_network
from tests.device.server import RunningServer
from tests.programs import only_root
from tests.trust.timing import quickest

FAILED = 1
UNUSABLE = 7
NOT_INITIALISED = 3
DAMAGED = 12


@pytest.fixture
def server(template: Path, tmp_path: Path) -> RunningServer:
    """A server that is not running, on a copy of its own."""
    shutil.copytree(template, tmp_path / "data")
    return RunningServer(tmp_path / "data")


def contents(data: Path) -> dict[str, bytes]:
    """Every file that matters: what the process writes about itself does not."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and path.name not in ("lock", "appliance.db-shm")
    }


def refusal(server: RunningServer, status: int) -> str:
    """Start it; returns the line that says why it does not, after the rules for such a line."""
    done = server.cli("serve", "--listen", f"127.0.0.1:{server.port}", check=False)
    assert done.returncode == status, done.stderr
    first, *others = done.stderr.splitlines()
    assert first.startswith("error[")
    assert all(line.startswith(("why: ", "fix: ")) for line in others), done.stderr
    assert others[-1].startswith("fix: ")
    return first


@pytest.fixture
def read_only(server: RunningServer) -> Iterator[RunningServer]:
    """The same on a file system that is mounted read-only.

    Not below pytest's own folders: it could not remove them after a run that was killed.
    """
    only_root("mount")
    place = Path(tempfile.mkdtemp(prefix="appliance-read-only-"))
    server.data = server.data.rename(place / "data")
    subprocess.run(["mount", "--bind", server.data, server.data], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", server.data], check=True)
        yield server
    finally:
        subprocess.run(["umount", "--lazy", server.data], check=True)
        shutil.rmtree(place)


def test_e_09_a_read_only_disk_is_refused(read_only: RunningServer) -> None:
    assert "Read-only file system" in refusal(read_only, UNUSABLE)


def test_e_09_a_directory_of_another_user_is_refused(server: RunningServer) -> None:
    only_root("give files away")
    os.chown(server.data, 12345, -1)
    assert "belongs to user 12345" in refusal(server, UNUSABLE)


def test_e_09_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    assert "holds no appliance" in refusal(server, NOT_INITIALISED)
    assert not server.data.exists()


def test_e_09_a_symbolic_link_is_refused(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(server.data)
    server.data = tmp_path / "link"
    assert "is a symbolic link to" in refusal(server, UNUSABLE)


@pytest.mark.parametrize("name", ["appliance.db", "keys", "keys/ca.key"])
def test_e_09_what_is_linked_from_elsewhere_is_refused(
    server: RunningServer, tmp_path: Path, name: str
) -> None:
    (server.data / name).rename(tmp_path / "elsewhere")
    (server.data / name).symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link to" in refusal(server, UNUSABLE)


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ("ext4 /dev/sda rw", False),
        ("nfs4 nas:/export rw", True),
        ("cifs //nas/share rw", True),
    ],
)
def test_e_09_a_network_file_system_is_refused(tmp_path: Path, mounts: str, refused: bool) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "20 1 0:5 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        f"21 20 0:6 / {tmp_path} rw,relatime - {mounts}\n"
    )
    if not refused:
        refuse_network(tmp_path / "data", table)
        return
    with pytest.raises(DataDirectoryUnusable, match="network file system"):
        refuse_network(tmp_path / "data", table)


async def test_e_12_a_second_process_names_the_first_within_a_second(server: RunningServer) -> None:
    server.start()
    try:
        assert server.process is not None
        second = RunningServer(server.data)
        named = f"in use by process {server.process.pid}"

        async def refused() -> None:
            assert named in await asyncio.to_thread(refusal, second, FAILED)

        await quickest(refused, below=2)  # one second, and one more for a busy machine
    finally:
        assert server.stop() == 0


def test_an_address_that_is_taken_is_named(server: RunningServer) -> None:
    with socket.create_server(("127.0.0.1", server.port)):
        assert f"cannot listen on 127.0.0.1:{server.port}" in refusal(server, FAILED)


@pytest.mark.parametrize("address", ["192.0.2.1:8443", "no-such-host.invalid:8443"])
def test_an_address_that_is_not_of_this_machine_is_named(tmp_path: Path, address: str) -> None:
    server = RunningServer(tmp_path / "data", environment={"APPLIANCE_SERVER__LISTEN": address})
    server.initialise()
    done = server.cli("serve", check=False)
    assert done.returncode == FAILED
    assert f"cannot listen on {address}" in done.stderr
    assert "this machine has no such address" in done.stderr


def test_a_trust_anchor_for_push_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    missing = {"APPLIANCE_PUSH__CA_FILE": str(tmp_path / "missing.pem")}
    server = RunningServer(tmp_path / "data")
    server.initialise()
    broken = RunningServer(server.data, environment=missing)
    done = broken.cli("serve", check=False)
    assert (done.returncode, "push.ca_file" in done.stderr) == (2, True)


def test_e_12_a_copy_of_the_directory_runs_beside_the_original(
    server: RunningServer, tmp_path: Path
) -> None:
    shutil.copytree(server.data, tmp_path / "copy")
    copy = RunningServer(tmp_path / "copy")
    server.start()
    try:
        copy.start()
        assert copy.stop() == 0
    finally:
        assert server.stop() == 0
    for each in (server, copy):
        assert "Traceback" not in each.log_tail()


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "root.key", "root.pem"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_g_04_a_key_is_never_made_anew(
    server: RunningServer, name: str, damage: Callable[[Path], object]
) -> None:
    damage(server.data / "keys" / name)
    before = contents(server.data)
    refusal(server, UNUSABLE)
    assert contents(server.data) == before


def test_g_04_without_the_vault_key_nothing_starts_and_init_makes_none(
    server: RunningServer,
) -> None:
    (server.data / "keys" / "vault.key").unlink()
    before = contents(server.data)
    refusal(server, NOT_INITIALISED)
    done = server.cli("init", "--url", server.url, check=False)
    assert done.returncode == UNUSABLE
    assert "restore keys/vault.key" in done.stderr
    assert contents(server.data) == before


def test_g_04_a_lost_store_is_not_replaced(server: RunningServer) -> None:
    database = server.data / "appliance.db"
    database.write_bytes(b"")
    assert "missing or empty" in refusal(server, UNUSABLE)
    assert database.stat().st_size == 0
    database.unlink()
    assert "missing or empty" in refusal(server, UNUSABLE)
    assert not database.exists()


@pytest.mark.parametrize("name", ["keys/vault.key", "appliance.db", "keys", "."])
def test_g_01_loose_modes_are_refused_and_not_mended_in_silence(
    server: RunningServer, name: str
) -> None:
    entry = server.data / name
    mode = entry.stat().st_mode
    entry.chmod(mode | 0o004)
    assert "can be used by others" in refusal(server, UNUSABLE)
    assert entry.stat().st_mode == mode | 0o004


def test_g_01_what_the_server_makes_is_its_owners_alone(server: RunningServer) -> None:
    before = os.umask(0)
    try:
        server.start()
    finally:
        os.umask(before)
    try:
        loose = [path for path in server.data.rglob("*") if path.lstat().st_mode & 0o077]
        assert not loose
    finally:
        assert server.stop() == 0


def fill(database: Path) -> int:
    """Some rows, so that the file has pages of every kind; returns its size."""
    with closing(sqlite3.connect(database)) as db, db:
        db.executemany(
            "INSERT INTO settings (key, value) VALUES (?, ?)",
            [(f"filler {number}", "x" * 500) for number in range(2000)],
        )
    return database.stat().st_size


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.95])
def test_damage_to_the_file_is_found_at_the_start_and_nothing_is_written(
    server: RunningServer, where: float
) -> None:
    database = server.data / "appliance.db"
    size = fill(database)
    with database.open("r+b") as file:
        file.seek(int(size * where) // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    before = database.read_bytes()
    line = refusal(server, DAMAGED)
    assert line.startswith("error[store.damaged]")
    assert "appliance.db" in line
    assert database.read_bytes() == before


def test_a_flipped_header_is_named_and_the_file_is_left(server: RunningServer) -> None:
    database = server.data / "appliance.db"
    content = bytearray(database.read_bytes())
    content[3] ^= 0x40
    database.write_bytes(content)
    assert "file is not a database" in refusal(server, DAMAGED)
    assert database.read_bytes() == content
