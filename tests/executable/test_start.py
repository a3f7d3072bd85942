"""The executable proves itself, starts soon, and needs nothing of the machine's Python."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.device.server import PROGRAM, RunningServer

_START_SECONDS = 3.0  # the promise is 0.8 s on an idle machine; a shared runner may be slow


def test_it_checks_itself() -> None:
    done = subprocess.run(
        [*PROGRAM, "selfcheck", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True), done.stdout


def test_it_says_that_it_is_frozen() -> None:
    done = subprocess.run(
        [*PROGRAM, "version", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["frozen"] is True


def test_no_library_inside_has_known_faults() -> None:
    done = subprocess.run(
        [*PROGRAM, "version", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["warnings"] == []


def test_the_server_starts_soon(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    began = time.monotonic()
    server.start()
    took = time.monotonic() - began
    assert server.stop() == 0
    assert took < _START_SECONDS


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"])
def test_the_python_of_its_surroundings_does_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('planted')")
    (tmp_path / "click.py").write_text("raise SystemExit('planted')")
    environment = {**os.environ, name: str(tmp_path)}
    done = subprocess.run(
        [*PROGRAM, "version"], env=environment, cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0]) == (0, "appliance"), done.stderr
