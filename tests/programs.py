"""External programs that tests use where they are: `scripts/external-programs` installs them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_BUILT = Path(__file__).parents[1] / ".go" / "bin"


def program(name: str) -> str:
    """Path of a program, the Go tools of this checkout first; without it the test is skipped."""
    if found := shutil.which(name, path=_BUILT) or shutil.which(name):
        return found
    pytest.skip(f"needs {name}: scripts/external-programs")


def only_root(deed: str) -> None:
    """Skip the test for everybody else."""
    if os.geteuid() != 0:
        pytest.skip(f"only root can {deed}")
