"""What a running server leaves of its secrets where the system could write or show them."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose files may be taken away."""
    running = start_server(tmp_path / "data")
    yield running
    assert running.stop() == 0


def process_of(server: RunningServer) -> Path:
    """Its directory in /proc."""
    assert server.process is not None
    return Path(f"/proc/{server.process.pid}")


def test_g_10_no_memory_is_written_to_a_core(own: RunningServer) -> None:
    limits = (process_of(own) / "limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


def test_g_10_key_files_are_read_once_and_not_kept_open(own: RunningServer) -> None:
    opened = [str(entry.readlink()) for entry in (process_of(own) / "fd").iterdir()]
    assert [name for name in opened if "/keys/" in name] == []
    keys, away = own.data / "keys", own.data.parent / "keys away"
    keys.rename(away)
    keys.mkdir()
    shutil.copy(away / "root.pem", keys)  # what the client below trusts
    try:
        asyncio.run(_work(own))
    finally:
        shutil.rmtree(keys)
        away.rename(keys)


async def _work(server: RunningServer) -> None:
    """Certify, sign, seal and open: with what is in memory alone."""
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        confirm = {"serial_number": device.serial_number}
        await api.queue(device.id, "DeviceLock", parameters={"PIN": "483921"}, confirm=confirm)
        command = (await device.idle()).command
        assert command is not None and command.payload["PIN"] == "483921"


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_a_server_without_standard_streams_works_and_writes_into_no_file(
    tmp_path: Path, closed: str
) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    server.start(wrapper=("sh", "-c", f'exec "$@" {closed}', "sh"))
    try:
        opened = [str((process_of(server) / "fd" / str(number)).readlink()) for number in range(3)]
        assert opened[0] == os.devnull
        assert set(opened) <= {os.devnull, str(server.log)}
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("log", ["2>/dev/full", "2> >(exec 2>&-)"], ids=["full", "closed"])
def test_a_log_that_cannot_be_written_stops_no_start(tmp_path: Path, log: str) -> None:
    """Not even of a server that has to say how its first account is made."""
    server = RunningServer(tmp_path / "data")
    server.initialise()
    server.start(wrapper=("bash", "-c", f'exec "$@" {log}', "bash"))
    assert server.stop() == 0


async def test_a_log_that_nobody_reads_stops_neither_the_server_nor_its_end(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    filling = os.open(pipe, os.O_WRONLY)
    try:
        server.start(wrapper=("sh", "-c", f'exec "$@" 2>{pipe}', "sh"))
        said = b""
        while b"no account yet" not in said:  # the last that a start says
            if select.select([reading], [], [], 30)[0]:
                said += os.read(reading, 1 << 16)
        while select.select([], [filling], [], 0)[1]:
            os.write(filling, b"x" * select.PIPE_BUF)
        async with server.session() as session:
            api = Api(server, session)
            assert (await server.import_push_certificate(api)).status == 200
            async with asyncio.timeout(30):
                await api.enroll()
        assert server.stop() == 0
    finally:
        if server.process is not None:
            server.kill()
        os.close(reading)
        os.close(filling)
