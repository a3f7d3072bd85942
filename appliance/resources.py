"""Bundled files, found from source and from the frozen executable alike."""

from __future__ import annotations

import sys
from pathlib import Path


def package_dir() -> Path:
    """Return the folder of the `appliance` package."""
    return Path(__file__).resolve().parent


def static_dir() -> Path:
    """Return the folder of css, js and icons."""
    frozen = getattr(sys, "_MEIPASS", None)
    root = Path(frozen) if frozen else package_dir().parent
    return root / "static"


def text(path: str) -> str:
    """Return a UTF-8 file of the package, `path` relative to it."""
    return (package_dir() / path).read_text("utf-8")


def names(folder: str) -> list[str]:
    """Return the sorted file names in one folder of the package."""
    return sorted(entry.name for entry in (package_dir() / folder).iterdir() if entry.is_file())
