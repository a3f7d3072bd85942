"""The key of the backups: the server keeps the public half, its owner alone the secret one."""

from __future__ import annotations

import re
from pathlib import Path

import pyrage

from appliance.errors import BackupUnusable, Conflict
from appliance.services.data_directory import DataDirectory

_SECRET = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]+$", re.MULTILINE)
_LONGEST_KEY_FILE = 64 << 10


def new_backup_key(directory: DataDirectory) -> str:
    """Make a pair, keep the public half for all backups to come, and return the secret one.

    It is a line of text, `AGE-SECRET-KEY-1…`, that is stored nowhere.
    """
    identity = pyrage.x25519.Identity.generate()
    directory.write_secret(directory.recipient, f"{identity.to_public()}\n".encode())
    return str(identity)


def recipient_of(directory: DataDirectory) -> pyrage.x25519.Recipient:
    """Return the public half.

    Raises:
        Conflict: there is none yet, or it is damaged.
    """
    try:
        return pyrage.x25519.Recipient.from_str(directory.recipient.read_text().strip())
    except FileNotFoundError:
        problem = "there is no key to encrypt backups to"
    except (pyrage.RecipientError, UnicodeDecodeError):
        problem = f"{directory.recipient} is damaged"
    raise Conflict(
        problem,
        code="backup.key_missing",
        fix=f"make one with `appliance backup key --data {directory.path}`",
    )


def read_key(path: Path) -> pyrage.x25519.Identity:
    """Read the secret half from a file as `age-keygen` writes it; comments are skipped.

    Raises:
        BackupUnusable: there is none in it.
    """
    try:
        with path.open("rb") as file:
            found = _SECRET.search(file.read(_LONGEST_KEY_FILE).decode("ascii", "replace"))
        if found is not None:
            return pyrage.x25519.Identity.from_str(found[0])
    except OSError as error:
        raise BackupUnusable(f"cannot read {path}: {error.strerror}") from error
    except pyrage.IdentityError:
        pass
    raise BackupUnusable(
        f"{path} holds no backup key",
        why="a line that begins with AGE-SECRET-KEY-1 was expected",
        fix="name the file with the key that `init` or `backup key` printed",
    )
