"""Bundled files and the program itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from appliance import __version__, resources


def test_the_own_command_starts_this_program() -> None:
    command = [*resources.own_command(), "version", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f'"version": "{__version__}"' in done.stdout


def test_bundled_folders_are_found() -> None:
    assert (resources.static_dir() / "app.css").is_file()
    assert (resources.config_dir() / "appliance.toml").is_file()
    assert "catalogue.json" in resources.names("mdm")


def test_a_program_of_others_is_started_as_if_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_MEIPASS", "/unpacked", raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/unpacked")
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/theirs")
    before = dict(os.environ)
    with resources.outside_environment():
        assert os.environ["LD_LIBRARY_PATH"] == "/theirs"
        # An installed copy of this program must look for its own libraries, not go without.
        assert os.environ["PYINSTALLER_RESET_ENVIRONMENT"] == "1"
    assert dict(os.environ) == before
