"""Backups of a test server, made, opened and forged as a stranger would: by `age` and `tar`."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import cli
from tests.device.fixtures import start_server
from tests.device.server import PROGRAM, Api, RunningServer
from tests.programs import program


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished restore or verify."""

    status: int
    out: str
    err: str


def create(server: RunningServer, output: Path) -> Path:
    """`appliance backup create`, with the server running or not."""
    server.cli("backup", "create", "--output", str(output))
    return output


def restore(file: Path, key: Path, target: Path) -> Done:
    """`appliance restore`."""
    return _run("restore", str(file), "--key", str(key), "--data", str(target), "--json")


def verify(file: Path, key: Path) -> Done:
    """`appliance backup verify`."""
    return _run("backup", "verify", str(file), "--key", str(key), "--json")


def opened(file: Path, key: Path) -> dict[str, bytes]:
    """The members, by the plain `age` tool and any tar."""
    tar = subprocess.run([program("age"), "-d", "-i", key, file], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(tar.stdout)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


Entry = tuple[tarfile.TarInfo, bytes]


def entry(
    name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> Entry:
    """A member of a tar."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = len(content), kind, link, 0o600
    return info, content


def forge(
    members: Mapping[str, bytes],
    recipient: str,
    target: Path,
    *,
    manifest: Callable[[dict[str, Any]], None] = lambda _: None,
    more: Sequence[Entry] = (),
) -> Path:
    """A backup with a right manifest of `members`, changed by `manifest`, and `more` in the tar."""
    document = json.loads(members["manifest.json"])
    files = {name: content for name, content in members.items() if name != "manifest.json"}
    document["members"] = {name: _described(content) for name, content in files.items()}
    for info, content in more:
        document["members"].setdefault(info.name, _described(content))
    manifest(document)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entries = [entry("manifest.json", json.dumps(document).encode())]
        entries += [entry(name, content) for name, content in files.items()]
        for info, content in (*entries, *more):
            tar.addfile(info, io.BytesIO(content))
    subprocess.run(
        [program("age"), "-r", recipient, "-o", target], input=raw.getvalue(), check=True
    )
    return target


def _described(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _run(*arguments: str) -> Done:
    """In this process, which is much faster; by the executable if that is under test."""
    if "APPLIANCE_EXECUTABLE" in os.environ:
        done = subprocess.run(
            [*PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        return Done(status=done.returncode, out=done.stdout, err=done.stderr)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = cli.run(list(arguments))
    return Done(status=status, out=out.getvalue(), err=err.getvalue())


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A backup of a server with a device, its key, and what is inside."""

    server: RunningServer
    file: Path
    key: Path
    recipient: str
    members: Mapping[str, bytes]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    """A running server and a backup of it."""
    program("age")  # before a server runs
    folder = tmp_path_factory.mktemp("saved")
    server = start_server(folder / "data")

    async def fill() -> None:
        async with server.session() as session:
            api = Api(server, session)
            device = await api.enroll()
            await device.set_bootstrap_token(b"bootstrap")
            await api.queue(device.id)

    asyncio.run(fill())
    file = create(server, folder / "file.age")
    yield Saved(
        server=server,
        file=file,
        key=server.backup_key,
        recipient=(server.data / "keys" / "backup.recipient").read_text().strip(),
        members=opened(file, server.backup_key),
    )
    assert server.stop() == 0
