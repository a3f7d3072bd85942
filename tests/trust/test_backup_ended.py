"""What lies open while a backup is verified or restored is gone when that is ended (G-07)."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.server import PROGRAM

from .backups import Saved

INTERRUPTED = 130

# Verifies or restores a backup, and waits where everything lies open.
_SLOWLY = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
from appliance import cli
from appliance.services import restoring

def wait(*_):
    print("unpacked", flush=True)
    time.sleep(60)

setattr(restoring, sys.argv[1], wait)
sys.exit(cli.run(sys.argv[2:]))
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_verify_that_is_ended_leaves_no_keys_behind(
    saved: Saved, tmp_path: Path, end: signal.Signals
) -> None:
    """Killed, it cannot help it: then the next one removes them."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    arguments = (str(saved.file), "--key", str(saved.key))
    with subprocess.Popen(
        [sys.executable, "-c", _SLOWLY, "_checked", "backup", "verify", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"unpacked\n"
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / "keys" / "vault.key").is_file()
        process.send_signal(end)
        assert process.wait(30) == (-end if end == signal.SIGKILL else INTERRUPTED)
    done = subprocess.run(
        [*PROGRAM, "backup", "verify", *arguments],
        env=environment, capture_output=True, timeout=120, check=False,
    ) if end == signal.SIGKILL else None  # fmt: skip
    assert done is None or done.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_restore_that_is_ended_leaves_nothing_behind(
    saved: Saved, tmp_path: Path, end: signal.Signals
) -> None:
    arguments = [
        "restore",
        str(saved.file),
        "--key",
        str(saved.key),
        "--data",
        str(tmp_path / "data"),
    ]
    with subprocess.Popen(
        [sys.executable, "-c", _SLOWLY, "_give_to_owner", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"unpacked\n"
        assert list(tmp_path.iterdir())
        process.send_signal(end)
        assert process.wait(30) == INTERRUPTED
    assert list(tmp_path.iterdir()) == []
