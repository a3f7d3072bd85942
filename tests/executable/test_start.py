"""The executable proves itself, starts soon, and needs nothing of the machine's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.device.server import PROGRAM, RunningServer
from tests.trust.timing import slowness

_START_SECONDS = 3.0  # the promise is 0.8 s on an idle machine; a shared runner may be slow


def test_it_checks_itself() -> None:
    done = subprocess.run(
        [*PROGRAM, "selfcheck", "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True), done.stdout


def test_it_says_that_it_is_frozen() -> None:
    done = subprocess.run(
        [*PROGRAM, "version", "--json"], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout)["frozen"] is True


def test_no_library_inside_has_known_faults() -> None:
    done = subprocess.run(
        [*PROGRAM, "version", "--json"], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout)["warnings"] == []


def test_the_server_starts_soon(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()

    def seconds() -> float:
        began = time.monotonic()
        server.start()
        took = time.monotonic() - began
        assert server.stop() == 0
        return took

    limit = _START_SECONDS * slowness()
    assert any(seconds() < limit for _ in range(5)), "a busy machine may let it wait, once"


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"])
def test_g_09_the_python_of_its_surroundings_does_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('planted')")
    (tmp_path / "click.py").write_text("raise SystemExit('planted')")
    environment = {**os.environ, name: str(tmp_path)}
    done = subprocess.run(
        [*PROGRAM, "version"], env=environment, cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0]) == (0, "appliance"), done.stderr


def test_g_09_what_is_planted_beside_it_is_not_loaded(tmp_path: Path) -> None:
    program, place = Path(PROGRAM[0]), tmp_path / "place"
    if (program.parent / "_internal").is_dir():
        shutil.copytree(program.parent, place, symlinks=True)
    else:
        place.mkdir()
        shutil.copy(program, place)
    planted = "raise SystemExit('planted')"
    for name in ("sitecustomize.py", "usercustomize.py", "click.py", "ssl.py", "?", "appliance.py"):
        (place / name).write_text(planted)
    for name in ("_ssl.so", "libcrypto.so.3", "libz.so.1", "base_library.zip", "python3.11"):
        (place / name).write_bytes(b"planted")
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    (open_to_all / "click.py").write_text(planted)
    environment = {**os.environ, "TMPDIR": str(open_to_all)}
    done = subprocess.run(
        [place / program.name, "version"], env=environment, cwd=place, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0]) == (0, "appliance"), done.stderr
