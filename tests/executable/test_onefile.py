"""Where the one file unpacks, and what it leaves there."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.device.server import PROGRAM, RunningServer


@contextmanager
def _serving(data: Path, place: Path) -> Iterator[RunningServer]:
    server = RunningServer(data, environment={"TMPDIR": str(place)})
    if not data.exists():
        server.initialise()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _version(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place)}
    subprocess.run([*PROGRAM, "version"], env=environment, timeout=120, check=True)


def test_only_its_owner_can_use_what_it_unpacks(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    before = os.umask(0)
    try:
        with _serving(tmp_path / "data", place):
            unpacked = list(place.rglob("*"))
            assert unpacked
            for entry in unpacked:
                assert not stat.S_IMODE(entry.lstat().st_mode) & 0o077, entry
    finally:
        os.umask(before)
    assert not list(place.iterdir())


def test_it_may_unpack_into_its_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    RunningServer(data).initialise()
    with _serving(data, data / "run"):
        assert list((data / "run").glob("_MEI*"))
    assert not list((data / "run").iterdir())


def test_killing_the_loader_ends_the_server_and_the_next_start_tidies(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    data = tmp_path / "data"
    with _serving(data, place) as server:
        server.kill()
        assert len(list(place.glob("_MEI*"))) == 1
        deadline = time.monotonic() + 60
        while not server.cli("status", check=False).stderr.startswith("error[server.unreachable]"):
            assert time.monotonic() < deadline, "the server lives on without its loader"
    assert not list(place.iterdir())
    with _serving(data, place):
        (mine,) = place.iterdir()
        _version(place)
        assert list(place.iterdir()) == [mine], "another process removed what a server uses"
