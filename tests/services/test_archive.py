"""The file of a backup: what it promises in its manifest is what it holds, or there is none."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest

from appliance.errors import Busy
from appliance.services.archive import FORMAT, Manifest, Writer


def _manifest(writer: Writer, files: dict[str, Path]) -> Manifest:
    return Manifest(
        format=FORMAT, version="0", schema=1, created_at=datetime.now(UTC), url="", counts={},
        members={name: writer.describe(path) for name, path in files.items()},
    )  # fmt: skip


@pytest.fixture
def writer() -> Writer:
    """For a key that nobody keeps."""
    return Writer(pyrage.x25519.Identity.generate().to_public(), threading.Event())


@pytest.mark.parametrize("content", [b"another k", b"longer than the key", b"less"])
def test_a_file_that_changes_meanwhile_makes_no_backup(
    writer: Writer, tmp_path: Path, content: bytes
) -> None:
    """As when the certificate of the server is renewed while the store is being written."""
    key = tmp_path / "tls.key"
    key.write_bytes(b"the key 1")
    files = {"keys/tls.key": key}
    manifest = _manifest(writer, files)
    key.write_bytes(content)
    with pytest.raises(Busy, match=r"keys/tls\.key was changed"):
        writer.write(tmp_path / "backup", manifest, files)


def test_a_disk_that_fills_up_is_told_as_the_disks_fault(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "appliance.db"
    store.write_bytes(b"x" * (2 << 20))
    files = {"appliance.db": store}

    def fails(*_: object) -> None:
        raise pyrage.EncryptError("OSError: [Errno 28] No space left on device")

    monkeypatch.setattr(pyrage, "encrypt_io", fails)
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device$"):
        writer.write(tmp_path / "backup", _manifest(writer, files), files)
