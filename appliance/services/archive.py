"""The file format of a backup: a tar inside an age file, its manifest first.

`age -d -i KEY FILE | tar t` reads it. Every member is a plain file that the manifest names with
size and SHA-256; anything else in the tar makes the whole backup unusable.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
import pyrage

from appliance.errors import BackupUnusable, Busy

DATABASE = "appliance.db"
SETTINGS = "appliance.toml"
FORMAT = 1

_MANIFEST = "manifest.json"
_MEMBER = re.compile(r"appliance\.(db|toml)|keys/[a-z]+\.(pem|key|recipient)")
_LARGEST_MANIFEST = 64 << 10
_CHUNK = 1 << 20


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file; `sha256` in lower-case hex."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, and what made it."""

    format: int
    version: str
    schema: int
    created_at: datetime
    url: str
    counts: Mapping[str, int]
    members: Mapping[str, Member]


# Made while there is one thread: two that let msgspec learn a type at the same time crash it.
_DECODER = msgspec.json.Decoder(Manifest)


class Stopped(Exception):
    """Whoever wanted the backup does not want it any more."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes backups for one key; `stop` ends it within a moment, by `Stopped`."""

    key: pyrage.x25519.Recipient
    stop: threading.Event

    def describe(self, path: Path) -> Member:
        """Return size and digest of a file."""
        size = 0
        with path.open("rb") as file:
            source = _Watched(file, self.stop)
            while chunk := source.read(_CHUNK):
                size += len(chunk)
        return Member(size=size, sha256=source.digest.hexdigest())

    def write(self, target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
        """Write a backup of `files`, by member name, to `target`, and onto the disk.

        Raises:
            OSError: it could not be written.
            Busy: a file is not what the manifest says any more, so nobody could restore it.
        """
        with _encrypted(target, self.key) as pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
            content = msgspec.json.encode(manifest)
            tar.addfile(_info(_MANIFEST, len(content), manifest), io.BytesIO(content))
            for name, path in files.items():
                expected = manifest.members[name]
                with path.open("rb") as file:
                    source = _Watched(file, self.stop)
                    if source.size == expected.size:
                        tar.addfile(_info(name, expected.size, manifest), source)
                if source.digest.hexdigest() != expected.sha256:
                    raise Busy(f"{name} was changed while the backup was made", fix="try again")


def is_member(name: str) -> bool:
    """Tell whether a backup may hold a file of this name."""
    return _MEMBER.fullmatch(name) is not None


def unpack(source: Path, key: pyrage.x25519.Identity, into: Path) -> Manifest:
    """Write the members of a backup to the empty folder `into` and compare them with the manifest.

    Raises:
        BackupUnusable: another key, or not byte for byte what was written.
        OSError: there is no room for it, or the file cannot be read.
    """
    problem: list[Exception] = []
    reading, writing = os.pipe()

    def decrypt() -> None:
        try:
            with os.fdopen(writing, "wb") as pipe, source.open("rb") as file:
                pyrage.decrypt_io(file, pipe, [key])
        except Exception as error:  # told to the thread that reads the other end
            problem.append(error)

    thread = threading.Thread(target=decrypt, name="decrypt backup")
    thread.start()
    try:
        with os.fdopen(reading, "rb") as pipe:
            manifest = _unpack(pipe, into)
            while pipe.read(_CHUNK):  # the end of the file proves that nothing was cut off
                pass
    except (tarfile.TarError, msgspec.MsgspecError, ValueError, EOFError, BackupUnusable) as error:
        thread.join()
        raise _unusable(source, [*_real(problem), error][0]) from error
    finally:
        thread.join()
    if problem:
        raise _unusable(source, problem[0])
    return manifest


def _unpack(pipe: IO[bytes], into: Path) -> Manifest:
    with tarfile.open(fileobj=pipe, mode="r|") as tar:
        manifest = _manifest(tar)
        missing = dict(manifest.members)
        while (info := tar.next()) is not None:
            expected = missing.pop(info.name, None)
            if expected is None or not is_member(info.name) or not _is_plain(info):
                raise BackupUnusable(f"it has a member {info.name[:100]!r} that is not a backup's")
            _extract(tar, info, expected, into / info.name)
    if missing or DATABASE not in manifest.members:
        raise BackupUnusable(f"{min(missing, default=DATABASE)} is missing in it")
    return manifest


def _manifest(tar: tarfile.TarFile) -> Manifest:
    info = tar.next()
    if info is None or info.name != _MANIFEST or not _is_plain(info):
        raise BackupUnusable("it does not begin with a manifest")
    if info.size > _LARGEST_MANIFEST:
        raise BackupUnusable("its manifest is too large")
    file = tar.extractfile(info)
    manifest = _DECODER.decode(b"" if file is None else file.read())
    if manifest.format != FORMAT:
        raise BackupUnusable(f"its format is {manifest.format}, this release knows {FORMAT}")
    return manifest


def _is_plain(info: tarfile.TarInfo) -> bool:
    """No link, no folder, no device, no sparse file."""
    return info.type == tarfile.REGTYPE and info.sparse is None


def _extract(tar: tarfile.TarFile, info: tarfile.TarInfo, expected: Member, target: Path) -> None:
    if info.size != expected.size:
        raise BackupUnusable(f"{info.name} has another size than the manifest says")
    target.parent.mkdir(mode=0o700, exist_ok=True)
    source = tar.extractfile(info)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while source is not None and (chunk := source.read(_CHUNK)):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != expected.sha256:
        raise BackupUnusable(f"{info.name} is not what the manifest says")


@dataclass(frozen=True, slots=True)
class _Watched:
    """A file that is read until somebody says stop, and the digest of what was read."""

    file: IO[bytes]
    stop: threading.Event
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        if self.stop.is_set():
            raise Stopped
        chunk = self.file.read(size)
        self.digest.update(chunk)
        return chunk


@contextmanager
def _encrypted(target: Path, key: pyrage.x25519.Recipient) -> Iterator[IO[bytes]]:
    """Give a pipe; what is written to it goes encrypted into the new file `target`."""
    problem: list[Exception] = []
    reading, writing = os.pipe()

    def encrypt() -> None:
        try:
            with os.fdopen(reading, "rb") as source:
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    pyrage.encrypt_io(source, file, [key])
                    file.flush()
                    os.fsync(file.fileno())
        except pyrage.EncryptError as error:  # the disk's, in words alone
            problem.append(OSError(str(error).removeprefix("OSError: ")))
        except Exception as error:  # told to the thread that writes to the other end
            problem.append(error)

    thread = threading.Thread(target=encrypt, name="encrypt backup")
    thread.start()
    try:
        with os.fdopen(writing, "wb") as pipe:
            yield pipe
    except BrokenPipeError:
        thread.join()  # it says why nobody reads any more
        if not problem:
            raise
    finally:
        thread.join()
    if problem:
        raise problem[0]


def _info(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    info.mtime = int(manifest.created_at.timestamp())
    return info


def _real(problems: list[Exception]) -> list[Exception]:
    """Leave out that nobody read any more: that is ours."""
    return [error for error in problems if not isinstance(error, BrokenPipeError)]


def _unusable(source: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if isinstance(error, pyrage.DecryptError) and "No matching keys" in str(error):
        return BackupUnusable(
            f"{source} does not open with this key",
            why="it was encrypted to another one",
            fix="name the key that was printed when this server was set up",
        )
    return BackupUnusable(
        f"{source} is not a whole backup",
        why=str(error) or type(error).__name__,
        fix="use another copy of it, or an older backup",
    )
