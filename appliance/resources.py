"""Bundled files and the program itself, found from source and from the frozen executable alike."""

from __future__ import annotations

import sys
from pathlib import Path


def frozen() -> bool:
    """Tell whether this is the frozen executable."""
    return hasattr(sys, "_MEIPASS")


def own_command() -> list[str]:
    """Return how to start this program as a child process; its arguments go behind.

    A child of the one-file executable uses what its parent has unpacked, so it must end before
    its parent does.
    """
    return [sys.executable] if frozen() else [sys.executable, "-m", "appliance"]


def package_dir() -> Path:
    """Return the folder of the `appliance` package."""
    return Path(__file__).resolve().parent


def static_dir() -> Path:
    """Return the folder of css, js and icons; it stands beside the package."""
    return package_dir().parent / "static"


def config_dir() -> Path:
    """Return the folder of the sample configuration and the service's files."""
    return package_dir().parent / "config"


def text(path: str) -> str:
    """Return a UTF-8 file of the package, `path` relative to it."""
    return (package_dir() / path).read_text("utf-8")


def names(folder: str) -> list[str]:
    """Return the sorted file names in one folder of the package."""
    return sorted(entry.name for entry in (package_dir() / folder).iterdir() if entry.is_file())
