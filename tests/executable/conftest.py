"""Collects these tests only for an executable, and those of unpacking only for the one file."""

from __future__ import annotations

import os
from pathlib import Path

_EXECUTABLE = Path(os.environ.get("APPLIANCE_EXECUTABLE", ""))
collect_ignore_glob = []
if not _EXECUTABLE.name:
    collect_ignore_glob = ["test_*.py"]
elif (_EXECUTABLE.parent / "_internal").is_dir():
    collect_ignore_glob = ["test_onefile.py"]
