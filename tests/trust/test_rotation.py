"""A new key for the vault: kill -9 at any moment leaves every secret readable (E-06, G-06)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from appliance.app import open_appliance
from appliance.config import Config
from tests.device.fixtures import start_server
from tests.device.server import PROGRAM, Api, RunningServer
from tests.services.vaults import fill, opened
from tests.trust import backups
from tests.trust.rounds import record, rounds
from tests.trust.strace import injecting

DEVICES = 3000  # five secrets each
FAILED = 1
# Every call by which a file gets, changes or loses its name, or is known to be on the disk.
CALLS = ("rename", "unlink", "fsync", "fdatasync")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory full of secrets."""
    server = RunningServer(tmp_path_factory.mktemp("template") / "data")
    server.initialise()
    fill(server.data, DEVICES)
    return server.data


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """A fresh copy of it."""
    shutil.copytree(template, tmp_path / "data")
    return tmp_path / "data"


def command(data: Path) -> list[str]:
    """`appliance vault rotate`."""
    return [*PROGRAM, "vault", "rotate", "--data", str(data), "--json"]


def end(data: Path, before: bytes) -> str:
    """Open it as the server does; tells whose key counts then: the `old` or the `new` one.

    `finished`: the new one, which had not taken its place.
    """
    waiting = (data / "keys" / "vault.next").exists()

    async def start() -> None:
        async with open_appliance(Config(data=data)):
            pass

    asyncio.run(start())
    assert not (data / "keys" / "vault.next").exists()
    assert not list((data / "keys").glob("*.partial"))
    if (data / "keys" / "vault.key").read_bytes() == before:
        return "old"
    return "finished" if waiting else "new"


def killed(words: list[str], seconds: float) -> None:
    """Run it, and kill -9 it with all its children after a moment."""
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(180 + 20 * rounds(10))
def test_g06_e06_kill_9_in_a_rotation_leaves_every_secret_readable(data: Path) -> None:
    had = opened(data)
    began = time.monotonic()
    subprocess.run(command(data), check=True, capture_output=True, timeout=120)
    whole = time.monotonic() - began
    ends: Counter[str] = Counter()
    for _ in range(rounds(10)):
        before = (data / "keys" / "vault.key").read_bytes()
        killed(command(data), random.uniform(0.4, 1.02) * whole)  # noqa: S311
        ends[end(data, before)] += 1
        assert opened(data) == had
    record("E-06 key rotation", rounds=rounds(10), ends=dict(ends))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", CALLS)
def test_g06_e06_killed_at_any_call_that_counts_it_is_whole(
    template: Path, tmp_path: Path, call: str
) -> None:
    """Not at random: at the first such call, at the second, until one run comes to its end."""
    data = tmp_path / "data"
    shutil.copytree(template, data)
    had, ends = opened(data), Counter[str]()
    for number in range(1, 40):
        before = (data / "keys" / "vault.key").read_bytes()
        kill = injecting(call, f"signal=SIGKILL:when={number}")
        done = subprocess.run(
            [*kill, *command(data)], capture_output=True, timeout=120, check=False
        )
        ends[end(data, before)] += 1
        assert opened(data) == had
        if done.returncode == 0:
            break
    else:
        raise AssertionError("it never came to its end")
    assert ends["old"] or call == "unlink", "it was killed before it was committed"
    assert ends["finished"] or call != "rename", "and after that, before the new key had its place"
    assert ends["new"], "the last one came to its end"


def test_g06_a_backup_from_before_has_its_own_key_and_restores(
    template: Path, tmp_path: Path
) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    fill(server.data, 5)
    file = backups.create(server, tmp_path / "file.age")
    had, old = opened(server.data), (server.data / "keys" / "vault.key").read_bytes()
    server.cli("vault", "rotate")
    assert backups.verify(file, server.backup_key).status == 0
    done = backups.restore(file, server.backup_key, tmp_path / "restored")
    assert done.status == 0, done.err
    assert (tmp_path / "restored" / "keys" / "vault.key").read_bytes() == old
    assert opened(tmp_path / "restored") == had
    later = backups.create(server, tmp_path / "later.age")
    assert backups.restore(later, server.backup_key, tmp_path / "again").status == 0
    assert opened(tmp_path / "again") == had


def test_g06_while_a_server_runs_it_is_refused_with_words(server: RunningServer) -> None:
    before = {path.name: path.read_bytes() for path in (server.data / "keys").iterdir()}
    assert server.process is not None
    for verb in ("rotate", "protect"):
        done = server.cli("vault", verb, check=False)
        assert done.returncode == FAILED
        assert f"is in use by process {server.process.pid}" in done.stderr
        assert "fix: stop" in done.stderr
    assert {path.name: path.read_bytes() for path in (server.data / "keys").iterdir()} == before


async def secrets_of(server: RunningServer, uuid: str) -> Any:
    """What a command holds, for somebody who says why."""
    async with server.session() as session:
        answer = await Api(server, session).post(
            f"/api/v1/commands/{uuid}/secrets", {"reason": "test"}
        )
    assert answer.status == 200, answer
    return answer.json


def test_g06_devices_and_people_notice_nothing_of_it(tmp_path: Path) -> None:
    server = start_server(tmp_path / "data")

    async def before() -> tuple[Any, str, str]:
        async with server.session() as session:
            api = Api(server, session)
            device = await api.enroll()
            await device.set_bootstrap_token(b"the bootstrap token")
            answered = await api.queue(device.id, "ProfileList")
            sent = (await device.idle()).command
            assert sent is not None
            await device.acknowledge(sent, UnlockToken=b"in an answer")
            waiting = await api.queue(
                device.id, "DeviceLock", parameters={"PIN": "918273"},
                confirm={"serial_number": device.serial_number},
            )  # fmt: skip
        return device, answered, waiting

    async def after() -> None:
        assert (await secrets_of(server, waiting))["parameters"]["PIN"] == "918273"
        assert "aW4gYW4gYW5zd2Vy" in json.dumps(await secrets_of(server, answered))
        async with server.session() as session:
            device.session = session
            assert await device.get_bootstrap_token() == b"the bootstrap token"
            lock = (await device.idle()).command
            assert lock is not None
            assert lock.payload["PIN"] == "918273"
            assert (await device.acknowledge(lock)).status == 200
            answer = await Api(server, session).get("/api/v1/push-certificate")
            assert answer.json["topic"] == server.topic

    device, answered, waiting = asyncio.run(before())
    assert server.stop() == 0
    counts = json.loads(server.cli("vault", "rotate", "--json").stdout)
    assert counts == {
        "escrow": 1, "commands": 1, "shared_commands": 0, "answers": 1, "webhooks": 0,
        "push_keys": 1,
    }  # fmt: skip
    server.start()
    try:
        asyncio.run(after())
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log_tail()
