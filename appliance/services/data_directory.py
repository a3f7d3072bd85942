"""The data directory: created once, never looser than 0700, used by one process."""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from appliance.errors import Conflict, DataDirectoryUnusable, MalformedMessage, NotInitialised
from appliance.wire import certificates

_TLS_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Keys:
    """The keys of the appliance, read once at the start."""

    ca_certificate: x509.Certificate
    ca_key: RSAPrivateKey
    root_certificate: x509.Certificate
    vault_key: bytes  # seals what unlocks a device


class DataDirectory:
    """The paths below one data directory, and the rules about them."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "appliance.db"
        self.keys = self.path / "keys"
        self.run = self.path / "run"
        self.socket = self.run / "api.sock"
        self.backups = self.path / "backups"

    def is_initialised(self) -> bool:
        """Tell whether `init` has finished here."""
        return (self.keys / "vault.key").is_file() and self.database.is_file()

    def create(self, *, host_names: list[str], organization: str) -> None:
        """Make the directory and every key.

        Raises:
            Conflict: it holds an appliance, or something else, already.
            DataDirectoryUnusable: it cannot be written.
        """
        if self.path.is_dir() and any(self.path.iterdir()):
            raise Conflict(
                f"{self.path} is already in use",
                code="data.exists",
                why="it holds files; keys that devices trust are never replaced",
                fix="choose an empty directory, or run `appliance serve` with this one",
            )
        try:
            for folder in (self.path, self.keys, self.run, self.backups):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise DataDirectoryUnusable(f"cannot create {self.path}: {error.strerror}") from error
        now = datetime.now(UTC)
        self._write_pair("ca", certificates.new_device_ca(organization, now))
        self._write_pair("root", certificates.new_tls_root(organization, now))
        self.renew_tls(host_names)
        self.write_secret(self.keys / "vault.key", os.urandom(32))

    def check(self) -> None:
        """Refuse a directory that is missing, or that others can read.

        Raises:
            NotInitialised: there is no appliance here.
            DataDirectoryUnusable: modes are too open, or a file is not ours.
        """
        if not self.is_initialised():
            raise NotInitialised(
                f"{self.path} holds no appliance",
                fix=f"run `appliance init --data {self.path} --url https://NAME:8443`",
            )
        for entry in (self.path, self.keys, *self.keys.iterdir(), self.database):
            status = entry.stat()
            if status.st_mode & 0o077:
                want = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
                raise DataDirectoryUnusable(
                    f"{entry} can be used by others (mode {stat.S_IMODE(status.st_mode):04o})",
                    why="it holds keys that control every device",
                    fix=f"chmod {want} {entry}",
                )
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.backups.mkdir(mode=0o700, exist_ok=True)

    def lock(self) -> int:
        """Take the directory for this process; the descriptor holds the lock.

        Raises:
            DataDirectoryUnusable: another process has it; its pid is named.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DataDirectoryUnusable(
                f"{self.path} is in use by process {owner or 'unknown'}",
                why="two processes on one data directory would lose data",
                fix="stop the other one first",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor

    def read_keys(self) -> Keys:
        """Read every key; a missing or wrong one is an error, never made anew.

        Raises:
            DataDirectoryUnusable: a file is missing or does not parse.
        """
        try:
            return Keys(
                ca_certificate=self._certificate("ca"),
                ca_key=certificates.load_rsa_key((self.keys / "ca.key").read_bytes()),
                root_certificate=self._certificate("root"),
                vault_key=self._vault_key(),
            )
        except (OSError, MalformedMessage) as error:
            raise DataDirectoryUnusable(
                f"a key in {self.keys} cannot be read: {error}",
                why="the certificate authority is never replaced: devices would be lost",
                fix="restore the keys folder from a backup",
            ) from error

    def tls_is_due(self, now: float) -> bool:
        """Tell whether the built-in server certificate is missing or ends within 30 days."""
        try:
            leaf = self._certificate("tls")
        except (OSError, MalformedMessage):
            return True
        return leaf.not_valid_after_utc.timestamp() - now < _TLS_RENEW_DAYS * 86400

    def renew_tls(self, host_names: list[str]) -> None:
        """Issue a new server certificate under the built-in root."""
        root = certificates.KeyPair(
            certificate=self._certificate("root"),
            key=certificates.load_key((self.keys / "root.key").read_bytes()),
        )
        self._write_pair("tls", certificates.new_tls_leaf(host_names, root, datetime.now(UTC)))

    def write_secret(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all, readable by its owner only, and on the disk."""
        partial = path.with_name(path.name + ".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _vault_key(self) -> bytes:
        key = (self.keys / "vault.key").read_bytes()
        if len(key) != 32:
            raise MalformedMessage("vault.key is not 32 bytes long")
        return key

    def _certificate(self, name: str) -> x509.Certificate:
        return certificates.load_certificates((self.keys / f"{name}.pem").read_bytes())[0]

    def _write_pair(self, name: str, pair: certificates.KeyPair) -> None:
        self.write_secret(self.keys / f"{name}.key", certificates.key_pem(pair.key))
        chain = certificates.certificate_pem(pair.certificate, *pair.chain)
        self.write_secret(self.keys / f"{name}.pem", chain)
