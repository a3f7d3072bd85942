"""A temporary folder for what nobody else may see, in which nothing survives a kill for long."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"
_BEGINNING_SECONDS = 60  # a folder without a lock may be one that is being made


@contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """Make a folder of mode 0700, and remove it with everything in it at the end.

    Folders of this prefix whose process was killed are removed first: their lock is free.
    """
    _remove_leftovers(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_leftovers(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            if folder.stat().st_uid == os.geteuid() and not _is_alive(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its process is just ending
            continue


def _is_alive(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime < _BEGINNING_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)
