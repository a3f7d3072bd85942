"""Bundled files and the program itself."""

from __future__ import annotations

import subprocess

from appliance import __version__, resources


def test_the_own_command_starts_this_program() -> None:
    command = [*resources.own_command(), "version", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert f'"version": "{__version__}"' in done.stdout


def test_bundled_folders_are_found() -> None:
    assert (resources.static_dir() / "app.css").is_file()
    assert (resources.config_dir() / "appliance.toml").is_file()
    assert "catalogue.json" in resources.names("mdm")
