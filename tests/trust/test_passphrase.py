"""Keys under a passphrase: who copies the data directory has nothing but sealed keys (G-03)."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.services.data_directory import DataDirectory
from appliance.simulator import keys
from tests.device.server import PROGRAM, Api, RunningServer, lab_push_certificate
from tests.trust import backups
from tests.trust.canaries import Canaries
from tests.trust.strace import injecting

WORDS = "correct horse battery staple"
UNUSABLE = 7
DAMAGED = 12


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """The file with the passphrase, somewhere else."""
    file = tmp_path / "passphrase"
    file.write_text(f"{WORDS}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """A copy of the template."""
    shutil.copytree(template, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def owner(data: Path, words: Path) -> RunningServer:
    """The server of somebody who has the passphrase; it is not running, its keys are sealed."""
    server = RunningServer(data, environment={"APPLIANCE_PASSPHRASE_FILE": str(words)})
    server.cli("vault", "protect")
    return server


@pytest.fixture
def thief(owner: RunningServer, tmp_path: Path) -> RunningServer:
    """The same directory on the machine of somebody who has not."""
    shutil.copytree(owner.data, tmp_path / "stolen")
    return RunningServer(tmp_path / "stolen")


def files(data: Path) -> dict[str, bytes]:
    """Every file but the lock."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and path.name not in ("lock", "appliance.db-shm")
    }


def private_number(pem: bytes) -> bytes:
    """What makes the key private, as every file format has it: a prime, or the scalar."""
    key = load_pem_private_key(pem, None)
    if isinstance(key, rsa.RSAPrivateKey):
        prime = key.private_numbers().p
        return prime.to_bytes(-(-prime.bit_length() // 8), "big")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value.to_bytes(32, "big")


def leaks(canaries: Canaries, data: Path) -> dict[str, list[str]]:
    """Which secrets can be read in which file."""
    found = {name: canaries.found_in(content) for name, content in files(data).items()}
    return {name: secrets for name, secrets in found.items() if secrets}


async def work(server: RunningServer, canaries: Canaries) -> None:
    """Give the server secrets of its own, of the administrator and of a device."""
    async with server.session() as session:
        api = Api(server, session)
        push = lab_push_certificate(server.topic)
        canaries.keep("push key", private_number(keys.key_pem(push.key)))
        assert (await server.import_push_certificate(api, push)).status in (200, 201)
        device = await api.enroll()
        await device.set_bootstrap_token(canaries.data("bootstrap token"))
        await device.token_update(UnlockToken=canaries.data("unlock token"))
        await api.queue(
            device.id, "DeviceLock", parameters={"PIN": canaries.pin("PIN")},
            confirm={"serial_number": device.serial_number},
        )  # fmt: skip


def test_g03_a_copy_shows_neither_the_keys_nor_what_they_seal(tmp_path: Path, words: Path) -> None:
    data = tmp_path / "data"
    server = RunningServer(data, environment={"APPLIANCE_PASSPHRASE_FILE": str(words)})
    server.initialise()
    canaries = Canaries()
    for name in ("ca", "root", "tls"):
        pem = (data / "keys" / f"{name}.key").read_bytes()
        canaries.keep(f"{name}.key", private_number(pem))
    canaries.keep("vault.key", (data / "keys" / "vault.key").read_bytes())
    canaries.keep("passphrase", WORDS)
    found = {name for names in leaks(canaries, data).values() for name in names}
    assert found == {"ca.key", "root.key", "tls.key", "vault.key"}, "they would be found"

    server.cli("vault", "protect")
    assert leaks(canaries, data) == {}
    (data / "keys" / "tls.pem").unlink()  # another one is made, and its key must not lie there
    server.start()
    try:
        asyncio.run(work(server, canaries))
        assert leaks(canaries, data) == {}
    finally:
        server.kill()
    server.cli("backup", "create")
    server.cli("vault", "rotate")
    assert leaks(canaries, data) == {}
    assert b"ENCRYPTED" in (data / "keys" / "tls.key").read_bytes()
    assert len(canaries.all) == 9


def test_g03_without_the_passphrase_it_does_not_start_and_changes_nothing(
    thief: RunningServer, tmp_path: Path
) -> None:
    before = files(thief.data)
    wrong = RunningServer(thief.data, environment={"APPLIANCE_PASSPHRASE": "a bad guess"})
    nothing = {"APPLIANCE_PASSPHRASE_FILE": str(tmp_path / "nothing")}
    missing = RunningServer(thief.data, environment=nothing)
    said: dict[str, str] = {}
    for name, server in (("nobody", thief), ("wrong", wrong), ("missing", missing)):
        for words in (("serve",), ("token", "list"), ("backup", "create"), ("vault", "rotate"),
                      ("vault", "unprotect")):  # fmt: skip
            done = server.cli(*words, check=False)
            assert (done.returncode, done.stdout) == (UNUSABLE, ""), words
            first, why, fix = done.stderr.splitlines()
            assert first.startswith("error[data.passphrase]: ")
            assert why.startswith("why: ")
            assert fix.startswith("fix: ")
            said[name] = first
    assert "protected by a passphrase" in said["nobody"]
    assert "not the passphrase" in said["wrong"]
    assert "cannot be read from" in said["missing"]
    assert files(thief.data) == before


def test_g03_who_has_it_works_as_before(owner: RunningServer) -> None:
    status = json.loads(owner.cli("vault", "status", "--json").stdout)
    assert status == {"protected": True}
    owner.cli("user", "list")
    owner.start()
    try:
        asked = RunningServer(owner.data)  # the running server has it: nobody else needs it
        asked.cli("status")
        asked.cli("token", "list")
    finally:
        assert owner.stop() == 0
    assert WORDS not in owner.log_tail()
    again = owner.cli("vault", "protect", check=False)
    assert (again.returncode, "already" in again.stderr) == (UNUSABLE, True)
    owner.cli("vault", "unprotect")
    plain = RunningServer(owner.data)
    plain.start()
    assert plain.stop() == 0
    assert json.loads(plain.cli("vault", "status", "--json").stdout) == {"protected": False}


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def typed(words: list[str], terminal: tuple[int, int], *answers: str) -> tuple[int, str]:
    """Run it in a terminal, type each answer when it is asked for; returns status and screen."""
    ours, theirs = terminal
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *words], stdin=theirs, stdout=theirs, stderr=theirs
    )
    screen, deadline = b"", time.monotonic() + 60
    os.set_blocking(ours, False)
    waiting = list(answers)
    while (status := process.poll()) is None and time.monotonic() < deadline:
        try:
            screen += os.read(ours, 4096)
        except BlockingIOError:
            time.sleep(0.02)
        if waiting and screen.count(b"assphrase: ") + screen.count(b"onfirmation: ") > (
            len(answers) - len(waiting)
        ):
            os.write(ours, f"{waiting.pop(0)}\n".encode())
    if status is None:
        process.kill()
        raise AssertionError(screen.decode(errors="replace"))
    with suppress(BlockingIOError):
        screen += os.read(ours, 4096)
    return status, screen.decode()


def test_g03_in_a_terminal_it_is_asked_for_and_not_shown(
    data: Path, terminal: tuple[int, int]
) -> None:
    def run(*arguments: str) -> list[str]:
        return [*PROGRAM, *arguments, "--data", str(data)]

    status, screen = typed(run("vault", "protect"), terminal, WORDS, WORDS)
    assert (status, "are protected" in screen) == (0, True), screen
    for answer, expected in (("another passphrase", UNUSABLE), (WORDS, 0)):
        status, screen = typed(run("backup", "list"), terminal, answer)
        assert status == expected, screen
        assert answer not in screen


@pytest.mark.timeout(300)
@pytest.mark.parametrize("verb", ["protect", "unprotect"])
def test_g03_killed_before_any_file_has_its_name_the_keys_are_whole(
    owner: RunningServer, template: Path, tmp_path: Path, words: Path, verb: str
) -> None:
    plain = (template / "keys" / "vault.key").read_bytes()
    data = tmp_path / "killed"
    for number in range(1, 40):
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(template if verb == "protect" else owner.data, data)
        kill = injecting("rename", f"signal=SIGKILL:when={number}")
        done = subprocess.run(
            [*kill, *PROGRAM, "vault", verb, "--data", str(data)],
            env={**os.environ, "APPLIANCE_PASSPHRASE_FILE": str(words)},
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        directory = DataDirectory(data)
        protected = directory.key_files.is_protected
        with directory.held(lambda: WORDS):
            assert directory.read_keys().vault_key == plain
        assert (plain in b"".join(files(data).values())) != protected, "half is never left"
        if done.returncode == 0:
            assert number > 4, "it was killed at each of the keys"
            return
    raise AssertionError("it never came to its end")


def test_g03_a_backup_needs_its_key_and_the_passphrase_of_its_day(
    owner: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.backup_key.write_text(owner.cli("backup", "key", "--replace").stdout)
    file = backups.create(owner, tmp_path / "file.age")
    owner.cli("vault", "unprotect")
    target = tmp_path / "place" / "data"
    target.parent.mkdir()
    for refused in (backups.restore(file, owner.backup_key, target),
                    backups.verify(file, owner.backup_key)):  # fmt: skip
        assert (refused.status, refused.out) == (UNUSABLE, "")
        assert "error[data.passphrase]" in refused.err
        assert list(target.parent.iterdir()) == []
    monkeypatch.setenv("APPLIANCE_PASSPHRASE", WORDS)
    assert backups.verify(file, owner.backup_key).status == 0
    monkeypatch.setenv("APPLIANCE_PASSPHRASE", WORDS)  # it was taken out of the environment
    assert backups.restore(file, owner.backup_key, target).status == 0
    restored = RunningServer(target, environment={"APPLIANCE_PASSPHRASE": WORDS})
    assert json.loads(restored.cli("vault", "status", "--json").stdout) == {"protected": True}
    restored.start()
    assert restored.stop() == 0
