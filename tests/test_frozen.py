"""Whose unpacked files are removed, and whose are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from appliance import frozen


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(10)
    return process.pid


def _unpacked(place: Path, pid: int) -> Path:
    folder = place / f"_MEI{pid:08x}Ab12_x"
    (folder / "appliance" / "mdm").mkdir(parents=True)
    (folder / "libpython.so").write_bytes(b"x")
    return folder


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    folder = _unpacked(tmp_path, _dead_pid())
    frozen.remove_leftovers(tmp_path)
    assert not folder.exists()


def test_what_a_living_process_uses_stays(tmp_path: Path) -> None:
    folder = _unpacked(tmp_path, os.getpid())
    frozen.remove_leftovers(tmp_path)
    assert (folder / "libpython.so").exists()


def test_what_is_held_stays_even_when_its_pid_means_nothing_here(tmp_path: Path) -> None:
    folder = _unpacked(tmp_path, _dead_pid())
    descriptor = frozen.hold(folder)
    frozen.remove_leftovers(tmp_path)
    assert (folder / "libpython.so").exists()
    os.close(descriptor)
    frozen.remove_leftovers(tmp_path)
    assert not folder.exists()


def test_what_belongs_to_others_stays(tmp_path: Path) -> None:
    other_program = tmp_path / f"_MEI{_dead_pid():08x}Ab12_x"
    other_program.mkdir()
    other_name = _unpacked(tmp_path, _dead_pid()).rename(tmp_path / "_MEIAb12_x")
    target = tmp_path / "target"
    _unpacked(tmp_path, _dead_pid()).rename(target)
    link = tmp_path / f"_MEI{_dead_pid():08x}Ab12_x"
    link = tmp_path / f"_MEI{1:08x}Ab12_x" if link.exists() else link
    link.symlink_to(target)
    frozen.remove_leftovers(tmp_path)
    assert other_program.exists()
    assert other_name.exists()
    assert (target / "libpython.so").exists()
