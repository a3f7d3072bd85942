"""The data directory: created once, never looser than 0700, used by one process."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from appliance.errors import (
    Conflict,
    DataDirectoryUnusable,
    DirectoryInUse,
    MalformedMessage,
    NotInitialised,
)
from appliance.services.key_files import VAULT, Ask, KeyFiles
from appliance.services.mounts import refuse_network
from appliance.store.disk import sync
from appliance.wire import certificates

_TLS_RENEW_DAYS = 30
NOBODYS = {"lost+found"}  # an empty volume has it


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
        self.key_files = KeyFiles(self.keys, self.write_secret)
        self.run = self.path / "run"
        self.socket = self.run / "api.sock"
        self.backups = self.path / "backups"
        self.recipient = self.keys / "backup.recipient"  # whom backups are encrypted to
        self._unfinished = self.path / "init.unfinished"  # from the start of `init` to its end

    def is_initialised(self) -> bool:
        """Tell whether `init` has finished here: it writes the vault key last."""
        return (self.keys / VAULT).is_file()

    def begin(self, *, host_names: list[str], organization: str, settings: str) -> int:
        """Make the directory, every key but the last, and `appliance.toml` of `settings`.

        What an `init` left that was cut short is made anew: nothing was ever served from it.
        Returns the lock's descriptor.

        Raises:
            Conflict: it holds an appliance, or something else, already.
            DataDirectoryUnusable: it cannot be written, or another process has it.
        """
        self._refuse_used()
        try:
            for folder in reversed([one for one in self.path.parents if not one.exists()]):
                folder.mkdir()
                folder.chmod(0o755)  # the service's user has to get through
            for folder in (self.path, self.keys, self.run, self.backups):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
                self._unfinished.touch(mode=0o600)
            lock = self.lock()
        except OSError as error:
            raise DataDirectoryUnusable(f"cannot create {self.path}: {error.strerror}") from error
        try:
            self._refuse_used()  # another `init` may have finished before the lock was ours
            for name in ("", "-wal", "-shm"):
                self.database.with_name(self.database.name + name).unlink(missing_ok=True)
            now = datetime.now(UTC)
            self._write_pair("ca", certificates.new_device_ca(organization, now))
            self._write_pair("root", certificates.new_tls_root(organization, now))
            self.renew_tls(host_names)
            if settings:
                self.write_secret(self.path / "appliance.toml", settings.encode())
        except BaseException:
            os.close(lock)
            raise
        return lock

    def finish(self, vault_key: bytes) -> None:
        """Write the key that marks the directory as initialised."""
        self.key_files.write(VAULT, vault_key)
        self._unfinished.unlink(missing_ok=True)

    @contextmanager
    def held(self, ask: Ask) -> Iterator[None]:
        """Have it for this process alone, with keys that can be read, for the caller's block.

        Raises:
            NotInitialised, DataDirectoryUnusable: with the fix; nothing was changed.
        """
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # memory holds keys
        self.check()
        lock = self.lock()
        try:
            self.key_files.unlock(ask)
            self.clear()
            yield
        finally:
            os.close(lock)

    def clear(self) -> None:
        """Remove what a kill left behind: half-made files, backups and restores.

        Only for whoever holds the lock. A restore at work holds the lock of its own folder.
        """
        for folder in (self.keys, self.backups):
            for path in folder.glob("*.partial"):  # ".partial" of a backup among them
                path.unlink(missing_ok=True)
        shutil.rmtree(self.backups / ".snapshot", ignore_errors=True)
        stage = DataDirectory(self.stage)
        if not (stage.path / "lock").is_file() or stage.path.is_symlink():
            return
        with suppress(DataDirectoryUnusable):
            lock = stage.lock()
            shutil.rmtree(stage.path, ignore_errors=True)
            os.close(lock)

    @property
    def stage(self) -> Path:
        """Where a restore makes the directory before it gives it its name."""
        return self.path.with_name(f".{self.path.name}.restoring")

    def check(self) -> None:
        """Refuse a directory that is missing, not whole, not ours, or open to others.

        Raises:
            NotInitialised: there is no appliance here.
            DataDirectoryUnusable: modes are too open, or a file is missing or not ours.
        """
        _refuse_link(self.path)
        if not self.is_initialised():
            raise NotInitialised(
                f"{self.path} holds no appliance",
                fix=f"run `appliance init --data {self.path} --url https://NAME:8443`",
            )
        if not self.database.is_file() or not self.database.stat().st_size:
            raise DataDirectoryUnusable(  # never a new one in the place of the old
                f"{self.database} is missing or empty",
                why="without it, every enrolled device is a stranger",
                fix="restore it from a backup",
            )
        _refuse_open(self.path)
        for folder, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                _refuse_open(Path(folder, name))
        for entry in (self.database, self.keys, *self.keys.iterdir()):
            _refuse_link(entry)
        refuse_network(self.path)
        try:
            self._unfinished.unlink(missing_ok=True)
            self.run.mkdir(mode=0o700, exist_ok=True)
            self.backups.mkdir(mode=0o700, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        except OSError as error:
            raise self._unwritable(error) from error

    def lock(self) -> int:
        """Take the directory for this process; the descriptor holds the lock.

        Raises:
            DirectoryInUse: another process has it; its pid is named.
            DataDirectoryUnusable: it cannot be written.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.path / "lock", flags, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DirectoryInUse(
                f"{self.path} is in use by process {owner or 'unknown'}",
                why="two processes on one data directory would lose data",
                fix="stop the other one first",
            ) from error
        with suppress(OSError):  # no space: the lock holds without the number
            os.pwrite(descriptor, f"{os.getpid():<10}\n".encode(), 0)
        return descriptor

    def _unwritable(self, error: OSError) -> DataDirectoryUnusable:
        return DataDirectoryUnusable(
            f"{self.path} cannot be written: {error.strerror}",
            why="everything that is answered must be on the disk before",
            fix="check the disk, its free space and how it is mounted",
        )

    def read_keys(self) -> Keys:
        """Read every key; a missing or wrong one is an error, never made anew.

        Raises:
            DataDirectoryUnusable: a file is missing or does not parse.
        """
        try:
            root_key = certificates.load_key(self.key_files.read("root.key"))
            keys = Keys(
                ca_certificate=self._certificate("ca"),
                ca_key=certificates.load_rsa_key(self.key_files.read("ca.key")),
                root_certificate=self._certificate("root"),
                vault_key=self.key_files.read_vault(),
            )
        except (OSError, MalformedMessage) as error:
            raise DataDirectoryUnusable(
                f"a key in {self.keys} cannot be read: {error}",
                why="the certificate authority is never replaced: devices would be lost",
                fix="restore the keys folder from a backup",
            ) from error
        self._refuse_strangers("ca", keys.ca_certificate, keys.ca_key)
        self._refuse_strangers("root", keys.root_certificate, root_key)
        return keys

    def tls_is_due(self, now: float, host_names: list[str]) -> bool:
        """Tell whether the built-in certificate is unusable, lacks a name, or ends within 30 days.

        While the clock is behind the root certificate, one that can be read is good enough.
        """
        try:
            leaf = self._certificate("tls")
            key = certificates.load_key(self.key_files.read("tls.key"))
        except (OSError, MalformedMessage):
            return True
        if leaf.public_key() != key.public_key():  # the power went off between the two files
            return True
        if now < self._certificate("root").not_valid_before_utc.timestamp():
            return False
        if _lacks_a_name(leaf, host_names):
            return True
        begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
        return begins > now or ends - now < _TLS_RENEW_DAYS * 86400

    def renew_tls(self, host_names: list[str]) -> None:
        """Issue a new server certificate under the built-in root.

        It keeps the names of the one before: enrolled devices may come by one of them.
        """
        names = list(dict.fromkeys(map(_address_or_name, [*host_names, *self._former_names()])))
        root = certificates.KeyPair(
            certificate=self._certificate("root"),
            key=certificates.load_key(self.key_files.read("root.key")),
        )
        self._write_pair("tls", certificates.new_tls_leaf(names, root, datetime.now(UTC)))

    def _former_names(self) -> list[str]:
        try:
            return _names_in(self._certificate("tls"))
        except (OSError, MalformedMessage):
            return []

    def write_secret(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all, readable by its owner only, and on the disk."""
        partial = path.with_name(path.name + ".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.publish(partial, path)

    def publish(self, partial: Path, path: Path) -> None:
        """Give a file that is whole and on the disk its name."""
        partial.replace(path)
        sync(path.parent)

    def _refuse_used(self) -> None:
        if not self.path.is_dir():
            return
        if self.is_initialised():
            raise Conflict(
                f"{self.path} is already in use",
                code="data.exists",
                why="it holds an appliance; keys that devices trust are never replaced",
                fix="choose an empty directory, or run `appliance serve` with this one",
            )
        foreign = {entry.name for entry in self.path.iterdir()} - NOBODYS
        if foreign and not self._unfinished.exists():
            raise Conflict(
                f"{self.path} is not empty",
                code="data.exists",
                why=f"it holds {min(foreign)!r}, which no `init` in progress has made",
                fix="choose an empty directory; if an appliance was here, restore keys/vault.key",
            )

    def _refuse_strangers(
        self, name: str, certificate: x509.Certificate, key: certificates.PrivateKey
    ) -> None:
        if certificate.public_key() != key.public_key():
            raise DataDirectoryUnusable(
                f"{self.keys / name}.key is not the key of {name}.pem",
                why="devices trust the certificate, and nothing signed with this key",
                fix="restore both files from the same backup",
            )

    def _certificate(self, name: str) -> x509.Certificate:
        return certificates.load_certificates((self.keys / f"{name}.pem").read_bytes())[0]

    def _write_pair(self, name: str, pair: certificates.KeyPair) -> None:
        self.key_files.write(f"{name}.key", certificates.key_pem(pair.key))
        chain = certificates.certificate_pem(pair.certificate, *pair.chain)
        self.write_secret(self.keys / f"{name}.pem", chain)


def _lacks_a_name(certificate: x509.Certificate, host_names: list[str]) -> bool:
    """Tell whether one is missing; it may have others, and spell an address or a name its way."""
    there = set(map(_address_or_name, _names_in(certificate)))
    return not there.issuperset(map(_address_or_name, host_names))


def _names_in(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _address_or_name(host: str) -> str:
    """Return it in the one spelling that all others of it have in common."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower()


def _refuse_link(entry: Path) -> None:
    """Raise DataDirectoryUnusable for a symbolic link: who changes it changes the appliance."""
    if entry.is_symlink():
        raise DataDirectoryUnusable(
            f"{entry} is a symbolic link to {entry.resolve()}",
            why="keys and store must stay together, in a directory that only this user can change",
            fix="name the real directory, or mount it there",
        )


def _refuse_open(entry: Path) -> None:
    """Raise DataDirectoryUnusable if others could use `entry`, or own it."""
    if entry.name in NOBODYS:
        return
    try:
        status = entry.stat()
    except FileNotFoundError:  # another process has it no more
        return
    if status.st_uid != os.geteuid():
        raise DataDirectoryUnusable(
            f"{entry} belongs to user {status.st_uid}, this is user {os.geteuid()}",
            why="one user must own all of it, or the server could not write it",
            fix=f"run as that user, or chown {os.geteuid()} {entry}",
        )
    if status.st_mode & 0o077:
        want = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
        raise DataDirectoryUnusable(
            f"{entry} can be used by others (mode {stat.S_IMODE(status.st_mode):04o})",
            why="it holds keys that control every device",
            fix=f"chmod {want} {entry}",
        )
