"""Bundled files and the program itself, found from source and from the frozen executable alike."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RECORD = "digests.json"  # written by build.spec

_LIBRARY_PATH = "LD_LIBRARY_PATH"
_START_ANEW = "PYINSTALLER_RESET_ENVIRONMENT"


def frozen() -> bool:
    """Tell whether this is the frozen executable."""
    return hasattr(sys, "_MEIPASS")


def own_command() -> list[str]:
    """Return how to start this program as a child process; its arguments go behind.

    A child of the one-file executable uses what its parent has unpacked, so it must end before
    its parent does.
    """
    return [sys.executable] if frozen() else [sys.executable, "-m", "appliance"]


@contextmanager
def outside_environment() -> Iterator[None]:
    """For the time of a `with`, let what is started find its own libraries instead of ours.

    The frozen executable finds its libraries by LD_LIBRARY_PATH, which a browser or systemctl
    must not inherit; its own children need it. An executable of this program that is started as
    a program of its own, such as an installed copy, finds its libraries anew.
    """
    ours = os.environ.get(_LIBRARY_PATH)
    if ours is None or not frozen():
        yield
        return
    theirs = os.environ.get(f"{_LIBRARY_PATH}_ORIG")
    try:
        os.environ[_START_ANEW] = "1"
        if theirs is None:
            del os.environ[_LIBRARY_PATH]
        else:
            os.environ[_LIBRARY_PATH] = theirs
        yield
    finally:
        os.environ[_LIBRARY_PATH] = ours
        del os.environ[_START_ANEW]


def package_dir() -> Path:
    """Return the folder of the `appliance` package."""
    return Path(__file__).resolve().parent


def static_dir() -> Path:
    """Return the folder of css, js and icons; it stands beside the package."""
    return package_dir().parent / "static"


def config_dir() -> Path:
    """Return the folder of the sample configuration and the service's files."""
    return package_dir().parent / "config"


def digests() -> dict[str, str]:
    """Return the SHA-256 of every bundled file, by its path below the program's folder."""
    root = package_dir().parent
    found = {}
    for folder in (package_dir(), static_dir(), config_dir()):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.suffix.startswith(".py"):
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                found[file.relative_to(root).as_posix()] = digest
    return found


def recorded_digests() -> dict[str, str] | None:
    """Return what `digests` said when this executable was built; None when run from source."""
    record = package_dir().parent / RECORD
    return json.loads(record.read_text("utf-8")) if record.is_file() else None


def text(path: str) -> str:
    """Return a UTF-8 file of the package, `path` relative to it."""
    return (package_dir() / path).read_text("utf-8")


def names(folder: str) -> list[str]:
    """Return the sorted file names in one folder of the package."""
    return sorted(entry.name for entry in (package_dir() / folder).iterdir() if entry.is_file())
