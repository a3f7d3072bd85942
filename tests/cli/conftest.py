"""The command line: run in this process as a shell would, or of the executable under test."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import cli
from tests.device.server import PROGRAM

URL = "https://mdm.example.com:8443"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which is JSON and nothing else."""
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `init` leaves it."""
    data = tmp_path_factory.mktemp("template") / "data"
    arguments = ["init", "--data", str(data), "--url", URL, "--organization", 'The "Lab"']
    assert cli.run(arguments) == 0
    return data


def _run_program(*arguments: object) -> Done:
    command = [*PROGRAM, *(str(argument) for argument in arguments)]
    typed = sys.stdin.getvalue() if isinstance(sys.stdin, io.StringIO) else ""
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=120, check=False
    )
    return Done(status=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """A fresh copy of it."""
    shutil.copytree(template, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `appliance ARGUMENTS`."""
    monkeypatch.delenv("APPLIANCE_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    if "APPLIANCE_EXECUTABLE" in os.environ:
        return _run_program

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        status = cli.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(status=status, out=out, err=err)

    return run
