"""The passphrase that protects the keys: of the environment, of a file, or typed unseen."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import click

from appliance.errors import PassphraseRequired

_VALUE = "APPLIANCE_PASSPHRASE"
_FILE = "APPLIANCE_PASSPHRASE_FILE"
_CREDENTIALS = "CREDENTIALS_DIRECTORY"  # where systemd puts what it opens for one service alone


def ask() -> str:
    """Return the passphrase of a data directory or a backup.

    Raises:
        PassphraseRequired: it is not in the environment, and nobody is there to type it; or its
            file cannot be read, or others can read it.
    """
    given = _given()
    if given is not None:
        return given
    from appliance.services.key_files import ask_nobody

    return _typed(confirm=False) if _is_typed() else ask_nobody()


def ask_new() -> str:
    """Return the passphrase that is to protect the keys from now on; typed, it is typed twice.

    Where nobody can type, it is the first line of a pipe.

    Raises:
        PassphraseRequired: the file that should hold it cannot be read, or others can read it.
    """
    given = _given()
    if given is not None:
        return given
    if _is_typed():
        return _typed(confirm=True)
    return _line(sys.stdin.readline())


def _given() -> str | None:
    if value := os.environ.pop(_VALUE, ""):  # no child of ours gets it
        return value
    file = os.environ.get(_FILE)
    if not file:
        return None
    try:
        _refuse_open(Path(file))
        return _line(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PassphraseRequired(
            f"the passphrase cannot be read from {file}: {why}",
            why=f"{_FILE} names it",
            fix="name a file whose first line is the passphrase, for this user alone (mode 0600)",
        ) from error


def _refuse_open(file: Path) -> None:
    """Refuse a file that others can use; a pipe is its reader's alone."""
    status = file.stat()
    given = os.environ.get(_CREDENTIALS)
    if given and file.is_relative_to(given):  # its group's bits are the mask of an access list
        return
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise PassphraseRequired(
            f"{file} can be used by others (mode {stat.S_IMODE(status.st_mode):04o})",
            why="whoever reads it can open the keys that control every device",
            fix=f"chmod 0600 {file}; if it was copied or read, take another passphrase",
        )


def _is_typed() -> bool:
    return sys.stdin.isatty()


def _line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _typed(*, confirm: bool) -> str:
    typed: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return typed
