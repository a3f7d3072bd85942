"""The private keys in `keys/`: plain files, or sealed ones that a passphrase opens.

The passphrase opens `master.key`, and that opens the others. While `master.key` exists, a
passphrase is asked for; what a kill left plain beside it is sealed as soon as it was given.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

from appliance.errors import (
    BadSignature,
    Conflict,
    DataDirectoryUnusable,
    InvalidRequest,
    MalformedMessage,
    PassphraseRequired,
)
from appliance.store.disk import sync
from appliance.wire.certificates import key_pem, load_key
from appliance.wire.passphrase import unwrap, wrap
from appliance.wire.seal import KEY_BYTES, new_key, seal, unseal

Ask = Callable[[], str]  # returns a passphrase, or raises PassphraseRequired

VAULT = "vault.key"
NEXT_VAULT = "vault.next"  # takes the place of `vault.key` when a rotation is committed
SHORTEST_PASSPHRASE = 12

_TLS = "tls.key"
_NAMES = ("ca.key", "root.key", VAULT, NEXT_VAULT, _TLS)
_SEALED = b"appliance: sealed with master.key\n"  # how such a file begins
_ENCRYPTED = b"ENCRYPTED PRIVATE KEY"


def ask_nobody() -> str:
    """Return no passphrase.

    Raises:
        PassphraseRequired: always.
    """
    raise PassphraseRequired(
        "the keys of this data directory are protected by a passphrase",
        why="without it nothing can be read, and nobody was there to be asked for it",
        fix="run the command in a terminal, or let APPLIANCE_PASSPHRASE_FILE name a file with it",
    )


class KeyFiles:
    """Reads and writes private keys by the names of their files."""

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None]) -> None:
        """Take the folder, and what writes a file of it whole and on the disk."""
        self._folder = folder
        self._write = write
        self._master_file = folder / "master.key"
        self._master: bytes | None = None  # known once the passphrase was given

    @property
    def is_protected(self) -> bool:
        """Whether a passphrase is needed to read them."""
        return self._master_file.is_file()

    @property
    def tls_password(self) -> str | None:
        """What OpenSSL needs to read `tls.key` itself; None: nothing."""
        # As strong as the key it is made of, so PEM's fast key derivation does no harm.
        master = self._master
        return None if master is None else hmac.digest(master, b"tls.key", "sha256").hex()

    def unlock(self, ask: Ask) -> None:
        """Make them readable, by asking for the passphrase if there is one.

        Raises:
            PassphraseRequired: nobody knows it, or it is another one.
            DataDirectoryUnusable: `master.key` cannot be read.
        """
        if not self.is_protected:
            return
        try:
            self._master = unwrap(ask(), self._master_file.read_bytes())
        except BadSignature as error:
            raise PassphraseRequired(
                "this is not the passphrase of these keys",
                why=f"it does not open {self._master_file}",
                fix="try again; a backup needs the passphrase of the day when it was made",
            ) from error
        except (OSError, MalformedMessage) as error:
            raise _unreadable(self._master_file, error) from error
        self._seal_all()

    def read(self, name: str) -> bytes:
        """Return the key as it was given to `write`.

        Raises:
            OSError: there is none.
            MalformedMessage: it cannot be opened.
        """
        content = (self._folder / name).read_bytes()
        if not _is_closed(content):
            return content
        password = self.tls_password
        if self._master is None or password is None:
            raise MalformedMessage(f"{name} is sealed, and there is no master.key to open it")
        if name == _TLS:
            return key_pem(load_key(content, password.encode()))
        try:
            return unseal(self._master, content[len(_SEALED) :], context=_context(name))
        except BadSignature as error:
            raise MalformedMessage(f"{name} is not sealed with this master.key") from error

    def read_vault(self, name: str = VAULT) -> bytes:
        """Return a key of the vault.

        Raises:
            OSError, MalformedMessage: as `read`, or it is not 32 bytes long.
        """
        key = self.read(name)
        if len(key) != KEY_BYTES:
            raise MalformedMessage(f"{name} is not {KEY_BYTES} bytes long")
        return key

    def write(self, name: str, key: bytes) -> None:
        """Write a key, whole or not at all; never a readable one where they are protected."""
        password = self.tls_password
        if self._master is not None and password is not None:
            if name == _TLS:
                key = key_pem(load_key(key), password.encode())
            else:
                key = _SEALED + seal(self._master, key, context=_context(name))
        self._write(self._folder / name, key)

    def take_next_vault(self) -> None:
        """Put `vault.next` in the place of `vault.key`."""
        (self._folder / NEXT_VAULT).replace(self._folder / VAULT)
        sync(self._folder)

    def drop_next_vault(self) -> None:
        """Remove the `vault.next` of a rotation that came to nothing."""
        (self._folder / NEXT_VAULT).unlink(missing_ok=True)

    def protect(self, passphrase: str) -> None:
        """Seal all of them, so that only `passphrase` opens them.

        Raises:
            Conflict: they are sealed already.
            InvalidRequest: the passphrase is too short.
        """
        self.refuse_protected()
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise InvalidRequest(
                f"a passphrase has at least {SHORTEST_PASSPHRASE} characters",
                code="vault.passphrase_short",
                why="whoever has a copy of the keys can guess as often as they like",
                fix="take five or six words that have nothing to do with each other",
            )
        master = new_key()
        self._write(self._master_file, wrap(passphrase, master))
        self._master = master
        self._seal_all()

    def refuse_protected(self) -> None:
        """Raise Conflict if a passphrase protects them."""
        if self.is_protected:
            raise Conflict(
                "the keys are protected by a passphrase already",
                code="vault.protected",
                fix="for another passphrase: `appliance vault unprotect`, then `protect` again",
            )

    def unprotect(self) -> None:
        """Make plain files of all of them, after `unlock`.

        Raises:
            Conflict: they are.
            DataDirectoryUnusable: one of them cannot be opened; nothing was changed.
        """
        if not self.is_protected:
            raise Conflict("the keys are not protected by a passphrase", code="vault.not_protected")
        try:
            plain = {name: self.read(name) for name in self._present()}
        except (OSError, MalformedMessage) as error:
            raise _unreadable(self._folder, error) from error
        for name, key in plain.items():
            self._write(self._folder / name, key)
        self._master_file.unlink()
        sync(self._folder)
        self._master = None

    def _seal_all(self) -> None:
        """Seal what is plain yet: all, or what a kill left over."""
        for name in self._present():
            content = (self._folder / name).read_bytes()
            if _is_closed(content):
                continue
            try:
                self.write(name, content)
            except MalformedMessage:  # tls.key alone is looked into; the server makes another
                (self._folder / name).unlink()

    def _present(self) -> list[str]:
        return [name for name in _NAMES if (self._folder / name).is_file()]


def _is_closed(content: bytes) -> bool:
    return content.startswith(_SEALED) or _ENCRYPTED in content


def _context(name: str) -> str:
    """`vault.next` becomes `vault.key` without being sealed anew."""
    return f"key file:{Path(name).stem}"


def _unreadable(path: Path, error: Exception) -> DataDirectoryUnusable:
    return DataDirectoryUnusable(
        f"{path} cannot be read: {error}",
        why="what it protects cannot be opened in any other way",
        fix="restore the keys folder from a backup",
    )
