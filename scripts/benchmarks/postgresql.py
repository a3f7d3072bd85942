"""A throw-away PostgreSQL on the server's core, for the peer that can use one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .load import BenchError
from .peers import free_port, install, started

_USER = "postgres"  # initdb refuses root
_START_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgreSQL:
    """What a run needs of it: the programs, and the schema of NanoMDM's tables."""

    programs: Path
    schema: Path


def find() -> PostgreSQL:
    """Find PostgreSQL, installing Debian's where that is possible, and NanoMDM's source.

    Raises:
        BenchError: one of them is not to be had; says which.
    """
    if not _programs():
        install("postgresql")
    programs = _programs()
    if not programs:
        raise BenchError("PostgreSQL is not installed, nor can it be by `apt-get`")
    if os.geteuid() == 0 and not _has_user():
        raise BenchError(f"root may not run PostgreSQL, and there is no user {_USER}")
    go = shutil.which("go")
    cache = Path(_output([go, "env", "GOMODCACHE"]).strip()) if go else Path()
    sources = cache / "github.com" / "micromdm"
    schemas = sorted(sources.glob("nanomdm@*/storage/pgsql/schema.sql"))
    if not schemas:
        raise BenchError("NanoMDM's source, which has its schema, is not in Go's module cache")
    return PostgreSQL(programs=programs[-1], schema=schemas[-1])


@contextlib.contextmanager
def running(found: PostgreSQL, folder: Path) -> Iterator[tuple[int, str]]:
    """Run an empty database with its defaults, every commit on the disk; yields pid and DSN."""
    data, port = folder / "data", free_port()
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    data.mkdir()
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(data, _USER)
        as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
    name = _USER if as_user else pwd.getpwuid(os.geteuid()).pw_name
    _output([*as_user, str(found.programs / "initdb"), "-D", str(data), "-A", "trust", "-U", name])
    options = ["-D", str(data), "-p", str(port), "-c", f"unix_socket_directories={data}"]
    server = [*as_user, str(found.programs / "postgres"), *options, "-h", "127.0.0.1"]
    with started(server, port, folder) as pid:
        dsn = f"postgres://{name}@127.0.0.1:{port}/postgres?sslmode=disable"
        _wait_until_ready(found, port)
        _output([str(found.programs / "psql"), "-q", "-d", dsn, "-f", str(found.schema)])
        yield pid, dsn


def _wait_until_ready(found: PostgreSQL, port: int) -> None:
    """It listens before it takes anybody."""
    ready = [str(found.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(ready, check=False).returncode:
        if time.monotonic() > deadline:
            raise BenchError("PostgreSQL does not get ready")
        time.sleep(0.1)


def _programs() -> list[Path]:
    """Debian keeps a folder for each release, none of which is on the PATH."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    elsewhere = shutil.which("initdb")
    if not found and elsewhere:
        found = [Path(elsewhere)]
    return sorted(path.parent for path in found)


def _has_user() -> bool:
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        return False
    return True


def _output(arguments: list[str]) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise BenchError(f"{arguments!r} failed:\n{done.stderr}")
    return done.stdout
